"""Augmentation that runs on the device, inside the compiled step."""

from collections.abc import Sequence
import dataclasses
import math
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np

from inception_jax.runtime import ranges

# Folded into an example's key, so that each use of it draws its own numbers.
_MIRROR_SALT = 1
_ORDER_SALT = 2
_BRIGHTNESS_SALT = 3
_CONTRAST_SALT = 4
_SATURATION_SALT = 5
_HUE_SALT = 6
_LIGHTING_SALT = 7

_Share = Annotated[float, ranges.Range(0, 1)]

# Red, green and blue in grey: ITU-R BT.601 luma, as Pillow has it.
_LUMA = np.array([0.299, 0.587, 0.114])
# Matrices of colours have an axis for the batch: [1, 3, 3].
_IDENTITY = np.eye(3)[None]
# A pixel is a row vector here, so this makes all channels its luma.
_TO_GREY = np.outer(_LUMA, np.ones(3))[None]
# RGB to YIQ (FCC NTSC 1953). The columns of I and Q sum to 0, so grey has
# neither.
_TO_YIQ = np.array(
  [
    [0.299, 0.5959, 0.2115],
    [0.587, -0.2746, -0.5227],
    [0.114, -0.3213, 0.3112],
  ]
)
# A quarter turn of the colour plane: no luma, I becomes Q and Q becomes -I.
_QUARTER_TURN = (
  _TO_YIQ
  @ np.array([[0, 0, 0], [0, 0, 1], [0, -1, 0]])
  @ np.linalg.inv(_TO_YIQ)
)[None]

# Principal components of the RGB pixels, scaled to 0 to 1, of the ImageNet
# training set, as commonly published: variances, and a column for each. Rows
# are red, green and blue.
PCA_VARIANCES = np.array([0.2175, 0.0188, 0.0045])
PCA_DIRECTIONS = np.array(
  [
    [-0.5675, 0.7192, 0.4009],
    [-0.5808, -0.0045, -0.8140],
    [-0.5836, -0.6948, 0.4203],
  ]
)


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """Section `augmentation` of a config: what happens to the training crops.

  After the mirror, brightness, contrast, saturation and hue change in an order
  that is random for each image, every order equally likely, and are clipped to
  0 to 255 each time; then comes the lighting. With B, C and S uniform in
  1 +- their fields, and grey meaning (299 R + 587 G + 114 B) / 1000:

    brightness: `B * pixel`
    contrast: `C * pixel + (1 - C) * (mean grey of the image)`
    saturation: `S * pixel + (1 - S) * (grey of the pixel)`
    hue: rotation of the I-Q plane of YIQ by up to `hue` turns either way

  The first three are Pillow's `ImageEnhance`, its results not rounded. A field
  that is 0 adds nothing to the step. All random numbers come from the key of
  the example.

  Attributes:
    mirror: whether to mirror half of the images.
    brightness: largest change of the factor of brightness, in 0 to 1; 0.5 in
      Howard's photometric distortions, which the paper uses (section 6).
    contrast: largest change of the factor of contrast, likewise (section 6).
    saturation: largest change of the factor of saturation, which Howard calls
      color, likewise (section 6).
    hue: largest rotation as a share of a turn, in 0 to 0.5.
    lighting_std: standard deviation of the multiples of the principal
      components added to all pixels of an image; Krizhevsky's is 0.1.

  Raises:
    ValueError: if a field is out of its range.

  References:
    Howard, Some Improvements on Deep Convolutional Neural Network Based Image
      Classification, arXiv 1312.5402, section 2.
    Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural
      Networks, section 4.1 (the lighting).
  """

  mirror: bool = True
  brightness: _Share = 0.0
  contrast: _Share = 0.0
  saturation: _Share = 0.0
  hue: Annotated[float, ranges.Range(0, 0.5)] = 0.0
  lighting_std: Annotated[float, ranges.Range(0, 10)] = 0.0

  def __post_init__(self):
    ranges.check(type(self), vars(self))

  def __call__(self, images: jax.Array, keys: jax.Array) -> jax.Array:
    """Augments a batch.

    Args:
      images: uint8 `[batch, height, width, 3]`, RGB.
      keys: typed keys `[batch]`.

    Returns:
      Array of the same shape: float32 in 0 to 255 if any colour changes, else
      uint8.
    """
    if self.mirror:
      images = random_mirror(images, keys)
    distorts = self.brightness or self.contrast or self.saturation or self.hue
    if not (distorts or self.lighting_std):
      return images
    # A plane for each colour: a 3x3 matrix then costs nine fused multiply-adds
    # a pixel, and XLA can make all that follows from the bytes in one pass.
    planes = [images[..., i].astype(jnp.float32) for i in range(3)]
    if distorts:
      planes = self._distort(planes, keys)
    if self.lighting_std:
      light = lighting(keys, self.lighting_std)[:, None, None]
      planes = [_clip(planes[i] + light[..., i]) for i in range(3)]
    return jnp.stack(planes, axis=-1)

  def _distort(
    self, planes: Sequence[jax.Array], keys: jax.Array
  ) -> list[jax.Array]:
    """Brightness, contrast, saturation and hue in random order."""
    factors = lambda salt, width: 1 + _symmetric(keys, salt, width)
    pieces = []  # A matrix [batch, 3, 3] each.
    if self.brightness:
      factor = factors(_BRIGHTNESS_SALT, self.brightness)
      pieces.append(factor * _IDENTITY)
    if self.saturation:
      factor = factors(_SATURATION_SALT, self.saturation)
      pieces.append(factor * _IDENTITY + (1 - factor) * _TO_GREY)
    if self.hue:
      angle = 2 * np.pi * _symmetric(keys, _HUE_SALT, self.hue)
      pieces.append(
        _TO_GREY
        + jnp.cos(angle) * (_IDENTITY - _TO_GREY)
        + jnp.sin(angle) * _QUARTER_TURN
      )
    if self.contrast:
      contrast = factors(_CONTRAST_SALT, self.contrast)
      pieces.append(contrast * _IDENTITY)
    order = random_orders(keys, len(pieces))
    matrices = jnp.take_along_axis(
      jnp.stack(pieces, 1), order[:, :, None, None], 1
    )
    if not self.contrast:
      return _transform(planes, matrices)
    # Contrast needs the mean of what the pieces before it leave. Running these
    # for the mean alone, from the bytes, takes one reduction over the image;
    # the mean of every round would take one a round.
    is_contrast = order == len(pieces) - 1
    place = jnp.argmax(is_contrast, axis=1, keepdims=True)
    is_before = jnp.arange(len(pieces) - 1)[None] < place
    before = _transform(
      planes,
      jnp.where(is_before[:, :, None, None], matrices[:, :-1], _IDENTITY[None]),
    )
    # Rounded as in Pillow. Whole numbers also have the same sum in any order,
    # so that neither the batch's size nor the device changes a bit of it.
    grey = jnp.round(sum(before[i] * _LUMA[i] for i in range(3)))
    total = grey.astype(jnp.int32).sum((1, 2))[:, None]
    offset = (1 - contrast[:, 0]) * (total / math.prod(grey.shape[1:]))
    return _transform(planes, matrices, jnp.where(is_contrast, offset, 0.0))


def _transform(
  planes: Sequence[jax.Array],
  matrices: jax.Array,
  offsets: jax.Array | None = None,
) -> list[jax.Array]:
  """Multiplies, shifts and clips pixels in rounds.

  Args:
    planes: red, green and blue, `[batch, height, width]` each.
    matrices: `[batch, rounds, 3, 3]`, for pixels as row vectors.
    offsets: `[batch, rounds]`, or None for none.

  Returns:
    Planes in 0 to 255.
  """
  for i in range(matrices.shape[1]):
    matrix = matrices[:, i, :, :, None, None]
    planes = [
      sum(planes[row] * matrix[:, row, column] for row in range(3))
      for column in range(3)
    ]
    if offsets is not None:
      planes = [plane + offsets[:, i, None, None] for plane in planes]
    planes = [_clip(plane) for plane in planes]
  return planes


def _clip(pixels: jax.Array) -> jax.Array:
  return jnp.clip(pixels, 0, 255)


def _symmetric(keys: jax.Array, salt: int, width: float) -> jax.Array:
  """A number `[batch, 1, 1]` for each example, uniform in +-width."""

  def draw(key):
    key = jax.random.fold_in(key, salt)
    return jax.random.uniform(key, (1, 1), minval=-width, maxval=width)

  return jax.vmap(draw)(keys)


def random_orders(keys: jax.Array, length: int) -> jax.Array:
  """An order for each example, all of them equally likely.

  Args:
    keys: typed keys `[batch]`.
    length: of what is to be ordered.

  Returns:
    int32 `[batch, length]`, each row a permutation of 0 to `length - 1`.
  """

  def draw(key):
    key = jax.random.fold_in(key, _ORDER_SALT)
    return jax.random.permutation(key, length)

  return jax.vmap(draw)(keys)


def lighting(keys: jax.Array, std: float) -> jax.Array:
  """What the lighting adds to red, green and blue.

  `255 * sum_i alpha_i * variance_i * direction_i`, alpha normal with mean 0.

  Args:
    keys: typed keys `[batch]`.
    std: standard deviation of alpha; Krizhevsky's is 0.1.

  Returns:
    float32 `[batch, 3]`, in pixels of 0 to 255.

  References:
    Krizhevsky et al., section 4.1.
  """

  def draw(key):
    key = jax.random.fold_in(key, _LIGHTING_SALT)
    return std * jax.random.normal(key, (3,))

  shifts = 255 * PCA_VARIANCES * PCA_DIRECTIONS
  # A sum, since a dot is of fewer bits on a TPU and a GPU.
  return (jax.vmap(draw)(keys)[:, None] * shifts[None]).sum(-1)


def example_keys(
  key: jax.Array, step: jax.Array, slots: jax.Array
) -> jax.Array:
  """One random key for each example of a global batch.

  The key depends on the example's place in the global batch, not on the device
  or process that holds it.

  Args:
    key: typed key of the run.
    step: int32 scalar, number of updates done so far.
    slots: int32 `[batch]`, places in the global batch.

  Returns:
    Typed keys `[batch]`.
  """
  step_key = jax.random.fold_in(key, step)
  return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(step_key, slots)


def random_mirror(images: jax.Array, keys: jax.Array) -> jax.Array:
  """Mirrors each image left to right with probability one half.

  Args:
    images: `[batch, height, width, channels]`.
    keys: typed keys `[batch]`.

  Returns:
    Array like `images`.
  """

  def coin(key):
    return jax.random.bernoulli(jax.random.fold_in(key, _MIRROR_SALT))

  flip = jax.vmap(coin)(keys)
  return jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)
