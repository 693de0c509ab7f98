"""Pillow's bilinear resizing, filtered against aliasing, in whole numbers.

Each pixel of a resized row is a weighted sum of a few neighbours, its taps, in
fixed point; then the same along the columns, of the rounded rows. Whole numbers
make the same pixels on every device as in Pillow.

References:
  Pillow, src/libImaging/Resample.c.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

# Of the weights, which fit 32 bits with 8 bits of colour and 2 to spare.
_FRACTION_BITS = 22


@functools.lru_cache(maxsize=1024)  # Photographs come in few shapes.
def bilinear_taps(length: int, resized: int) -> np.ndarray:
  """What makes each pixel of a resized row or column.

  Args:
    length: pixels of the row.
    resized: pixels it is to have.

  Returns:
    int32 `[resized, 1 + count]`, read-only: the place of the first tap, and the
    weights of `count = 2 * ceil(max(length / resized, 1)) + 1` from there on,
    in 2**-22; those beyond the end of the row are 0.
  """
  scale = length / resized
  reach = max(scale, 1.0)
  centers = (np.arange(resized) + 0.5) * scale
  first = np.maximum((centers - reach + 0.5).astype(int), 0)
  end = np.minimum((centers + reach + 0.5).astype(int), length)
  places = first[:, None] + np.arange(2 * math.ceil(reach) + 1)
  distances = np.abs((places - centers[:, None] + 0.5) * (1 / reach))
  weights = np.maximum(1 - distances, 0) * (places < end[:, None])
  # In this order, as Pillow adds them.
  weights /= functools.reduce(np.add, weights.T)[:, None]
  fixed = (0.5 + weights * 2**_FRACTION_BITS).astype(int)
  taps = np.column_stack([first, fixed]).astype(np.int32)
  taps.setflags(write=False)
  return taps


def resample(pixels: jax.Array, taps: jax.Array, axis: int) -> jax.Array:
  """Resizes along one axis.

  Args:
    pixels: uint8 `[height, width, channels]`.
    taps: int32 `[resized, 1 + count]`, from `bilinear_taps`.
    axis: 0 or 1.

  Returns:
    uint8, `resized` along the axis.
  """
  first, *weights = jnp.moveaxis(taps, 1, 0)
  along = [1, 1, 1]
  along[axis] = len(taps)
  total = jnp.int32(2 ** (_FRACTION_BITS - 1))
  for place, weight in enumerate(weights):
    # What lies beyond the end has no weight.
    neighbours = jnp.take(pixels, first + place, axis, mode='clip')
    total += neighbours.astype(jnp.int32) * weight.reshape(along)
  # Weights add up to 1 but for their rounding: never below 0 or above 255.
  return (total >> _FRACTION_BITS).astype(jnp.uint8)


def resize(pixels: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
  """Resizes a picture, its rows first.

  So does Pillow, unless (since version 13) the height shrinks much more than
  the width.

  Args:
    pixels: uint8 `[height, width, channels]`.
    rows: taps of the rows of the result.
    columns: taps of its columns.
  """
  return resample(resample(pixels, columns, 1), rows, 0)
