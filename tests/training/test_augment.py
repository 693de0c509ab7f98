"""Tests of the keys of examples and of the mirror."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
