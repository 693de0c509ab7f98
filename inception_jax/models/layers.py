"""Dropout and convolutions of the Inception-v1 family.

Arrays are NHWC, kernels HWIO. Parameters are float32; `dtype` is the type of
the arithmetic.
"""

from collections.abc import Callable, Sequence
import functools
import zlib

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

from inception_jax.models import pooling

_LAYOUT = ('NHWC', 'HWIO', 'NHWC')


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
  pads = pooling.explicit_padding(
    padding, x.shape[1:3], kernel.shape[0], stride
  )
  return _convolve(x.astype(dtype), kernel.astype(dtype), stride, pads)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(x, kernel, stride, pads):
  plain = functools.partial(_plain_convolve, stride, pads)
  if not _is_stem(x, stride):
    return plain(x, kernel)
  return lax.platform_dependent(
    x,
    kernel,
    cuda=functools.partial(_space_to_depth_convolve, pads),
    default=plain,
  )


def _convolve_fwd(x, kernel, stride, pads):
  return _convolve(x, kernel, stride, pads), (x, kernel)


def _convolve_bwd(stride, pads, operands, grad):
  plain = functools.partial(_plain_convolve, stride, pads)
  forms = {
    'cpu': functools.partial(_convolve_grads_on_cpu, stride, pads),
    'default': functools.partial(_convolve_grads, plain),
  }
  if _is_stem(operands[0], stride):
    form = functools.partial(_space_to_depth_convolve, pads)
    forms['cuda'] = functools.partial(_convolve_grads, form)
  return lax.platform_dependent(*operands, grad, **forms)


_convolve.defvjp(_convolve_fwd, _convolve_bwd)


def _plain_convolve(stride, pads, x, kernel):
  return lax.conv_general_dilated(
    x, kernel, (stride, stride), pads, dimension_numbers=_LAYOUT
  )


def _is_stem(x, stride):
  """Whether a convolution reads pixels, in steps of two."""
  return stride == 2 and x.shape[-1] <= 4


def _space_to_depth_convolve(pads, x, kernel):
  """A convolution of stride 2 as one of stride 1, of 2x2 pixels as channels.

  cuDNN's matrix units take three channels for eight; twelve leave less of them
  idle (benchmarks/results/gpu_h200.json).
  """
  window, x_edges, kernel_edges, new_pads = kernel.shape[0], [], [], []
  for length, (before, after) in zip(x.shape[1:3], pads, strict=True):
    outputs = (before + length + after - window) // 2 + 1
    x_edges.append((0, length % 2, 0))
    # Windows begin at even places, and end there.
    odd = before % 2
    kernel_edges.append((odd, (window + odd) % 2, 0))
    blocks, half = (length + 1) // 2, (window + odd + 1) // 2
    low = (before + odd) // 2
    new_pads.append((low, outputs - 1 + half - low - blocks))
  zero, still = jnp.zeros((), x.dtype), (0, 0, 0)
  x = lax.pad(x, zero, (still, *x_edges, still))
  kernel = lax.pad(kernel, zero, (*kernel_edges, still, still))
  n, height, width, channels = x.shape
  blocks = (n, height // 2, 2, width // 2, 2, channels)
  x = x.reshape(blocks).transpose(0, 1, 3, 2, 4, 5)
  rows, columns, _, features = kernel.shape
  blocks = (rows // 2, 2, columns // 2, 2, channels, features)
  kernel = kernel.reshape(blocks).transpose(0, 2, 1, 3, 4, 5)
  return _plain_convolve(
    1,
    new_pads,
    x.reshape(*x.shape[:3], 4 * channels),
    kernel.reshape(*kernel.shape[:2], 4 * channels, features),
  )


def _convolve_grads(form, x, kernel, grad):
  """Gradients of a form of `_convolve` as JAX derives them."""
  return jax.vjp(form, x, kernel)[1](grad)


def _convolve_grads_on_cpu(stride, pads, x, kernel, grad):
  """The same two convolutions, their operands transposed to `_LAYOUT`.

  Inside loops XLA:CPU does not do this by itself, and has a fast convolution
  for this layout only (benchmarks/results/train_step_cpu.json).

  References:
    https://github.com/jax-ml/jax/issues/12868
  """
  window, x_pads, kernel_pads = kernel.shape[0], [], []
  for axis, (before, _) in enumerate(pads, 1):
    span = (grad.shape[axis] - 1) * stride + 1
    free = x.shape[axis] - span  # Of an unpadded row, beside the output.
    x_pads.append((window - 1 - before, free + before))
    kernel_pads.append((before, window - 1 - free - before))
  dx = lax.conv_general_dilated(
    grad,
    lax.rev(kernel, (0, 1)).swapaxes(2, 3),
    (1, 1),
    x_pads,
    lhs_dilation=(stride, stride),
    dimension_numbers=_LAYOUT,
  )
  # Images as channels and channels as images; the gradient is the kernel.
  dkernel = lax.conv_general_dilated(
    x.transpose(3, 1, 2, 0),
    grad.transpose(1, 2, 0, 3),
    (1, 1),
    kernel_pads,
    rhs_dilation=(stride, stride),
    dimension_numbers=_LAYOUT,
  )
  return dx, dkernel.transpose(1, 2, 0, 3)


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
      y = y + self.bias.astype(y.dtype)[None, None, None]
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
