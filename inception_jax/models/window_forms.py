"""Max-pooling and gradients of pools, in a form for each backend.

`pooling` chooses. Arrays are NHWC; `pads` are of height and width.
"""

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

Pads = tuple[tuple[int, int], tuple[int, int]]


def square(x: jax.Array, window: int, stride: int, pads: Pads) -> jax.Array:
  """Max-pooling by one square window."""
  return lax.reduce_window(
    x,
    -jnp.inf,
    lax.max,
    (1, window, window, 1),
    (1, stride, stride, 1),
    ((0, 0), *pads, (0, 0)),
  )


def square_grad(
  x: jax.Array, grad: jax.Array, window: int, stride: int, pads: Pads
) -> jax.Array:
  """XLA's own gradient, a select-and-scatter."""
  return jax.vjp(lambda x: square(x, window, stride, pads), x)[1](grad)[0]


def two_passes(x: jax.Array, window: int, stride: int, pads: Pads) -> jax.Array:
  """Max-pooling by a window along rows, then one along columns."""
  rows = _max_pool_1d(x, 2, window, stride, pads[1])
  return _max_pool_1d(rows, 1, window, stride, pads[0])


def two_passes_grad(
  x: jax.Array, grad: jax.Array, window: int, stride: int, pads: Pads
) -> jax.Array:
  """Each pass sends its gradient to the first of its largest values."""
  row_max = _max_pool_1d(x, 2, window, stride, pads[1])
  grad_rows = _max_pool_1d_grad(row_max, grad, 1, window, stride, pads[0])
  return _max_pool_1d_grad(x, grad_rows, 2, window, stride, pads[1])


def sliced_passes(
  x: jax.Array, window: int, stride: int, pads: Pads
) -> jax.Array:
  """As `two_passes`, the largest of slices instead of windows.

  XLA:GPU computes windows of bfloat16 in float32 and stores that; slices stay
  as narrow as they are. Without the barrier one kernel would do both passes,
  and each maximum of a row `window` times.
  """
  rows, _ = _first_maximum(x, None, 2, window, stride, pads[1])
  rows = lax.optimization_barrier(rows)
  return _first_maximum(rows, None, 1, window, stride, pads[0])[0]


def sliced_passes_with_places(
  x: jax.Array, window: int, stride: int, pads: Pads
) -> tuple[jax.Array, jax.Array]:
  """The same, and which place of its window holds each: row by row, uint8."""
  found = _first_maximum(x, None, 2, window, stride, pads[1])
  rows, places = lax.optimization_barrier(found)
  return _first_maximum(rows, places, 1, window, stride, pads[0])


def _first_maximum(x, places, axis, window, stride, pad):
  """Largest of each window along an axis, and the place of the first.

  The places of `x` in a pass before this one, if there are any, are kept: a
  place of this pass counts `window` of them.
  """
  taps = _taps(x, -jnp.inf, axis, window, stride, pad)
  if places is not None:
    places = _taps(places, 0, axis, window, stride, pad)
  largest, place = taps[0], None
  for k, tap in enumerate(taps):
    here = jnp.full(tap.shape, k, jnp.uint8)
    if places is not None:
      here = here * jnp.uint8(window) + places[k]
    place = here if place is None else jnp.where(tap > largest, here, place)
    largest = jnp.maximum(largest, tap)
  return largest, place


def _taps(x, fill, axis, window, stride, pad):
  """What is at each place of the windows along an axis, place by place."""
  edges = [(0, 0, 0)] * 4
  edges[axis] = (*pad, 0)
  padded = lax.pad(x, jnp.array(fill, x.dtype), edges)
  span = (padded.shape[axis] - window) // stride * stride + 1
  return [
    lax.slice_in_dim(padded, k, k + span, stride, axis) for k in range(window)
  ]


def gathered(
  grad: jax.Array,
  shape: tuple[int, ...],
  window: int,
  stride: int,
  pads: Pads,
  places: jax.Array | None = None,
) -> jax.Array:
  """Sum, at each input, of the gradients of the windows that hold it.

  Inputs are taken in blocks of `stride` by `stride`, for whose members the same
  few windows come into question: `[n, rows, stride, columns, stride, c]`.

  Args:
    grad: of the output, `[n, out_height, out_width, c]`.
    shape: of the input.
    window: side of the window.
    stride: step of the window.
    pads: padding of the input.
    places: the only place of each window that has its gradient, uint8 like
      `grad`; None for all places.

  Returns:
    Array of `shape`, of the type of `grad`.
  """
  blocks = [-(-length // stride) for length in shape[1:3]]
  total = None
  for down, row in _windows_of_block(window, stride, pads[0][0]):
    for right, column in _windows_of_block(window, stride, pads[1][0]):
      moved = [(0, 0, 0)] * 4
      for axis, by in ((1, down), (2, right)):
        moved[axis] = (-by, blocks[axis - 1] - grad.shape[axis] + by, 0)
      spread = lambda x, moved=moved: lax.pad(x, jnp.zeros((), x.dtype), moved)[
        :, :, None, :, None
      ]
      inside = (row >= 0)[:, None] & (column >= 0)[None]
      place = np.where(inside, row[:, None] * window + column[None], 255)
      place = place.astype(np.uint8).reshape(1, 1, stride, 1, stride, 1)
      if places is None:
        holds = jnp.asarray(place != 255)
      else:
        holds = spread(places) == place
      part = jnp.where(holds, spread(grad), jnp.zeros((), grad.dtype))
      total = part if total is None else total + part
  n, _, _, channels = shape
  height, width = (stride * count for count in blocks)
  dx = total.reshape(n, height, width, channels)
  return dx[:, : shape[1], : shape[2]]


def _windows_of_block(window, stride, before):
  """Windows that hold members of a block of inputs, along one axis.

  Yields:
    How many windows further on than the block, and the place in that window of
    each of the block's `stride` members; -1 where the window lacks it.
  """
  first = -((window - 1 - before) // stride)
  for further in range(first, (stride - 1 + before) // stride + 1):
    place = np.arange(stride) + before - stride * further
    yield further, np.where((0 <= place) & (place < window), place, -1)


def _max_pool_1d(x, axis, window, stride, pad):
  dims, strides, pads = [1] * 4, [1] * 4, [(0, 0)] * 4
  dims[axis], strides[axis], pads[axis] = window, stride, pad
  return lax.reduce_window(x, -jnp.inf, lax.max, dims, strides, pads)


def _max_pool_1d_grad(x, grad, axis, window, stride, pad):
  """Gradient of a one-dimensional pass; the first maximum takes it all."""
  span = (grad.shape[axis] - 1) * stride + 1
  taps = _taps(x, -jnp.inf, axis, window, stride, pad)
  # prefix[k] is the largest of taps 0 to k.
  prefix = [taps[0]]
  for tap in taps[1:-1]:
    prefix.append(jnp.maximum(prefix[-1], tap))
  total = jnp.maximum(prefix[-1], taps[-1])
  zero = jnp.zeros((), grad.dtype)
  dx = None
  for k, tap in enumerate(taps):
    wins = tap == total
    if k:
      wins &= prefix[k - 1] < total
    spread = [(0, 0, 0)] * 4
    low = k - pad[0]  # Negative padding drops what fell outside `x`.
    spread[axis] = (low, x.shape[axis] - low - span, stride - 1)
    part = lax.pad(jnp.where(wins, grad, zero), zero, spread)
    dx = part if dx is None else dx + part
  return dx
