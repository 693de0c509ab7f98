"""Padding and pooling. Arrays are NHWC; shapes are static."""

from collections.abc import Sequence
import functools

import jax
from jax import lax
import jax.numpy as jnp

from inception_jax.models import window_forms

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
  """Max-pooling whose gradient has a form for each backend.

  All of them send the gradient of a window to the first of its largest values,
  row by row, as XLA's own does. XLA's own, select-and-scatter, moves the fewest
  bytes on TPU, but has no deterministic form on GPU and costs more than the
  neighbouring convolutions on CPU. On CPU the window is taken apart into a row
  pass and a column pass. On NVIDIA GPUs the forward pass keeps the place of
  each maximum, and each input gathers from the windows that hold it.

  Args:
    x: `[batch, height, width, channels]`.
    window: side of the square window, at most 15.
    stride: step of the window.
    padding: see `explicit_padding`; padded places never win.

  Returns:
    `[batch, out_height, out_width, channels]`, of the type of `x`.
  """
  pads = explicit_padding(padding, x.shape[1:3], window, stride)
  return _max_pool(x, window, stride, pads)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x, *sizes):
  return lax.platform_dependent(
    x,
    cuda=lambda x: window_forms.sliced_passes(x, *sizes),
    default=lambda x: window_forms.square(x, *sizes),
  )


def _max_pool_fwd(x, *sizes):
  no_places = lambda y: (y, jnp.zeros(y.shape, jnp.uint8))
  y, places = lax.platform_dependent(
    x,
    # The gradient needs the rows' maxima anyway, and two short windows have
    # fewer places to look at than a square one.
    cpu=lambda x: no_places(window_forms.two_passes(x, *sizes)),
    cuda=lambda x: window_forms.sliced_passes_with_places(x, *sizes),
    default=lambda x: no_places(window_forms.square(x, *sizes)),
  )
  return y, (x, places)


def _max_pool_bwd(window, stride, pads, residuals, grad):
  sizes = window, stride, pads
  forms = window_forms
  dx = lax.platform_dependent(
    *residuals,
    grad,
    tpu=lambda x, places, grad: forms.square_grad(x, grad, *sizes),
    cuda=lambda x, places, grad: forms.gathered(grad, x.shape, *sizes, places),
    default=lambda x, places, grad: forms.two_passes_grad(x, grad, *sizes),
  )
  return (dx,)


_max_pool.defvjp(_max_pool_fwd, _max_pool_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def avg_pool_valid(x: jax.Array, window: int, stride: int) -> jax.Array:
  """Average pooling without padding, `[N, H, W, C]` -> `[N, h, w, C]`.

  On NVIDIA GPUs each input gathers its gradient from the windows that hold it:
  XLA's own looks at all `window * window` places of a spread gradient.
  """
  return _window_mean(x, window, stride)


def _window_mean(x, window, stride):
  total = lax.reduce_window(
    x,
    0.0,
    lax.add,
    (1, window, window, 1),
    (1, stride, stride, 1),
    'VALID',
  )
  return total / (window * window)


def _avg_pool_valid_fwd(x, window, stride):
  return avg_pool_valid(x, window, stride), x


def _avg_pool_valid_bwd(window, stride, x, grad):
  no_pads = ((0, 0), (0, 0))
  mean = lambda x: _window_mean(x, window, stride)
  dx = lax.platform_dependent(
    x,
    grad,
    cuda=lambda x, grad: window_forms.gathered(
      grad / (window * window), x.shape, window, stride, no_pads
    ),
    default=lambda x, grad: jax.vjp(mean, x)[1](grad)[0],
  )
  return (dx,)


avg_pool_valid.defvjp(_avg_pool_valid_fwd, _avg_pool_valid_bwd)


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
