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
