"""Local response normalisation (LRN). Arrays are NHWC."""

import jax
from jax import lax
import jax.numpy as jnp


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
