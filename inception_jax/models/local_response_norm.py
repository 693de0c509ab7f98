"""Local response normalisation (LRN). Arrays are NHWC."""

import functools

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np


def local_response_norm(
  x: jax.Array, depth: int, alpha: float, beta: float, k: float
) -> jax.Array:
  """Local response normalisation across channels.

  `x * (k + alpha * sum of x^2 over `depth` channels centred on each)^-beta`.
  `alpha` belongs to each element, as in TensorFlow; Caffe and PyTorch divide
  theirs by `depth` first. Channels beyond the edge count as zero.

  The arithmetic is float32. On NVIDIA GPUs and TPUs the sum is a matrix
  product instead, of as many bits as the convolutions have (`dtype`, and JAX's
  `default_matmul_precision`).

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
  return _normalize(x, depth, alpha, beta, k)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def _normalize(x, *constants):
  by_band = lambda x: _by_band(x, *constants)[0]
  return lax.platform_dependent(
    x,
    cuda=by_band,
    tpu=by_band,
    default=lambda x: _by_window(x, *constants),
  )


def _normalize_fwd(x, *constants):
  by_band = lambda x: _by_band(x, *constants)
  y, total = lax.platform_dependent(
    x,
    cuda=by_band,
    tpu=by_band,
    default=lambda x: (_by_window(x, *constants), jnp.zeros_like(x)),
  )
  return y, (x, total)


def _normalize_bwd(depth, alpha, beta, k, residuals, grad):
  constants = depth, alpha, beta, k
  by_band = lambda *arrays: _by_band_grad(*arrays, *constants)
  dx = lax.platform_dependent(
    *residuals,
    grad,
    cuda=by_band,
    tpu=by_band,
    default=lambda x, total, grad: jax.vjp(
      lambda x: _by_window(x, *constants), x
    )[1](grad)[0],
  )
  return (dx,)


_normalize.defvjp(_normalize_fwd, _normalize_bwd)


def _by_window(x, depth, alpha, beta, k):
  """In float32, the sum over channels as a window that slides."""
  wide = x.astype(jnp.float32)
  total = lax.reduce_window(
    wide * wide,
    0.0,
    lax.add,
    (1, 1, 1, depth),
    (1, 1, 1, 1),
    'SAME',
  )
  return (wide * _power(k + alpha * total, beta)).astype(x.dtype)


def _by_band(x, depth, alpha, beta, k):
  """The sum over channels as a product, which matrix units make in passing.

  Returns:
    The normalised array and the sum, both of the type of `x`: what is kept for
    the gradient has half the bytes in bfloat16.
  """
  wide = x.astype(jnp.float32)
  total = _banded((wide * wide).astype(x.dtype), depth)
  base = k + alpha * total.astype(jnp.float32)
  return (wide * _power(base, beta)).astype(x.dtype), total


def _by_band_grad(x, total, grad, depth, alpha, beta, k):
  wide, wide_grad = x.astype(jnp.float32), grad.astype(jnp.float32)
  base = k + alpha * total.astype(jnp.float32)
  scale = _power(base, beta)
  # The window is symmetric, and so is its gradient.
  inner = _banded((wide_grad * wide * scale / base).astype(x.dtype), depth)
  dx = wide_grad * scale - 2 * alpha * beta * wide * inner.astype(jnp.float32)
  return dx.astype(x.dtype)


def _banded(x, depth):
  """Sums over `depth` channels centred on each, of the type of `x`."""
  channel = np.arange(x.shape[-1])
  band = np.abs(channel[:, None] - channel[None]) <= depth // 2
  return lax.dot_general(
    x, jnp.asarray(band, x.dtype), (((x.ndim - 1,), (0,)), ((), ()))
  )


def _power(base, beta):
  return lax.rsqrt(base) if beta == 0.5 else base**-beta
