"""Tests of pixels to network input and back, and of the table of profiles."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax import preprocess, profiles
from inception_jax.models import ARCHITECTURES

PREPROCESSINGS = {
  'mean_rgb': preprocess.MEAN_RGB,
  'google': preprocess.GOOGLE,
  'imagenet_mean_std': preprocess.IMAGENET_MEAN_STD,
}


@pytest.fixture(scope='module')
def all_values():
  """Every pixel value in every channel, `[256, 1, 3]`."""
  values = np.arange(256, dtype=np.uint8)
  return np.stack([values, values[::-1], np.roll(values, 99)], -1)[:, None]


def test_google_stretches_to_256_and_takes_off_117(all_values):
  result = preprocess.GOOGLE(jnp.asarray(all_values))
  expected = all_values.astype(np.float64) * 256 / 255 - 117
  np.testing.assert_allclose(result, expected, rtol=1e-5, atol=2e-5)
  ends = preprocess.GOOGLE(jnp.array([0, 255], jnp.uint8)[:, None, None, None])
  np.testing.assert_allclose(ends[:, 0, 0, 0], [-117, 139], rtol=1e-6)


def test_mean_rgb_takes_off_each_channel_its_own(all_values):
  result = preprocess.MEAN_RGB(jnp.asarray(all_values))
  for channel, mean in enumerate([123.68, 116.779, 103.939]):
    np.testing.assert_allclose(
      result[..., channel],
      all_values[..., channel].astype(np.float64) - mean,
      rtol=1e-5,
      atol=2e-5,
    )


@pytest.mark.parametrize('name', PREPROCESSINGS)
def test_invert_is_the_way_back(name, all_values):
  preprocessing = PREPROCESSINGS[name]
  inputs = preprocessing(jnp.asarray(all_values))
  assert np.abs(np.asarray(inputs) - all_values).max() > 100
  back = preprocessing.invert(inputs)
  assert back.dtype == jnp.float32
  np.testing.assert_allclose(back, all_values, atol=1e-4)
  np.testing.assert_array_equal(np.round(back).astype(np.uint8), all_values)


@pytest.mark.parametrize('name', PREPROCESSINGS)
@pytest.mark.parametrize('dtype', [jnp.uint8, jnp.float32, jnp.bfloat16])
def test_input_is_float32_of_the_same_shape(name, dtype):
  for shape in [(2, 4, 5, 3), (4, 5, 3)]:
    result = PREPROCESSINGS[name](jnp.ones(shape, dtype))
    assert (result.shape, result.dtype) == (shape, jnp.float32)


def test_pixels_are_not_taken_for_numbers_up_to_one():
  """A dark image as uint8 and as float gives the same input."""
  dark = np.full((2, 2, 3), 1, np.uint8)
  for preprocessing in PREPROCESSINGS.values():
    np.testing.assert_array_equal(
      preprocessing(jnp.asarray(dark)),
      preprocessing(jnp.asarray(dark, jnp.float32)),
    )


@pytest.mark.parametrize('name', PREPROCESSINGS)
def test_bfloat16_pixels_are_widened_first(name):
  values = jnp.full((1, 1, 3), 201, jnp.bfloat16)  # Exact in bfloat16.
  scaled = values * preprocess.GOOGLE.scale
  assert scaled.dtype == jnp.bfloat16 and scaled[0, 0, 0] != 201 * 256 / 255
  np.testing.assert_array_equal(
    PREPROCESSINGS[name](values),
    PREPROCESSINGS[name](jnp.asarray(values, jnp.float32)),
  )


def test_every_model_has_a_profile():
  assert profiles.PROFILES.keys() == ARCHITECTURES.keys()
  for name, profile in profiles.PROFILES.items():
    assert profiles.profile_of(name) is profile
  with pytest.raises(KeyError):
    profiles.profile_of('inception_v9')


@pytest.mark.parametrize('name', ['inception_v1', 'inception_v1_bn'])
def test_members_for_tests_have_the_profile_of_the_full_network(name):
  assert f'{name}_shallow' not in profiles.PROFILES
  profile = profiles.profile_of(f'{name}_shallow')
  assert profile == profiles.PROFILES[name]


def test_profiles_are_those_of_the_published_networks():
  rows = {
    name: (profile.preprocessing, profile.num_classes)
    for name, profile in profiles.PROFILES.items()
  }
  assert rows.pop('inception_v1_google') == (preprocess.GOOGLE, 1008)
  assert rows.pop('inception_v1_caffe') == (preprocess.CAFFE, 1000)
  assert rows.pop('inception_v1_torchvision') == (preprocess.UNIT, 1000)
  assert rows.pop('inception_v1_tf_slim') == (preprocess.UNIT, 1001)
  assert set(rows.values()) == {(preprocess.MEAN_RGB, 1000)}


def test_crops_are_those_of_the_published_networks():
  crops = {name: x.eval_crop for name, x in profiles.PROFILES.items()}
  assert crops.pop('inception_v1_caffe') == 'warp'
  assert crops.pop('inception_v1_tf_slim') == 'central_fraction'
  assert set(crops.values()) == {'shorter_side'}


def test_caffe_takes_bgr(all_values):
  """Reversed, minus 104, 117 and 123, as its data layer has it."""
  expected = all_values[..., ::-1] - np.array([104, 117, 123], np.float32)
  inputs = preprocess.CAFFE(jnp.asarray(all_values))
  np.testing.assert_array_equal(inputs, expected)
  assert np.abs(inputs - inputs[..., ::-1]).max() > 1


def test_torchvision_undoes_its_normalisation(all_values):
  """Normalised for ImageNet, then by `transform_input`."""
  mean = np.array([0.485, 0.456, 0.406])
  deviation = np.array([0.229, 0.224, 0.225])
  normalised = (all_values / 255 - mean) / deviation
  expected = normalised * (deviation / 0.5) + (mean - 0.5) / 0.5
  inputs = preprocess.UNIT(jnp.asarray(all_values))
  np.testing.assert_allclose(inputs, expected, atol=1e-6)
  assert inputs.min() == -1 and inputs.max() == 1


def test_profiles_cannot_be_changed():
  with pytest.raises(TypeError):
    profiles.PROFILES['inception_v1'] = None
  with pytest.raises(dataclasses.FrozenInstanceError):
    profiles.PROFILES['inception_v1'].num_classes = 10


def test_torchvision_without_transform_input(all_values):
  """As `ToTensor` and `Normalize` have it."""
  mean = np.array([0.485, 0.456, 0.406])
  deviation = np.array([0.229, 0.224, 0.225])
  expected = (all_values / 255 - mean) / deviation
  inputs = preprocess.IMAGENET_MEAN_STD(jnp.asarray(all_values))
  np.testing.assert_allclose(inputs, expected, atol=1e-6)
  turned = dataclasses.replace(preprocess.IMAGENET_MEAN_STD, bgr=True)
  inputs = turned(jnp.asarray(all_values))
  np.testing.assert_allclose(inputs, expected[..., ::-1], atol=1e-6)


def test_three_equal_scales_are_one():
  """So that what earlier versions wrote is the same network."""
  one = preprocess.Preprocessing((0.5, 0.5, 0.5), (1.0, 2.0, 3.0))
  assert one == preprocess.Preprocessing(0.5, (1.0, 2.0, 3.0))
  assert one.scale == 0.5 and one.scales == (0.5, 0.5, 0.5)
  assert hash(one) == hash(preprocess.Preprocessing(0.5, (1.0, 2.0, 3.0)))


def with_image(image, **arguments):
  return preprocess.Preprocessing(
    mean=(0.0, 0.0, 0.0),
    mean_image=image.astype('<f4').tobytes(),
    **arguments,
  )


def test_a_mean_of_each_place():
  rng = np.random.default_rng(0)
  image = rng.uniform(0, 99, (4, 4, 3)).astype(np.float32)
  pixels = rng.integers(0, 256, (2, 5, 4, 4, 3), np.uint8)
  preprocessing = with_image(image, scale=(1.0, 0.5, 2.0), bgr=True)
  inputs = preprocessing(jnp.asarray(pixels))
  expected = pixels * np.array([1, 0.5, 2], np.float32) - image
  np.testing.assert_allclose(inputs, expected[..., ::-1], rtol=1e-6)
  np.testing.assert_allclose(preprocessing.invert(inputs), pixels, atol=1e-4)


def test_a_mean_of_each_place_is_resized():
  """Between its places linearly, and beyond the outer ones as they are."""
  ramp = np.broadcast_to(np.arange(4.0)[:, None, None], (4, 4, 3))
  preprocessing = with_image(ramp, scale=1.0)
  larger = preprocessing.mean_of(8, 6)
  rows = [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
  expected = np.broadcast_to(np.array(rows)[:, None, None], (8, 6, 3))
  np.testing.assert_allclose(larger, expected, atol=1e-6)
  np.testing.assert_allclose(
    preprocessing.mean_of(2, 4)[:, 0, 0], [0.5, 2.5], atol=1e-6
  )


@pytest.mark.parametrize(
  ('preprocessing', 'words'),
  [
    (preprocess.UNIT, 'pixel * 0.00784314 - 1, in the order RGB'),
    (
      preprocess.CAFFE,
      'G pixel * 1 - 117, B pixel * 1 - 104, in the order BGR',
    ),
    (
      preprocess.normalised((-0.5, 0.0, 0.5), white=0.5),
      'R pixel * 0.00196078 + 0.5, G',
    ),
    (with_image(np.ones((2, 2, 3)), scale=1.0), '- the mean of each place'),
  ],
  ids=range(4),
)
def test_what_it_does_in_words(preprocessing, words):
  assert words in preprocessing.describe()
