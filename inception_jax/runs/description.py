"""What is needed beside a network's weights, as JSON, written and read.

Run directories keep it in files, exported networks in their metadata.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from flax import traverse_util
import jax
import jax.numpy as jnp

from inception_jax import models, preprocess
from inception_jax.data import crop_rules
from inception_jax.data import labels as labels_lib


class WrongPartError(ValueError):
  """A part that is not as it was written; the message says how.

  Attributes:
    part: 'model', 'preprocessing' or 'labels'.
  """

  def __init__(self, part: str, reason: str):
    super().__init__(reason)
    self.part = part


@dataclasses.dataclass(frozen=True)
class Description:
  """A network without its weights.

  Attributes:
    model: Linen module.
    preprocessing: pixels to network input.
    eval_crop: picture to pixels.
    labels: what each output means.
  """

  model: models.GoogLeNet
  preprocessing: preprocess.Preprocessing
  eval_crop: crop_rules.EvaluationCrop
  labels: labels_lib.LabelMap


def pixels(
  preprocessing: preprocess.Preprocessing, eval_crop: crop_rules.EvaluationCrop
) -> dict[str, Any]:
  """From a picture to network input, as JSON; `read` reads it back."""
  return {
    **dataclasses.asdict(preprocessing),
    'crop': dataclasses.asdict(eval_crop),
  }


def read(
  model: Any, preprocessing: Any, labels: Any, variables: Mapping[str, Any]
) -> Description:
  """Builds and checks a network from what was written of it.

  Args:
    model: arguments of `models.create_model`.
    preprocessing: see `pixels`.
    labels: see `labels.LabelMap.to_json`.
    variables: the weights that must fit.

  Returns:
    The network.

  Raises:
    WrongPartError: if a part is not of its form, or does not fit the others.
  """
  scale_and_mean, crop = _read_pixels(preprocessing)
  network = _create_model(model, crop.size, variables)
  label_map = _read_labels(labels)
  if len(label_map) != network.num_classes:
    raise WrongPartError(
      'labels',
      f'there are {len(label_map)} for {network.num_classes} outputs',
    )
  return Description(network, scale_and_mean, crop, label_map)


def _create_model(
  arguments: Any, image_size: int, variables: Mapping[str, Any]
) -> models.GoogLeNet:
  try:
    model = models.create_model(**arguments)
    wanted = jax.eval_shape(
      model.init,
      jax.random.key(0),
      jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32),
    )
  except (TypeError, ValueError, OverflowError) as error:
    raise WrongPartError('model', str(error).splitlines()[0]) from error
  shapes = [
    {
      name: (leaf.shape, leaf.dtype)
      for name, leaf in traverse_util.flatten_dict(tree, sep='/').items()
    }
    for tree in ({'batch_stats': {}, **wanted}, variables)
  ]
  differing = sorted(
    name
    for name in shapes[0].keys() | shapes[1].keys()
    if shapes[0].get(name) != shapes[1].get(name)
  )
  if differing:
    raise WrongPartError(
      'model',
      f'{len(differing)} of the weights are others than it wants (first'
      f' {differing[0]!r})',
    )
  return model


def _read_pixels(
  stored: Any,
) -> tuple[preprocess.Preprocessing, crop_rules.EvaluationCrop]:
  try:
    crop = crop_rules.EvaluationCrop(**stored['crop'])
    scale, mean = float(stored['scale']), tuple(map(float, stored['mean']))
    bgr = stored.get('bgr', False)
    if not isinstance(bgr, bool):
      raise ValueError(f'bgr is true or false, not {bgr!r}')
    if len(mean) != 3:
      raise ValueError(f'the mean has {len(mean)} values, not 3')
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise WrongPartError(
      'preprocessing', f'{type(error).__name__}: {error}'
    ) from error
  return preprocess.Preprocessing(scale, mean, bgr), crop


def _read_labels(stored: Any) -> labels_lib.LabelMap:
  try:
    label_map = labels_lib.from_json(stored)
  except (AttributeError, KeyError, TypeError) as error:
    raise WrongPartError(
      'labels', f'{type(error).__name__}: {error}'
    ) from error
  for label in label_map.labels:
    if not isinstance(label.name, str) or not isinstance(
      label.synset, str | None
    ):
      raise WrongPartError('labels', f'{label.name!r} is no name')
  return label_map
