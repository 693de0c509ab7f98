"""Reads TensorBoard event files, for tests."""

import io

import numpy as np
from PIL import Image
import tensorflow as tf


def scalars(folder):
  """Newest value of every scalar by (tag, step)."""
  return {
    key: value.simple_value
    for key, value in _values(folder)
    if value.WhichOneof('value') == 'simple_value'
  }


def pictures(folder):
  """Newest pixels of every picture by (tag, step), uint8 `[h, w, 3]`."""
  found = {}
  for key, value in _values(folder):
    if value.WhichOneof('value') == 'image':
      with Image.open(io.BytesIO(value.image.encoded_image_string)) as image:
        found[key] = np.asarray(image.convert('RGB'))
      assert found[key].shape[:2] == (value.image.height, value.image.width)
  return found


def _values(folder):
  for path in sorted(folder.glob('*tfevents*')):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      for value in event.summary.value:
        yield (value.tag, event.step), value
