"""Tests of the keys of examples, the mirror and the colours."""

import dataclasses
import io
import itertools
import math
import os
import pathlib
import tarfile

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageEnhance
import pytest
import tensorflow as tf

from inception_jax.training import augment

KEY = jax.random.key(7)


def keys_of(step, slots, key=KEY):
  return augment.example_keys(key, jnp.int32(step), jnp.asarray(slots))


def numbers(keys):
  return np.asarray(jax.random.key_data(keys))


@pytest.fixture(scope='module')
def images():
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (2000, 4, 5, 3)).astype(np.uint8)


def test_a_key_depends_on_the_place_not_on_the_share():
  whole = numbers(keys_of(5, np.arange(8)))
  part = numbers(keys_of(5, [3, 4]))
  assert part.shape != whole.shape
  np.testing.assert_array_equal(part, whole[3:5])
  np.testing.assert_array_equal(numbers(keys_of(5, [4, 3])), whole[[4, 3]])
  jitted = jax.jit(augment.example_keys)(KEY, jnp.int32(5), jnp.arange(8))
  np.testing.assert_array_equal(numbers(jitted), whole)


def test_keys_differ_between_slots_steps_and_runs():
  other = jax.random.key(8)
  every = [numbers(keys_of(step, np.arange(64))) for step in range(8)]
  every.append(numbers(keys_of(0, np.arange(64), key=other)))
  flat = np.concatenate(every)
  assert len(np.unique(flat, axis=0)) == len(flat) == 9 * 64


def test_keys_are_typed():
  keys = keys_of(0, [0, 1, 2])
  assert jnp.issubdtype(keys.dtype, jax.dtypes.prng_key)
  assert keys.shape == (3,)


def test_about_half_are_mirrored_exactly_and_left_to_right(images):
  keys = keys_of(0, np.arange(len(images)))
  result = np.asarray(augment.random_mirror(images, keys))
  assert result.dtype == images.dtype
  mirrored = images[:, :, ::-1]
  same = (result == images).all((1, 2, 3))
  flipped = (result == mirrored).all((1, 2, 3))
  # No image here is its own mirror image, or its upside-down one.
  assert not (images == mirrored).all((1, 2, 3)).any()
  assert not (images == images[:, ::-1]).all((1, 2, 3)).any()
  assert (same ^ flipped).all()
  # Six standard deviations of 2,000 coins.
  assert abs(flipped.mean() - 0.5) < 6 * np.sqrt(0.25 / len(images))


def test_a_coin_belongs_to_the_key(images):
  keys = keys_of(3, np.arange(16))
  whole = np.asarray(augment.random_mirror(images[:16], keys))
  part = np.asarray(augment.random_mirror(images[5:9], keys[5:9]))
  np.testing.assert_array_equal(part, whole[5:9])
  later = keys_of(4, np.arange(16))
  again = np.asarray(augment.random_mirror(images[:16], later))
  assert (again != whole).any()


def test_floats_are_mirrored_too(images):
  keys = keys_of(0, np.arange(16))
  whole = np.asarray(augment.random_mirror(images[:16], keys))
  floats = augment.random_mirror(jnp.asarray(images[:16], jnp.float32), keys)
  assert floats.dtype == jnp.float32
  np.testing.assert_array_equal(floats, whole.astype(np.float32))


# --- Colours -----------------------------------------------------------------

COLOURS = ('brightness', 'contrast', 'saturation', 'hue')
HOWARD = {'brightness': 0.5, 'contrast': 0.5, 'saturation': 0.5}
EVERYTHING = augment.Augmentation(**HOWARD, hue=0.1, lighting_std=0.1)
LUMA = np.array([0.299, 0.587, 0.114])


def changed(images, keys, **pieces):
  """The images after some pieces, without the mirror."""
  augmentation = augment.Augmentation(mirror=False, **pieces)
  return np.asarray(jax.jit(augmentation)(images, keys))


def flat_image(count, colour):
  return np.broadcast_to(np.uint8(colour), (count, 2, 2, 3))


def drawn(name, keys, width):
  """Factors, or turns, that the pieces draw, read from what they do."""
  if name == 'contrast':  # Two greys that stay away from 0 and 255.
    image = flat_image(len(keys), 100).copy()
    image[:, 0] = 150
    result = changed(image, keys, contrast=width)
    return (result[:, 0, 0, 0] - result[:, 1, 0, 0]) / 50
  colour = np.array([120, 100, 90])
  result = changed(flat_image(len(keys), colour), keys, **{name: width})[
    :, 0, 0
  ]
  if name == 'brightness':
    return result[:, 1] / 100
  if name == 'saturation':
    return (result[:, 0] - result[:, 2]) / 30
  chroma = lambda pixels: tf.image.rgb_to_yiq(pixels / 255).numpy()[..., 1:]
  before = chroma(np.float32(colour)) @ [1, 1j]
  return np.angle(chroma(result) @ [1, 1j] / before) / (2 * np.pi)


def clip(pixels):
  return np.clip(pixels, 0, 255)


def by_hand(name, pixels, numbers):
  """One piece in float64, from its definition; a number for each image."""
  numbers = numbers[:, None, None, None]
  grey = (pixels @ LUMA)[..., None]
  if name == 'brightness':
    return clip(numbers * pixels)
  if name == 'contrast':
    mean = np.round(grey).mean((1, 2, 3), keepdims=True)
    return clip(numbers * pixels + (1 - numbers) * mean)
  if name == 'saturation':
    return clip(numbers * pixels + (1 - numbers) * grey)
  yiq = tf.image.rgb_to_yiq(pixels).numpy()
  turned = (yiq[..., 1:] @ [1, 1j]) * np.exp(2j * np.pi * numbers[..., 0])
  yiq[..., 1], yiq[..., 2] = turned.real, turned.imag
  return clip(tf.image.yiq_to_rgb(yiq).numpy())


@pytest.fixture(scope='module')
def photographs():
  """Smooth, colourful images that reach 0 and 255: uint8 [16, 24, 32, 3]."""
  rng = np.random.default_rng(1)
  small = rng.integers(-60, 316, (16, 4, 5, 3))
  return (
    tf.image.resize(small, (24, 32), 'bicubic')
    .numpy()
    .clip(0, 255)
    .astype(np.uint8)
  )


@pytest.mark.parametrize(
  ('name', 'enhance'),
  [
    ('brightness', ImageEnhance.Brightness),
    ('contrast', ImageEnhance.Contrast),
    ('saturation', ImageEnhance.Color),
  ],
)
@pytest.mark.parametrize('width', [0.5, 1.0])
def test_a_piece_is_pillows(photographs, name, enhance, width):
  keys = keys_of(0, np.arange(16))
  result = changed(photographs, keys, **{name: width})
  factors = drawn(name, keys, width)
  assert factors.min() < 1 < factors.max()
  for image, source, factor in zip(result, photographs, factors, strict=True):
    expected = enhance(Image.fromarray(source)).enhance(float(factor))
    # Pillow cuts fractions off, and rounds the greys it mixes in.
    np.testing.assert_allclose(image, np.asarray(expected), atol=1.6)
  assert (np.abs(result - photographs).max((1, 2, 3)) > 0.1).all()


@pytest.mark.parametrize('width', [0.1, 0.5])
def test_hue_is_a_rotation_in_yiq(photographs, width):
  keys = keys_of(0, np.arange(16))
  result = changed(photographs, keys, hue=width)
  turns = drawn('hue', keys, width)
  assert turns.min() < -0.03 and turns.max() > 0.03
  expected = by_hand('hue', photographs.astype(np.float64), turns)
  # TensorFlow's matrix has four more digits.
  np.testing.assert_allclose(result, expected, atol=0.3)


def test_lighting_is_krizhevskys_sum(monkeypatch):
  normal = lambda key, shape: jnp.array([1.0, -2.0, 3.0])
  monkeypatch.setattr(jax.random, 'normal', normal)
  result = augment.lighting(keys_of(0, [0, 1]), 0.1)
  # Red, green and blue of each component.
  first = 0.2175 * np.array([-0.5675, -0.5808, -0.5836])
  second = 0.0188 * np.array([0.7192, -0.0045, -0.6948])
  third = 0.0045 * np.array([0.4009, -0.8140, 0.4203])
  expected = 255 * 0.1 * (first - 2 * second + 3 * third)
  np.testing.assert_allclose(result, [expected] * 2, rtol=1e-5)


def test_multiples_of_the_components_are_independent_and_normal():
  count = 20_000
  keys = keys_of(0, np.arange(count))
  shift = changed(flat_image(count, 128), keys, lighting_std=0.1) - 128.0
  assert (shift == shift[:, :1, :1]).all()  # The same for all pixels.
  shift = shift[:, 0, 0]
  # Krizhevsky et al. 4.1, in multiples of the standard deviation.
  normal = np.linalg.solve(
    augment.PCA_DIRECTIONS * augment.PCA_VARIANCES * 255 * 0.1, shift.T
  )
  error = 6 / math.sqrt(count)
  np.testing.assert_allclose(normal.mean(1), 0, atol=error)
  np.testing.assert_allclose(np.cov(normal), np.eye(3), atol=1.5 * error)
  np.testing.assert_allclose(
    (np.abs(normal) < 1).mean(1), math.erf(math.sqrt(0.5)), atol=error
  )
  twice = changed(flat_image(count, 128), keys, lighting_std=0.2) - 128.0
  np.testing.assert_allclose(twice[:, 0, 0], 2 * shift, atol=1e-3)


def test_lighting_is_clipped(photographs):
  keys = keys_of(0, np.arange(16))
  shift = (
    changed(flat_image(16, 128), keys, lighting_std=0.5)[:, :1, :1] - 128.0
  )
  result = changed(photographs, keys, lighting_std=0.5)
  np.testing.assert_allclose(result, clip(photographs + shift), atol=1e-3)
  assert (result == 0).any() and (result == 255).any()


@pytest.mark.parametrize('name', COLOURS)
@pytest.mark.parametrize('width', [0.3, 0.5])
def test_numbers_are_uniform_in_their_range(name, width):
  count = 4000
  keys = keys_of(0, np.arange(count))
  numbers = drawn(name, keys, width) - (name != 'hue')
  if width == 0.5 and name == 'hue':  # The circle closes.
    numbers = numbers % 1 - 0.5
  share = np.sort(numbers / width + 1) / 2
  assert -1e-4 < share[0] < 0.01 and 0.99 < share[-1] < 1 + 1e-4
  # Kolmogorov and Smirnov: exceeded once in 10^6.
  gap = np.abs(share - (np.arange(count) + 0.5) / count).max()
  assert gap < 2.7 / math.sqrt(count)


def test_numbers_of_different_pieces_are_independent():
  keys = keys_of(0, np.arange(4000))
  numbers = [drawn(name, keys, 0.3) for name in COLOURS]
  light = np.asarray(augment.lighting(keys, 0.1))
  numbers.extend(np.linalg.solve(augment.PCA_DIRECTIONS, light.T))
  sides = np.broadcast_to(np.uint8([0, 1])[:, None], (4000, 1, 2, 1))
  numbers.append(np.asarray(augment.random_mirror(sides, keys))[:, 0, 0, 0])
  correlation = np.corrcoef(numbers) - np.eye(len(numbers))
  assert np.abs(correlation).max() < 5 / math.sqrt(4000)


@pytest.mark.parametrize('names', [COLOURS[:3], COLOURS, ('contrast',)])
def test_pieces_come_in_every_order_equally_often(names):
  """Finds each image's order by trying all of them in float64."""
  count = 4000
  rng = np.random.default_rng(2)
  # Clipping alone makes the order matter, so these have much to clip.
  images = rng.choice([0, 40, 215, 255], (count, 4, 4, 3)).astype(np.uint8)
  keys = keys_of(0, np.arange(count))
  widths = {name: 0.3 if name == 'hue' else 0.9 for name in names}
  result = changed(images, keys, **widths)
  numbers = {name: drawn(name, keys, widths[name]) for name in names}
  orders, expected = list(itertools.permutations(names)), []
  for order in orders:
    pixels = images.astype(np.float64)
    for name in order:
      pixels = by_hand(name, pixels, numbers[name])
    expected.append(pixels)
  largest = lambda difference: np.abs(difference).max((-3, -2, -1))
  errors = np.stack([largest(pixels - result) for pixels in expected])
  assert errors.min(0).max() < 0.5
  # Counts where no two orders look alike.
  apart = np.ones(count, bool)
  for one, other in itertools.combinations(expected, 2):
    apart &= largest(one - other) > 1
  counts = np.bincount(errors.argmin(0)[apart], minlength=len(orders))
  mean = apart.sum() / len(orders)
  assert mean > 20
  # Chi-square, some five standard deviations above its mean.
  freedom = len(orders) - 1
  chi_square = ((counts - mean) ** 2 / mean).sum()
  assert chi_square <= freedom + 5 * math.sqrt(2 * freedom), counts


@pytest.mark.parametrize('length', [1, 2, 3, 4])
def test_orders_are_equally_likely(length):
  keys = keys_of(0, np.arange(24_000))
  orders = np.asarray(augment.random_orders(keys, length))
  different, counts = np.unique(orders, axis=0, return_counts=True)
  expected = list(itertools.permutations(range(length)))
  np.testing.assert_array_equal(different, expected)
  # Chi-square, some six standard deviations above its mean.
  mean = 24_000 / len(expected)
  freedom = len(expected) - 1
  chi_square = ((counts - mean) ** 2 / mean).sum()
  assert chi_square <= freedom + 6 * math.sqrt(2 * freedom)


@pytest.mark.parametrize('mirror', [False, True])
def test_no_colour_leaves_bytes(images, mirror):
  keys = keys_of(0, np.arange(16))
  augmentation = augment.Augmentation(mirror=mirror)
  result = augmentation(images[:16], keys)
  assert result.dtype == np.uint8
  expected = augment.random_mirror(images[:16], keys) if mirror else images[:16]
  np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize('name', COLOURS)
def test_a_piece_that_is_0_adds_nothing(name):
  """The program of the others is the same with and without its field."""
  shapes = (
    jax.ShapeDtypeStruct((2, 4, 4, 3), np.uint8),
    jax.eval_shape(lambda: keys_of(0, [0, 1])),
  )
  program = lambda augmentation: str(jax.make_jaxpr(augmentation)(*shapes))
  everything = program(EVERYTHING)
  without = program(dataclasses.replace(EVERYTHING, **{name: 0.0}))
  assert len(without) < len(everything)
  only = program(augment.Augmentation(mirror=False, **{name: 0.5}))
  assert len(only) < len(without)
  # Contrast alone reads the whole image first.
  assert ('reduce_sum[axes=(1, 2)' in only) == (name == 'contrast')
  assert ('reduce_sum[axes=(1, 2)' in without) == (name != 'contrast')
  nothing = program(augment.Augmentation(mirror=False))
  assert nothing.count('=') == 0, nothing


def test_the_mirror_is_the_same_with_colours(photographs):
  keys = keys_of(0, np.arange(16))
  both = np.asarray(jax.jit(EVERYTHING)(photographs, keys))
  colours = dataclasses.replace(EVERYTHING, mirror=False)
  mirrored = augment.random_mirror(photographs, keys)
  assert (np.asarray(mirrored) != photographs).any()
  expected = jax.jit(colours)(mirrored, keys)
  np.testing.assert_allclose(both, expected, atol=1e-3)


def test_an_example_depends_on_its_key_only(photographs):
  keys = keys_of(0, np.arange(16))
  program = jax.jit(EVERYTHING)
  whole = np.asarray(program(photographs, keys))
  some = np.array([11, 2, 5])
  part = np.asarray(program(photographs[some], keys[some]))
  np.testing.assert_array_equal(part, whole[some])
  other = np.asarray(program(photographs, keys_of(1, np.arange(16))))
  assert (np.abs(other - whole).max((1, 2, 3)) > 1).all()
  # Equal images with different keys become different images.
  same = np.broadcast_to(photographs[:1], photographs.shape)
  result = np.asarray(program(same, keys)).reshape(16, -1)
  assert len(np.unique(result, axis=0)) == 16


def test_results_are_floats_in_the_range_of_pixels(photographs):
  augmentation = augment.Augmentation(
    brightness=1.0, contrast=1.0, saturation=1.0, hue=0.5, lighting_std=1.0
  )
  for step in range(4):
    keys = keys_of(step, np.arange(16))
    result = np.asarray(jax.jit(augmentation)(photographs, keys))
    assert result.shape == photographs.shape and result.dtype == np.float32
    assert result.min() == 0 and result.max() == 255


@pytest.mark.parametrize('name', ['saturation', 'hue'])
def test_grey_stays_grey(photographs, name):
  grey = np.repeat(photographs[..., :1], 3, axis=-1)
  keys = keys_of(0, np.arange(16))
  result = changed(grey, keys, **{name: 0.5})
  np.testing.assert_allclose(result, grey, atol=1e-3)
  coloured = changed(photographs, keys, **{name: 0.5})
  assert (np.abs(coloured - photographs).max((1, 2, 3)) > 0.1).all()


@pytest.mark.parametrize(
  'values',
  [
    {'brightness': -0.1},
    {'brightness': 1.1},
    {'contrast': 2},
    {'contrast': math.nan},
    {'saturation': math.inf},
    {'saturation': -1e-9},
    {'hue': 0.51},
    {'hue': -0.1},
    {'lighting_std': -0.1},
    {'lighting_std': math.nan},
    {'lighting_std': math.inf},
  ],
  ids=str,
)
def test_a_field_out_of_range_is_named(values):
  (name,) = values
  with pytest.raises(ValueError, match=f'^{name} must be .*{values[name]}'):
    augment.Augmentation(**values)


def test_the_ends_of_the_ranges_are_allowed():
  augment.Augmentation(True, 0, 0, 0, 0, 0)
  augment.Augmentation(False, 1, 1, 1, 0.5, 10)


@pytest.mark.test_data
def test_published_components_are_those_of_photographs():
  folder = os.environ.get('INCEPTION_JAX_TEST_DATA')
  if not folder:
    pytest.skip('INCEPTION_JAX_TEST_DATA is not set')
  pixels = []
  with tarfile.open(pathlib.Path(folder) / 'imagenet_sample.tar') as tar:
    names = sorted(name for name in tar.getnames() if name.endswith('.JPEG'))
    for name in names[::5]:
      with Image.open(io.BytesIO(tar.extractfile(name).read())) as image:
        small = image.convert('RGB').resize((64, 64), Image.Resampling.NEAREST)
      pixels.append(np.asarray(small).reshape(-1, 3) / 255)
  assert len(pixels) >= 100
  variances, directions = np.linalg.eigh(np.cov(np.concatenate(pixels).T))
  variances, directions = variances[::-1], directions[:, ::-1]
  cosines = np.abs((directions * augment.PCA_DIRECTIONS).sum(0))
  assert (cosines > 0.99).all(), cosines
  # A hundred photographs of 1.2 million; a standard deviation or a variance in
  # other units would be off by more.
  ratios = variances / augment.PCA_VARIANCES
  assert ((ratios > 1 / 1.6) & (ratios < 1.6)).all(), ratios
