"""Padding and pooling. Arrays are NHWC; shapes are static."""

from collections.abc import Sequence
import functools

import jax
from jax import lax
import jax.numpy as jnp

Padding = tuple[tuple[int, int], tuple[int, int]]

# Of the auxiliary heads: 5x5 windows with stride 3, whole ones only; these and
# what is left at the edge; or to 4x4 whatever the size.
HEAD_POOLS = ('valid', 'ceil', 'adaptive')


def same_padding(size: Sequence[int], window: int, stride: int) -> Padding:
  """Padding of TensorFlow's SAME: output `ceil(size / stride)`, excess after.

  Args:
    size: height and width of the input.
    window: side of the square window.
    stride: step of the window.

  Returns:
    Pixels to add ((top, bottom), (left, right)).
  """
  pads = []
  for length in size:
    total = max((-(-length // stride) - 1) * stride + window - length, 0)
    pads.append((total // 2, total - total // 2))
  return tuple(pads)


def explicit_padding(
  kind: str, size: Sequence[int], window: int, stride: int
) -> Padding:
  """Padding in pixels for `same`, `symmetric` (`window // 2` a side) or `ceil`.

  `ceil` is Caffe's and PyTorch's rounding of pools without padding: none
  before, and after what the last, partial window lacks. Of even sizes, a 3x3
  window with stride 2 is where `same` has it; of odd ones it is not.
  """
  if kind == 'same':
    return same_padding(size, window, stride)
  if kind == 'symmetric':
    return ((window // 2, window // 2),) * 2
  if kind == 'ceil':
    return tuple((0, (window - length) % stride) for length in size)
  raise ValueError(
    f"padding must be 'same', 'symmetric' or 'ceil', not {kind!r}"
  )


def max_pool(
  x: jax.Array, window: int, stride: int, padding: str = 'same'
) -> jax.Array:
  """Max-pooling whose gradient needs no select-and-scatter.

  The gradient of XLA's own pooling has no deterministic form on GPU and costs
  more than the neighbouring convolutions on CPU. Here the window is taken
  apart into a row pass and a column pass, and each pass sends its gradient to
  the first of the largest values: the same element that select-and-scatter
  picks, scanning the window row by row.

  Args:
    x: `[batch, height, width, channels]`.
    window: side of the square window.
    stride: step of the window.
    padding: see `explicit_padding`; padded places never win.

  Returns:
    `[batch, out_height, out_width, channels]`, of the type of `x`.
  """
  pads = explicit_padding(padding, x.shape[1:3], window, stride)
  return _max_pool(x, window, stride, pads)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x, window, stride, pads):
  return lax.reduce_window(
    x,
    -jnp.inf,
    lax.max,
    (1, window, window, 1),
    (1, stride, stride, 1),
    ((0, 0), *pads, (0, 0)),
  )


def _max_pool_fwd(x, window, stride, pads):
  y = lax.platform_dependent(
    x,
    # The gradient needs the rows' maxima anyway, and two short windows have
    # fewer places to look at than a square one.
    cpu=lambda x: _max_pool_1d(
      _max_pool_1d(x, 2, window, stride, pads[1]), 1, window, stride, pads[0]
    ),
    default=lambda x: _max_pool(x, window, stride, pads),
  )
  return y, x


def _max_pool_bwd(window, stride, pads, x, grad):
  row_max = _max_pool_1d(x, 2, window, stride, pads[1])
  grad_rows = _max_pool_1d_grad(row_max, grad, 1, window, stride, pads[0])
  return (_max_pool_1d_grad(x, grad_rows, 2, window, stride, pads[1]),)


_max_pool.defvjp(_max_pool_fwd, _max_pool_bwd)


def _max_pool_1d(x, axis, window, stride, pad):
  dims, strides, pads = [1] * 4, [1] * 4, [(0, 0)] * 4
  dims[axis], strides[axis], pads[axis] = window, stride, pad
  return lax.reduce_window(x, -jnp.inf, lax.max, dims, strides, pads)


def _max_pool_1d_grad(x, grad, axis, window, stride, pad):
  """Gradient of a one-dimensional pass; the first maximum takes it all."""
  span = (grad.shape[axis] - 1) * stride + 1
  edges = [(0, 0, 0)] * 4
  edges[axis] = (*pad, 0)
  padded = lax.pad(x, jnp.array(-jnp.inf, x.dtype), edges)
  taps = [
    lax.slice_in_dim(padded, k, k + span, stride, axis) for k in range(window)
  ]
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


def avg_pool_valid(x: jax.Array, window: int, stride: int) -> jax.Array:
  """Average pooling without padding, `[N, H, W, C]` -> `[N, h, w, C]`."""
  total = lax.reduce_window(
    x,
    0.0,
    lax.add,
    (1, window, window, 1),
    (1, stride, stride, 1),
    'VALID',
  )
  return total / (window * window)


def avg_pool_ceil(x: jax.Array, window: int, stride: int) -> jax.Array:
  """As `avg_pool_valid`, and also over the part of a window at the edge."""
  pads = explicit_padding('ceil', x.shape[1:3], window, stride)
  if pads == ((0, 0), (0, 0)):
    return avg_pool_valid(x, window, stride)
  sums = [
    lax.reduce_window(
      value,
      0.0,
      lax.add,
      (1, window, window, 1),
      (1, stride, stride, 1),
      ((0, 0), *pads, (0, 0)),
    )
    for value in (x, jnp.ones((1, *x.shape[1:3], 1), x.dtype))
  ]
  return sums[0] / sums[1]


def adaptive_avg_pool(x: jax.Array, size: int) -> jax.Array:
  """Average pooling to a fixed size, as PyTorch's `AdaptiveAvgPool2d`.

  Output i averages the rows from `floor(i * n / size)` up to
  `ceil((i + 1) * n / size)`, so 14 rows to 4 use windows of 4 that start at
  0, 3, 7 and 10; fewer rows than `size` are repeated.

  Args:
    x: `[batch, height, width, channels]`.
    size: height and width of the output.

  Returns:
    `[batch, size, size, channels]`.
  """
  for axis in (1, 2):
    length = x.shape[axis]
    x = jnp.stack(
      [
        lax.slice_in_dim(
          x, i * length // size, -(-(i + 1) * length // size), axis=axis
        ).mean(axis)
        for i in range(size)
      ],
      axis,
    )
  return x
