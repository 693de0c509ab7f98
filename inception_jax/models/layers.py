"""Layers of the Inception-v1 family.

Arrays are NHWC, kernels HWIO. Parameters are float32; `dtype` is the type of
the arithmetic. Shapes are static everywhere.
"""

from collections.abc import Callable, Sequence
import functools
import zlib

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

Padding = tuple[tuple[int, int], tuple[int, int]]


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
  """Padding in pixels for `same` or `symmetric` (`window // 2` a side)."""
  if kind == 'same':
    return same_padding(size, window, stride)
  if kind == 'symmetric':
    return ((window // 2, window // 2),) * 2
  raise ValueError(f"padding must be 'same' or 'symmetric', not {kind!r}")


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
    padding: 'same' or 'symmetric'; padded places never win.

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
  return _max_pool(x, window, stride, pads), x


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


def local_response_norm(
  x: jax.Array, depth: int, alpha: float, beta: float, k: float
) -> jax.Array:
  """Local response normalisation across channels, in float32.

  `x * (k + alpha * sum of x^2 over `depth` channels centred on each)^-beta`.
  `alpha` belongs to each element, as in TensorFlow; Caffe and PyTorch divide
  theirs by `depth` first. Channels beyond the edge count as zero.

  Args:
    x: `[batch, height, width, channels]`.
    depth: number of channels in the window, odd.
    alpha: weight of each squared element.
    beta: exponent.
    k: constant under the power.

  Returns:
    Normalised array, of the shape and type of `x`.

  References:
    Krizhevsky et al. 2012, section 3.3.
  """
  if depth % 2 != 1:
    raise ValueError(f'depth must be odd, not {depth}')
  wide = x.astype(jnp.float32)
  total = lax.reduce_window(
    wide * wide,
    0.0,
    lax.add,
    (1, 1, 1, depth),
    (1, 1, 1, 1),
    'SAME',
  )
  base = k + alpha * total
  scale = lax.rsqrt(base) if beta == 0.5 else base**-beta
  return (wide * scale).astype(x.dtype)


class Dropout(nn.Module):
  """Dropout with one random key an example.

  A mask depends on the example's key and the layer's name alone, so splitting
  a batch over more devices, hosts or micro-batches changes no mask.

  Attributes:
    rate: share of the activations set to zero; the others grow by
      `1 / (1 - rate)`.
  """

  rate: float

  @nn.compact
  def __call__(
    self, x: jax.Array, train: bool, example_keys: jax.Array | None
  ) -> jax.Array:
    """Drops activations of `x` `[batch, ...]` when `train`.

    Args:
      x: activations.
      train: identity when False.
      example_keys: typed keys `[batch]`; None draws them from the module's
        own 'dropout' stream.

    Returns:
      Array like `x`.
    """
    if not train or self.rate == 0:
      return x
    if example_keys is None:
      example_keys = jax.random.split(self.make_rng('dropout'), x.shape[0])
    salt = zlib.crc32('/'.join(self.path).encode())

    def mask(key):
      key = jax.random.fold_in(key, salt)
      return jax.random.bernoulli(key, 1 - self.rate, x.shape[1:])

    keep = jax.vmap(mask)(example_keys)
    return jnp.where(keep, x / (1 - self.rate), jnp.zeros((), x.dtype))


def convolve(
  x: jax.Array,
  kernel: jax.Array,
  stride: int,
  padding: str,
  dtype: jnp.dtype,
) -> jax.Array:
  """2-D convolution of `x` `[N, H, W, C]` with `kernel` `[k, k, C, F]`."""
  return lax.conv_general_dilated(
    x.astype(dtype),
    kernel.astype(dtype),
    (stride, stride),
    explicit_padding(padding, x.shape[1:3], kernel.shape[0], stride),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


class ConvBlock(nn.Module):
  """Convolution, then bias and/or batch norm, then ReLU.

  The two halves are methods of their own so that blocks that read the same
  input can share one convolution (see `merged_blocks`).

  Attributes:
    in_features: channels of the input.
    features: channels of the output.
    window: side of the square kernel.
    stride: step of the kernel.
    padding: 'same' or 'symmetric'.
    use_bias: whether there is a bias.
    bias_value: initial bias.
    batch_norm: partial of `nn.BatchNorm`, or None for none.
    dtype: type of the arithmetic.
  """

  in_features: int
  features: int
  window: int = 1
  stride: int = 1
  padding: str = 'same'
  use_bias: bool = True
  bias_value: float = 0.2
  batch_norm: Callable[..., nn.BatchNorm] | None = None
  dtype: jnp.dtype = jnp.float32

  def setup(self):
    # Uniform within sqrt(3 / fan_in): Caffe's "xavier".
    self.kernel = self.param(
      'kernel',
      nn.initializers.lecun_uniform(),
      (self.window, self.window, self.in_features, self.features),
    )
    if self.use_bias:
      self.bias = self.param(
        'bias', nn.initializers.constant(self.bias_value), (self.features,)
      )
    if self.batch_norm is not None:
      self.bn = self.batch_norm(dtype=self.dtype)

  def convolve(self, x: jax.Array) -> jax.Array:
    return convolve(x, self.kernel, self.stride, self.padding, self.dtype)

  def finish(self, y: jax.Array, train: bool) -> jax.Array:
    """Bias, normalisation and ReLU on the convolution's output `y`."""
    if self.use_bias:
      y = y + self.bias.astype(y.dtype)
    if self.batch_norm is not None:
      y = self.bn(y, use_running_average=not train)
    return nn.relu(y)

  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    return self.finish(self.convolve(x), train)


def merged_blocks(
  blocks: Sequence[ConvBlock], x: jax.Array, train: bool
) -> list[jax.Array]:
  """Applies 1x1 blocks that read the same `x` as one wide convolution.

  The weights stay apart in the checkpoint; only the arithmetic is joined, so
  `x` is read once instead of once a block.

  Args:
    blocks: blocks of the same window, stride and padding.
    x: `[batch, height, width, channels]`.
    train: whether batch norm uses the batch's statistics.

  Returns:
    Output of each block, in order.
  """
  kernel = jnp.concatenate([block.kernel for block in blocks], axis=-1)
  first = blocks[0]
  joined = convolve(x, kernel, first.stride, first.padding, first.dtype)
  outputs, start = [], 0
  for block in blocks:
    part = lax.slice_in_dim(joined, start, start + block.features, axis=-1)
    outputs.append(block.finish(part, train))
    start += block.features
  return outputs
