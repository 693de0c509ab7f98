"""Tests of the host geometry, eagerly and inside tf.data."""

import io
import math

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

from inception_jax.data import crops

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def windows(height, width, count=400, area=AREA, ratio=RATIO, seed=0):
  uniforms = np.random.RandomState(seed).rand(count, crops.UNIFORMS_PER_CROP)
  window_fn = tf.function(
    lambda u: crops.distorted_crop_window(
      tf.constant(height), tf.constant(width), u, area, ratio
    )
  )
  return np.stack([window_fn(u).numpy() for u in uniforms.astype(np.float32)])


def gradient_image(height, width):
  rows, columns = np.mgrid[:height, :width]
  channels = [rows % 256, columns % 256, (rows + columns) % 256]
  return np.stack(channels, -1).astype(np.uint8)


def encoded(image, kind):
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, kind, quality=95)
  return buffer.getvalue()


@pytest.mark.parametrize('size', [(375, 500), (500, 375), (64, 64)])
def test_distorted_windows_keep_to_the_paper(size):
  found = windows(*size)
  top, left, height, width = found.T
  assert (top >= 0).all() and (left >= 0).all()
  assert (top + height <= size[0]).all() and (left + width <= size[1]).all()
  area = height * width / (size[0] * size[1])
  # Half a pixel of rounding on each side.
  slack = 1 / min(height.min(), width.min())
  assert area.min() > 0.08 * (1 - 2 * slack)
  ratio = width / height
  assert ratio.min() > 3 / 4 - 2 * slack and ratio.max() < 4 / 3 + 2 * slack
  assert len(np.unique(found, axis=0)) > 300


def test_areas_and_ratios_are_uniform_and_log_uniform():
  # Small areas always fit, so nothing is rejected and the draws show.
  _, _, height, width = windows(1000, 1000, area=(0.1, 0.5)).T
  area = height * width / 1e6
  assert abs(area.mean() - 0.3) < 0.02
  assert abs(area.std() - 0.4 / math.sqrt(12)) < 0.01
  log_ratio = np.log(width / height)
  assert abs(log_ratio.mean()) < 0.03
  assert abs(log_ratio.std() - 2 * math.log(4 / 3) / math.sqrt(12)) < 0.01


def test_positions_cover_the_whole_room():
  top, left, height, width = windows(40, 40, area=(0.2, 0.3)).T
  assert top.min() == 0 and left.min() == 0
  assert (top + height).max() == 40 and (left + width).max() == 40


@pytest.mark.parametrize(
  ('size', 'expected'),
  [((20, 1000), (20, 27)), ((1000, 20), (27, 20)), ((1, 1), (1, 1))],
)
def test_fallback_is_the_largest_centred_window(size, expected):
  window = windows(*size, count=1, area=(0.9, 1.0))[0]
  assert tuple(window[2:]) == expected
  np.testing.assert_array_equal(window[:2], (np.array(size) - window[2:]) // 2)


@pytest.mark.parametrize(
  ('size', 'fraction', 'expected'),
  [
    ((256, 256), 0.875, (16, 16, 224, 224)),
    ((375, 500), 0.875, (23, 86, 328, 328)),
    ((8, 8), 1.0, (0, 0, 8, 8)),
    ((1, 3), 0.5, (0, 1, 1, 1)),
  ],
)
def test_central_square(size, fraction, expected):
  window = crops.central_square_window(*map(tf.constant, size), fraction)
  assert tuple(window.numpy()) == expected


@pytest.mark.parametrize(
  ('kind', 'encoding'),
  [('jpeg', 'jpeg'), ('jpeg', None), ('png', 'png'), ('png', None)],
)
def test_decoding_a_window_equals_pillow(kind, encoding):
  data = encoded(gradient_image(61, 83), kind)
  window = (16, 32, 24, 40)
  found = crops.decode_window(data, lambda h, w: tf.constant(window), encoding)
  whole = np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))
  expected = whole[16:40, 32:72]
  # A JPEG's colours are upsampled from the window's own samples, so that its
  # outermost columns lack a neighbour.
  np.testing.assert_array_equal(found[:, 1:-1], expected[:, 1:-1])
  assert np.abs(found.numpy().astype(int) - expected).max() <= 3


def test_grey_png_becomes_three_channels():
  data = encoded(gradient_image(8, 8)[..., 0], 'png')
  found = crops.decode_window(data, lambda h, w: (0, 0, 8, 8), 'png').numpy()
  assert found.shape == (8, 8, 3)
  np.testing.assert_array_equal(found[..., 0], found[..., 2])


def test_resize_agrees_with_pillow_and_keeps_constants():
  image = gradient_image(200, 150)
  ours = crops.resize(tf.constant(image), 64).numpy()
  theirs = np.asarray(
    Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR)
  )
  assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1
  constant = np.full((9, 5, 3), 201, np.uint8)
  assert (crops.resize(tf.constant(constant), 16).numpy() == 201).all()


def test_eager_and_tf_data_agree():
  data = encoded(gradient_image(90, 120), 'jpeg')
  uniforms = np.random.RandomState(1).rand(crops.UNIFORMS_PER_CROP)
  uniforms = uniforms.astype(np.float32)

  def crop(encoded_image):
    window_fn = lambda h, w: crops.distorted_crop_window(
      h, w, uniforms, AREA, RATIO
    )
    return crops.resize(crops.decode_window(encoded_image, window_fn, None), 32)

  dataset = tf.data.Dataset.from_tensors(data).map(crop)
  np.testing.assert_array_equal(
    next(dataset.as_numpy_iterator()), crop(tf.constant(data))
  )
