"""What is needed beside a network's weights, as JSON, written and read.

Run directories keep it in files, exported networks in their metadata.
"""

from collections.abc import Mapping
import dataclasses
import math
from typing import Any

from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from inception_jax import models, preprocess
from inception_jax.data import crop_rules
from inception_jax.data import labels as labels_lib
from inception_jax.runtime import errors, ranges, words

# Name of `values` in the metadata of a checkpoint.
PREPROCESSING = 'preprocessing'


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
  return {**values(preprocessing), 'crop': dataclasses.asdict(eval_crop)}


def values(preprocessing: preprocess.Preprocessing) -> dict[str, Any]:
  """From pixels to network input, as JSON; `read_values` reads it back."""
  found = dataclasses.asdict(preprocessing)
  image = found.pop('mean_image')
  if image is not None:
    found['mean_image'] = image.hex()
  return found


def read_values(stored: Any) -> preprocess.Preprocessing:
  """The inverse of `values`; earlier versions wrote one scale.

  Raises:
    WrongPartError: if it is not of its form.
  """
  try:
    scale = stored['scale']
    scale = _floats(scale) if isinstance(scale, list) else float(scale)
    mean = _floats(stored['mean'])
    if len(mean) != 3:
      raise ValueError(f'the mean has {len(mean)} values, not 3')
    if isinstance(scale, tuple) and len(scale) != 3:
      raise ValueError(f'the scale has {len(scale)} values, not 3')
    numbers = np.array([*mean, *np.atleast_1d(scale)])
    if not np.isfinite(numbers).all() or not numbers[3:].all():
      raise ValueError('the scale or mean is not finite, or the scale is 0')
    bgr = stored.get('bgr', False)
    if not isinstance(bgr, bool):
      raise ValueError(f'bgr is true or false, not {bgr!r}')
    image = stored.get('mean_image')
    if image is not None:
      image = _read_image(image)
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise WrongPartError('preprocessing', _reason(error)) from error
  return preprocess.Preprocessing(scale, mean, bgr, image)


def _reason(error: Exception) -> str:
  """The fault of a part; errors of values are our own sentences."""
  if isinstance(error, ValueError):
    return str(error)
  return (
    'it must have "scale", "mean" and "crop", each in the form in which'
    ' training and importing write it'
  )


def _floats(stored: Any) -> tuple[float, ...]:
  return tuple(map(float, stored))


def _read_image(stored: Any) -> bytes:
  """A mean image, as `Preprocessing` keeps it."""
  image = bytes.fromhex(stored)
  pixels = len(image) // 12
  if not image or len(image) % 12 or math.isqrt(pixels) ** 2 != pixels:
    raise ValueError(f'a mean image of {len(image)} bytes is no square')
  if not np.isfinite(np.frombuffer(image, '<f4')).all():
    raise ValueError('the mean image is not finite')
  return image


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
  label_map = read_labels(labels)
  if len(label_map) != network.num_classes:
    raise WrongPartError(
      'labels',
      f'it has {words.count(len(label_map), "name")} for'
      f' {words.count(network.num_classes, "output")}',
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
    raise WrongPartError('model', errors.first_line(error)) from error
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
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise WrongPartError('preprocessing', _reason(error)) from error
  return read_values(stored), crop


def read_labels(stored: Any) -> labels_lib.LabelMap:
  """What each output means, as `labels.LabelMap.to_json` wrote it.

  Raises:
    WrongPartError: if it is not of its form.
  """
  form = 'a list of {"index", "synset", "name"}, in the order of the index'
  if not isinstance(stored, list) or not stored:
    raise WrongPartError('labels', f'it must be {form}')
  for index, entry in enumerate(stored):
    if not _is_label(entry, index):
      raise WrongPartError(
        'labels', f'entry {index} is {ranges.show(entry)}; it must be {form}'
      )
  return labels_lib.from_json(stored)


def _is_label(entry: Any, index: int) -> bool:
  return (
    isinstance(entry, dict)
    and entry.get('index', index) == index
    and isinstance(entry.get('name'), str)
    and isinstance(entry.get('synset', 0), str | None)
  )
