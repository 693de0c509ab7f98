"""A network and its weights, compiled for use."""

from typing import Any

import jax
import numpy as np

from inception_jax import models, preprocess
from inception_jax.data import labels as labels_lib
from inception_jax.runtime import errors, words


class Inference:
  """What a network makes of images, compiled once for each shape of them.

  Args:
    model: Linen module.
    variables: its weights, which are put on the default device.
    preprocessing: pixels to network input.
    labels: what each output means.
  """

  def __init__(
    self,
    model: models.GoogLeNet,
    variables: dict[str, Any],
    preprocessing: preprocess.Preprocessing,
    labels: labels_lib.LabelMap,
  ):
    self._variables = jax.device_put(variables)
    self._entries = labels.to_json()

    def apply(variables, images):
      return model.apply(variables, preprocessing(images))

    def best(variables, images, top_k):
      logits, _ = apply(variables, images)
      return jax.lax.top_k(jax.nn.softmax(logits), top_k)

    def all_end_points(variables, images):
      logits, end_points = apply(variables, images)
      return {**end_points, 'logits': logits}

    def one_end_point(variables, images, name):
      return all_end_points(variables, images)[name]

    self._all = all_end_points
    self._one = jax.jit(one_end_point, static_argnames='name')
    self._best = jax.jit(best, static_argnames='top_k')

  def classify(
    self, images: np.ndarray, top_k: int
  ) -> list[list[dict[str, Any]]]:
    """The most probable classes of each image.

    Args:
      images: uint8 `[n, size, size, 3]`.
      top_k: number of classes.

    Returns:
      `[{index, synset, name, probability}]` for each, the most probable first.

    Raises:
      InputError: if `top_k` is out of range, or a probability is not finite.
    """
    if not 1 <= top_k <= len(self._entries):
      raise errors.InputError(
        f'top_k={top_k} must be from 1 to the'
        f' {words.count(len(self._entries), "output")} of the network'
      )
    found = jax.device_get(self._best(self._variables, images, top_k=top_k))
    probabilities, outputs = found
    if not np.isfinite(probabilities).all():
      raise errors.InputError(
        'the network gives probabilities that are not finite; give other'
        ' --weights, or train or import it again'
      )
    return [
      [
        {**self._entries[output], 'probability': float(probability)}
        for output, probability in zip(*row, strict=True)
      ]
      for row in zip(outputs, probabilities, strict=True)
    ]

  def end_point(self, images: np.ndarray, name: str) -> np.ndarray:
    """An intermediate result, or 'logits'.

    Args:
      images: uint8 `[n, size, size, 3]`.
      name: of the end point.

    Returns:
      `[n, ...]`, as the network computes it.

    Raises:
      InputError: if there is no such end point; the message lists them.
    """
    shapes = jax.eval_shape(self._all, self._variables, images)
    if name not in shapes:
      raise errors.InputError(
        f'the network has no end point {name!r}; it has'
        f' {words.join(sorted(shapes))}{errors.suggestion(name, shapes)}'
      )
    return jax.device_get(self._one(self._variables, images, name=name))
