"""Pixels to network input, the same in training, evaluation and prediction."""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """Affine map of RGB pixels: `pixel * scale - mean`.

  Attributes:
    scale: factor of every pixel value (0 to 255).
    mean: what is subtracted from red, green and blue, after scaling.
  """

  scale: float
  mean: tuple[float, float, float]

  def __call__(self, images: jax.Array) -> jax.Array:
    """Maps images to network input.

    Args:
      images: `[..., height, width, 3]`, RGB, uint8 or float in 0 to 255.

    Returns:
      float32 array of the same shape.
    """
    return images.astype(jnp.float32) * self.scale - jnp.asarray(
      self.mean, jnp.float32
    )

  def invert(self, inputs: jax.Array) -> jax.Array:
    """Network input back to float pixels in 0 to 255, for pictures."""
    return (inputs + jnp.asarray(self.mean, jnp.float32)) / self.scale


# The paper says only that the mean was subtracted; these are the means of red,
# green and blue over the ImageNet training set, as commonly published.
MEAN_RGB = Preprocessing(scale=1.0, mean=(123.68, 116.779, 103.939))
# The authors' released network.
GOOGLE = Preprocessing(scale=256 / 255, mean=(117.0, 117.0, 117.0))
