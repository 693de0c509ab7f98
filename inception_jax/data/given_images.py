"""Images as a notebook gives them: files, Pillow images and arrays."""

from collections.abc import Sequence
import os
from typing import Any

import numpy as np
from PIL import Image

from inception_jax.data import ahead, crop_rules, pictures, tensorflow_modules
from inception_jax.runtime import errors

_WANTED = (
  'give the path of a picture, a PIL image, a uint8 array [height, width, 3] or'
  ' [n, height, width, 3] with RGB from 0 to 255, or a list of these'
)


def split(images: Any) -> tuple[list[Any], bool]:
  """One image or several as a list.

  Args:
    images: a path, a PIL image, an array of one or of several images, or a
      sequence of these.

  Returns:
    The images, each a path, a PIL image or an array of three axes, and whether
    it was one image, not a sequence.

  Raises:
    InputError: if it is nothing of the kind.
  """
  if isinstance(images, str | os.PathLike | Image.Image):
    return [images], True
  if hasattr(images, '__array__') and not isinstance(images, Sequence):
    array = np.asarray(images)
    if array.ndim == 4:
      return list(array), False
    return [array], True
  if isinstance(images, Sequence):
    return [x for item in images for x in split(item)[0]], False
  raise errors.InputError(
    f'{type(images).__name__} is no kind of image; {_WANTED}'
  )


def cut(images: Sequence[Any], crop: crop_rules.EvaluationCrop) -> np.ndarray:
  """Cuts images as evaluation does.

  Args:
    images: see `split`.
    crop: how they are cut.

  Returns:
    uint8 `[len(images), crop.size, crop.size, 3]`.

  Raises:
    InputError: if one cannot be used; the message names it.
  """
  image_file = tensorflow_modules.import_module('image_file', 'cutting images')
  import tensorflow as tf

  from inception_jax.data import batch_decoding

  names, encoded = [], []
  with image_file.patient_pillow():
    for place, image in enumerate(images):
      named = isinstance(image, str | os.PathLike)
      names.append(str(image) if named else f'image {place}')
      try:
        if named:
          record = image_file.encode(pictures.read_bytes(os.fspath(image)))
        else:
          record = image_file.encode_pillow(_to_pillow(image))
      except image_file.UnreadableError as error:
        raise errors.InputError(
          f'{names[-1]} cannot be used: {error}; {_WANTED}'
        ) from error
      encoded.append(record)
  none = np.zeros((len(encoded), 1), np.float32)  # Nothing is random here.
  result, bad = batch_decoding.decode_batch(
    tf.constant(encoded), none, crop, ahead.num_cores()
  )
  if bad.any():
    raise errors.InputError(
      f'{names[int(np.argmax(bad))]} cannot be decoded; leave it out'
    )
  return result


def _to_pillow(image: Any) -> Image.Image:
  if isinstance(image, Image.Image):
    return image
  array = np.asarray(image)
  if array.ndim != 3 or array.shape[-1] != 3 or not array.size:
    raise errors.InputError(
      f'an array of shape {list(array.shape)} is no image; {_WANTED}'
    )
  if array.dtype != np.uint8:
    raise errors.InputError(
      f'an array of {array.dtype} is no image; {_WANTED} (floats from 0 to 1:'
      ' `np.uint8(np.round(255 * x))`)'
    )
  return Image.fromarray(array)
