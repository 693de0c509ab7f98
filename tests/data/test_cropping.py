"""Tests of the host geometry, eagerly and inside tf.data."""

import io
import math
import os
import pathlib
import tarfile

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

from inception_jax.data import crop_rules, cropping

Resampling = Image.Resampling


def distorted(size=32, area=(0.08, 1.0), ratio=(3 / 4, 4 / 3), **more):
  fields = {
    'aspect_ratio_law': 'log_uniform',
    'interpolations': ('bilinear',),
    **more,
  }
  return crop_rules.DistortedCrop(size, area, ratio, **fields)


def uniforms(count, width, seed=0):
  return np.random.RandomState(seed).rand(count, width).astype(np.float32)


def windows(height, width, count=400, **fields):
  spec = distorted(**fields)
  window_fn = tf.function(
    lambda u: cropping.distorted_crop_window(
      tf.constant([height, width]), u, spec
    )
  )
  draws = uniforms(count, 4 * cropping.NUM_TRIES)
  return np.stack([window_fn(u).numpy() for u in draws])


def proposals(height, width, count=400, **fields):
  """Areas, ratios and sides of `count` images' proposals, one after another."""
  spec = distorted(**fields)
  fn = tf.function(
    lambda u: cropping.crop_proposals(tf.constant([height, width]), u, spec)
  )
  draws = uniforms(count * cropping.NUM_TRIES, 2).reshape(count, -1, 2)
  found = [fn(u) for u in draws]
  return [np.concatenate([f[i].numpy() for f in found]) for i in range(3)]


def gradient_image(height, width):
  rows, columns = np.mgrid[:height, :width]
  channels = [rows % 256, columns % 256, (rows + columns) % 256]
  return np.stack(channels, -1).astype(np.uint8)


def smooth_image(height, width):
  """Without sharp edges, so that half a pixel's shift shows little."""
  rows, columns = np.mgrid[:height, :width]
  waves = [
    np.sin(rows / 7 + columns / 11),
    np.cos(rows / 5),
    np.sin(columns / 9 - rows / 13),
  ]
  return np.round(127.5 + 120 * np.stack(waves, -1)).astype(np.uint8)


def encoded(image, kind):
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, kind, quality=95)
  return buffer.getvalue()


# Proposals of the training crop.


@pytest.mark.parametrize('size', [(375, 500), (500, 375), (1000, 90)])
def test_proposed_areas_are_uniform_whatever_the_image(size):
  areas, _, sides = proposals(*size)
  # Kolmogorov and Smirnov's distance from uniform, at one in ten thousand.
  expected = (np.sort(areas) - 0.08) / 0.92
  ranks = np.arange(len(areas)) / len(areas)
  assert np.abs(expected - ranks).max() < 2.2 / math.sqrt(len(areas))
  # Half a pixel of rounding on each side.
  found = sides.prod(1) / math.prod(size)
  slack = 0.5 / sides.min(1) + 0.5 / sides.max(1)
  assert (np.abs(found / areas - 1) < 1.1 * slack).all()


@pytest.mark.parametrize('law', crop_rules.ASPECT_RATIO_LAWS)
def test_proposed_ratios_follow_their_law(law):
  areas, ratios, sides = proposals(375, 500, aspect_ratio_law=law)
  low, high, values = 3 / 4, 4 / 3, ratios
  if law == 'log_uniform':
    low, high, values = math.log(low), math.log(high), np.log(ratios)
  expected = (np.sort(values) - low) / (high - low)
  ranks = np.arange(len(values)) / len(values)
  assert np.abs(expected - ranks).max() < 2.2 / math.sqrt(len(values))
  assert abs(np.corrcoef(areas, values)[0, 1]) < 0.1
  slack = 0.5 / sides.min(1) + 0.5 / sides.max(1)
  assert (np.abs(sides[:, 1] / sides[:, 0] / ratios - 1) < 1.1 * slack).all()


def test_the_two_laws_differ():
  # Half of the log-uniform ratios are below 1, of the uniform ones 43 %.
  below = {
    law: (proposals(375, 500, aspect_ratio_law=law)[1] < 1).mean()
    for law in crop_rules.ASPECT_RATIO_LAWS
  }
  assert below['log_uniform'] == pytest.approx(0.5, abs=0.03)
  assert below['uniform'] == pytest.approx(0.25 / (4 / 3 - 3 / 4), abs=0.03)


# Windows.


@pytest.mark.parametrize('size', [(375, 500), (500, 375), (64, 64)])
def test_windows_are_the_first_proposals_that_fit(size):
  found = windows(*size)
  draws = uniforms(400, 4 * cropping.NUM_TRIES).reshape(
    400, cropping.NUM_TRIES, 4
  )
  for window, draw in zip(found, draws, strict=True):
    sides = cropping.crop_proposals(
      tf.constant(size), draw[:, :2], distorted()
    )[2]
    fitting = [s for s in sides.numpy() if (s <= size).all()]
    if not fitting:
      continue
    np.testing.assert_array_equal(window[2:], fitting[0])
  top, left, height, width = found.T
  assert (top >= 0).all() and (left >= 0).all()
  assert (top + height <= size[0]).all() and (left + width <= size[1]).all()
  assert len(np.unique(found, axis=0)) > 300


def test_positions_cover_the_whole_room_evenly():
  top, left, height, width = windows(40, 40, area=(0.2, 0.3)).T
  assert top.min() == 0 and left.min() == 0
  assert (top + height).max() == 40 and (left + width).max() == 40
  for corner, side in ((top, height), (left, width)):
    shares = (corner + 0.5) / (40 - side + 1)
    assert shares.mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
  ('size', 'expected'),
  [((20, 1000), (20, 27)), ((1000, 20), (27, 20)), ((1, 1), (1, 1))],
)
def test_fallback_is_the_largest_centred_window(size, expected):
  window = windows(*size, count=1, area=(0.9, 1.0))[0]
  assert tuple(window[2:]) == expected
  np.testing.assert_array_equal(window[:2], (np.array(size) - window[2:]) // 2)


# Resizing.


def pillow(image, size, method):
  resized = Image.fromarray(image).resize((size, size), method)
  return np.asarray(resized).astype(int)


def ours(image, size, interpolation):
  """As a training crop of the whole image is resized."""
  spec = distorted(size, interpolations=(interpolation,))
  found = cropping.random_resize(tf.constant(image), tf.constant(0.5), spec)
  return found.numpy()


@pytest.mark.parametrize(
  ('interpolation', 'method', 'shape', 'size'),
  [
    ('bilinear', Resampling.BILINEAR, (50, 60), 64),
    ('bicubic', Resampling.BICUBIC, (50, 60), 64),
    # Nearest has no weights, so it is Pillow's at any size.
    ('nearest', Resampling.NEAREST, (50, 60), 64),
    ('nearest', Resampling.NEAREST, (151, 203), 64),
    # A pixel's area is a whole number of pixels: the plain mean of them.
    ('area', Resampling.BOX, (128, 192), 64),
    ('bilinear', Resampling.BOX, (128, 192), 64),
    ('bicubic', Resampling.BOX, (192, 64), 64),
  ],
)
def test_resizing_agrees_with_pillow(interpolation, method, shape, size):
  # Pillow rounds between its two passes, which shows at sharp edges.
  image = smooth_image(*shape)
  found = ours(image, size, interpolation).astype(int)
  difference = np.abs(found - pillow(image, size, method))
  assert difference.max() <= (0 if interpolation == 'nearest' else 1)


@pytest.mark.parametrize(
  ('shape', 'blocks'),
  # Of neither side, of one, of both; just below and at the double.
  [
    ((100, 127), (1, 1)),
    ((127, 128), (1, 2)),
    ((100, 150), (1, 2)),
    ((150, 210), (2, 3)),
    ((639, 320), (9, 5)),
  ],
)
def test_large_images_are_means_resized_by_four_pixels(shape, blocks):
  noise = np.random.default_rng(0)
  image = noise.integers(0, 256, (*shape, 3), dtype=np.uint8)
  means = Image.fromarray(image).resize(
    (shape[1] // blocks[1], shape[0] // blocks[0]), Resampling.BOX
  )
  # Pillow's way to look at four pixels, however much it shrinks.
  scale = means.width / 64, means.height / 64
  expected = means.transform(
    (64, 64),
    Image.Transform.AFFINE,
    (scale[0], 0, 0, 0, scale[1], 0),
    Resampling.BILINEAR,
  )
  found = ours(image, 64, 'bilinear').astype(int)
  # Pillow rounds the means, and cuts off what follows the point in the end.
  assert np.abs(found - np.asarray(expected).astype(int)).max() <= 2


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
def test_no_pixel_of_a_large_image_is_passed_over(interpolation):
  stripes = np.zeros((640, 640, 3), np.uint8)
  stripes[::10] = 250  # A tenth of the rows, which a pixel is as wide as.
  found = ours(stripes, 64, interpolation)
  assert (found == 25).all()


def test_area_is_the_mean_over_a_pixel():
  image = gradient_image(9, 9)
  found = ours(image, 6, 'area')
  # Each pixel covers one and a half in each direction.
  rows = np.zeros((6, 9))
  for i in range(6):
    for j in range(9):
      rows[i, j] = max(0, min((i + 1) * 1.5, j + 1) - max(i * 1.5, j)) / 1.5
  expected = np.einsum('ij,jkc,lk->ilc', rows, image, rows)
  assert np.abs(found - expected).max() <= 0.51


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
def test_moderate_shrinking_looks_at_few_pixels(interpolation):
  # 100 to 64: the pixels about the place that a pixel's centre comes from.
  image = np.zeros((100, 100, 3), np.uint8)
  image[:, 50] = 255
  row = ours(image, 64, interpolation)[32, :, 0]
  reach = {'bilinear': 1, 'bicubic': 2}[interpolation]
  places = (np.arange(64) + 0.5) * 100 / 64 - 0.5
  assert (row[np.abs(places - 50) >= reach] == 0).all()
  assert row.max() > 150


@pytest.mark.parametrize('interpolation', crop_rules.INTERPOLATIONS)
@pytest.mark.parametrize('shape', [(9, 5), (40, 40), (1, 1), (30, 700)])
def test_resizing_keeps_constants(interpolation, shape):
  image = np.full((*shape, 3), 201, np.uint8)
  found = ours(image, 16, interpolation)
  assert found.shape == (16, 16, 3) and found.dtype == np.uint8
  assert (found == 201).all()


def test_interpolations_are_drawn_equally_often():
  data = encoded(gradient_image(20, 20), 'png')
  names = crop_rules.INTERPOLATIONS
  alone = {}
  fixed = np.full((1, cropping.UNIFORMS_PER_CROP), 0.4, np.float32)
  for name in names:
    spec = distorted(interpolations=(name,))
    alone[name] = (
      cropping.distorted_crop(data, fixed[0], spec).numpy().tobytes()
    )
  assert len(set(alone.values())) == 4
  crop = tf.function(
    lambda u: cropping.distorted_crop(data, u, distorted(interpolations=names))
  )
  counts = dict.fromkeys(names, 0)
  for value in (np.arange(100) + 0.5) / 100:
    fixed[0, -1] = value
    found = crop(fixed[0]).numpy().tobytes()
    (name,) = (n for n, picture in alone.items() if picture == found)
    counts[name] += 1
  assert set(counts.values()) == {25}


# Evaluation.


def expected_evaluation_crop(image, size, name):
  """The crop in the steps of its description, by the libraries it names."""
  picture = Image.fromarray(image)
  width, height = picture.size
  resized = round(size * 256 / 224)
  if name == 'center_square':
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    picture = picture.crop((left, top, left + side, top + side))
    return np.asarray(picture.resize((size, size), Resampling.BILINEAR))
  if name == 'central_fraction':
    image = tf.image.central_crop(image, 0.875)
    return tf.compat.v1.image.resize_bilinear(
      image[tf.newaxis], (size, size), align_corners=False
    )[0].numpy()
  if name == 'warp':
    # What `cv2.resize` does, but for its fractions of 11 bits.
    image = tf.raw_ops.ResizeBilinear(
      images=image[np.newaxis], size=(resized, resized), half_pixel_centers=True
    )[0].numpy()
    start = round((resized - size) / 2)
    return image[start : start + size, start : start + size]
  if width <= height:
    shape = (resized, int(resized * height / width))
  else:
    shape = (int(resized * width / height), resized)
  image = np.asarray(picture.resize(shape, Resampling.BILINEAR))
  top = int(round((shape[1] - size) / 2.0))
  left = int(round((shape[0] - size) / 2.0))
  return image[top : top + size, left : left + size]


@pytest.mark.parametrize('name', crop_rules.EVALUATION_CROPS)
@pytest.mark.parametrize(
  'shape', [(60, 80), (81, 60), (256, 256), (40, 30), (300, 41), (1, 1)]
)
@pytest.mark.parametrize('kind', ['png', 'jpeg'])
def test_evaluation_crops_equal_their_sources(name, shape, kind):
  data = encoded(smooth_image(*shape), kind)
  image = np.asarray(Image.open(io.BytesIO(data)))
  expected = expected_evaluation_crop(image, 56, name).astype(float)
  found = cropping.evaluation_crop(data, crop_rules.EvaluationCrop(56, name))
  difference = np.abs(found.numpy() - expected)
  assert found.shape == (56, 56, 3)
  # One level: Pillow rounds between its two passes.
  assert difference.max() <= 1


def test_evaluation_crops_differ():
  data = encoded(smooth_image(60, 80), 'png')
  found = {
    cropping.evaluation_crop(data, crop_rules.EvaluationCrop(56, name))
    .numpy()
    .tobytes()
    for name in crop_rules.EVALUATION_CROPS
  }
  assert len(found) == 4


@pytest.mark.test_data
@pytest.mark.skipif(
  'INCEPTION_JAX_TEST_DATA' not in os.environ,
  reason='INCEPTION_JAX_TEST_DATA is not set',
)
def test_evaluation_crops_of_photographs_equal_pillow():
  folder = pathlib.Path(os.environ['INCEPTION_JAX_TEST_DATA'])
  spec = crop_rules.EvaluationCrop(224, 'shorter_side')
  crop = tf.function(lambda data: cropping.evaluation_crop(data, spec))
  with tarfile.open(folder / 'imagenet_sample.tar') as sample:
    for member in sample.getmembers()[::20]:
      data = sample.extractfile(member).read()
      image = np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))
      expected = expected_evaluation_crop(image, 224, 'shorter_side')
      difference = np.abs(
        crop(tf.constant(data)).numpy() - expected.astype(int)
      )
      assert difference.max() <= 1, member.name


def test_eager_and_tf_data_agree():
  data = encoded(gradient_image(90, 120), 'jpeg')
  draws = uniforms(1, cropping.UNIFORMS_PER_CROP, seed=1)[0]
  spec = distorted(interpolations=crop_rules.INTERPOLATIONS)
  crop = lambda image: cropping.distorted_crop(image, draws, spec)
  dataset = tf.data.Dataset.from_tensors(data).map(crop)
  np.testing.assert_array_equal(
    next(dataset.as_numpy_iterator()), crop(tf.constant(data))
  )
