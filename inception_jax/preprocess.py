"""Pixels to network input, the same in training, evaluation and prediction."""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """Affine map of RGB pixels: `pixel * scale - mean`, then their order.

  Attributes:
    scale: factor of every pixel value (0 to 255).
    mean: what is subtracted from red, green and blue, after scaling.
    bgr: whether the network takes blue, green and red, in this order.
  """

  scale: float
  mean: tuple[float, float, float]
  bgr: bool = False

  def __call__(self, images: jax.Array) -> jax.Array:
    """Maps images to network input.

    Args:
      images: `[..., height, width, 3]`, RGB, uint8 or float in 0 to 255.

    Returns:
      float32 array of the same shape.
    """
    x = images.astype(jnp.float32) * self.scale
    x = x - self._mean(x.ndim)
    return x[..., ::-1] if self.bgr else x

  def invert(self, inputs: jax.Array) -> jax.Array:
    """Network input back to float pixels in 0 to 255, for pictures."""
    inputs = inputs[..., ::-1] if self.bgr else inputs
    return (inputs + self._mean(inputs.ndim)) / self.scale

  def _mean(self, ndim: int) -> jax.Array:
    """The mean as an array of `ndim` axes, channels last."""
    return jnp.asarray(self.mean, jnp.float32).reshape((1,) * (ndim - 1) + (3,))


# The paper says only that the mean was subtracted; these are the means of red,
# green and blue over the ImageNet training set, as commonly published.
MEAN_RGB = Preprocessing(scale=1.0, mean=(123.68, 116.779, 103.939))
# The authors' released network.
GOOGLE = Preprocessing(scale=256 / 255, mean=(117.0, 117.0, 117.0))
# Caffe's data layer, which reads BGR and subtracts 104, 117 and 123.
CAFFE = Preprocessing(scale=1.0, mean=(123.0, 117.0, 104.0), bgr=True)
# To [-1, 1]. torchvision normalises by ImageNet's mean and deviation, and its
# `transform_input` undoes that: (p / 255 - m) / s * (s / 0.5) + (m - 0.5) / 0.5
# is p / 127.5 - 1.
UNIT = Preprocessing(scale=1 / 127.5, mean=(1.0, 1.0, 1.0))
