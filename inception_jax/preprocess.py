"""Pixels to network input, the same in training, evaluation and prediction."""

from collections.abc import Mapping
import dataclasses
import math
import types

import jax
import jax.numpy as jnp
import numpy as np

RGB = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """Affine map of RGB pixels: `pixel * scale - mean`, then their order.

  Attributes:
    scale: factor of every pixel value (0 to 255), or of red, green and blue;
      three that are equal become one.
    mean: what is subtracted from red, green and blue, after scaling.
    bgr: whether the network takes blue, green and red, in this order.
    mean_image: what is subtracted at each place instead of `mean`, after
      scaling: float32, little-endian, of the shape `[side, side, 3]`, RGB.
      It is resized to the size of the images.
  """

  scale: float | RGB
  mean: RGB
  bgr: bool = False
  mean_image: bytes | None = dataclasses.field(default=None, repr=False)

  def __post_init__(self):
    if isinstance(self.scale, tuple) and len(set(self.scale)) == 1:
      object.__setattr__(self, 'scale', self.scale[0])

  @property
  def scales(self) -> RGB:
    """Factors of red, green and blue."""
    return self.scale if isinstance(self.scale, tuple) else (self.scale,) * 3

  def __call__(self, images: jax.Array) -> jax.Array:
    """Maps images to network input.

    Args:
      images: `[..., height, width, 3]`, RGB, uint8 or float in 0 to 255.

    Returns:
      float32 array of the same shape.
    """
    x = images.astype(jnp.float32) * self._scale(images.ndim)
    x = x - self._mean(x.shape)
    return x[..., ::-1] if self.bgr else x

  def invert(self, inputs: jax.Array) -> jax.Array:
    """Network input back to float pixels in 0 to 255, for pictures."""
    inputs = inputs[..., ::-1] if self.bgr else inputs
    return (inputs + self._mean(inputs.shape)) / self._scale(inputs.ndim)

  def mean_of(self, height: int, width: int) -> np.ndarray:
    """What is subtracted from images of a size, after scaling.

    Returns:
      float32 `[height, width, 3]` of a mean image, and else `[1, 1, 3]`.
    """
    if self.mean_image is None:
      return np.array(self.mean, np.float32).reshape(1, 1, 3)
    side = math.isqrt(len(self.mean_image) // 12)
    image = np.frombuffer(self.mean_image, '<f4').reshape(side, side, 3)
    if (height, width) == (side, side):
      return image
    rows, columns = _taps(side, height), _taps(side, width)
    return np.einsum('ys,xt,stc->yxc', rows, columns, image, optimize=True)

  def describe(self) -> str:
    """The map in words, for people."""
    channels = [
      f'{name} {_map(scale, mean)}'
      for name, scale, mean in zip('RGB', self.scales, self.mean, strict=True)
    ]
    if self.mean_image is not None:
      channels = [f'pixel * {_short(self.scales)} - the mean of each place']
    elif len(set(zip(self.scales, self.mean, strict=True))) == 1:
      channels = [_map(self.scales[0], self.mean[0])]
    order = 'BGR' if self.bgr else 'RGB'
    return f'{", ".join(channels)}, in the order {order}'

  def _scale(self, ndim: int) -> float | jax.Array:
    if not isinstance(self.scale, tuple):
      return self.scale
    scale = jnp.asarray(self.scale, jnp.float32)
    return scale.reshape((1,) * (ndim - 1) + (3,))

  def _mean(self, shape: tuple[int, ...]) -> jax.Array:
    """The mean as an array of as many axes, channels last."""
    mean = jnp.asarray(self.mean_of(*shape[-3:-1]))
    return mean.reshape((1,) * (len(shape) - 3) + mean.shape)


def _taps(source: int, target: int) -> np.ndarray:
  """Weights of linear interpolation, float32 `[target, source]`."""
  places = (np.arange(target) + 0.5) * source / target - 0.5
  places = np.clip(places, 0, source - 1)
  below = np.minimum(places.astype(int), max(source - 2, 0))
  share = (places - below)[:, None]
  taps = np.eye(source)[below] * (1 - share)
  taps += np.eye(source)[np.minimum(below + 1, source - 1)] * share
  return taps.astype(np.float32)


def _map(scale: float, mean: float) -> str:
  sign = '-' if mean >= 0 else '+'
  return f'pixel * {scale:.6g} {sign} {abs(mean):.6g}'


def _short(scales: RGB) -> str:
  if len(set(scales)) == 1:
    return f'{scales[0]:.6g}'
  return f'({", ".join(f"{x:.6g}" for x in scales)})'


def normalised(
  mean: RGB, deviation: RGB = (1.0, 1.0, 1.0), white: float = 1.0
) -> Preprocessing:
  """Pixels of 0 to `white`, minus a mean, divided by a deviation.

  `(pixel * white / 255 - mean) / deviation`, each of red, green and blue.

  Args:
    mean: of each channel.
    deviation: of each channel.
    white: what 255 stands for.
  """
  return Preprocessing(
    scale=tuple(white / 255 / x for x in deviation),
    mean=tuple(m / x for m, x in zip(mean, deviation, strict=True)),
  )


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
# Without `transform_input`, as torchvision's networks are that are trained from
# the beginning.
IMAGENET_MEAN_STD = normalised((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
ZERO_TO_ONE = Preprocessing(scale=1 / 255, mean=(0.0, 0.0, 0.0))
PIXELS = Preprocessing(scale=1.0, mean=(0.0, 0.0, 0.0))

# By the names that the import knows.
NAMED: Mapping[str, Preprocessing] = types.MappingProxyType(
  {
    'torchvision': UNIT,
    'imagenet_mean_std': IMAGENET_MEAN_STD,
    'tf_slim': UNIT,
    'unit': UNIT,
    'zero_to_one': ZERO_TO_ONE,
    'pixels': PIXELS,
    'mean_rgb': MEAN_RGB,
    'caffe': CAFFE,
    'google': GOOGLE,
  }
)
