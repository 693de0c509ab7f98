"""Augmentation that runs on the device, inside the compiled step."""

import jax
import jax.numpy as jnp

# Folded into an example's key, so that each use of it draws its own numbers.
_MIRROR_SALT = 1


def example_keys(
  key: jax.Array, step: jax.Array, slots: jax.Array
) -> jax.Array:
  """One random key for each example of a global batch.

  The key depends on the example's place in the global batch, not on the device
  or process that holds it.

  Args:
    key: typed key of the run.
    step: int32 scalar, number of updates done so far.
    slots: int32 `[batch]`, places in the global batch.

  Returns:
    Typed keys `[batch]`.
  """
  step_key = jax.random.fold_in(key, step)
  return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(step_key, slots)


def random_mirror(images: jax.Array, keys: jax.Array) -> jax.Array:
  """Mirrors each image left to right with probability one half.

  Args:
    images: `[batch, height, width, channels]`.
    keys: typed keys `[batch]`.

  Returns:
    Array like `images`.
  """

  def coin(key):
    return jax.random.bernoulli(jax.random.fold_in(key, _MIRROR_SALT))

  flip = jax.vmap(coin)(keys)
  return jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)
