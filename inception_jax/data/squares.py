"""Squares of a picture at several sizes, for tests with many crops.

As `crops`, plain TensorFlow. One decoding a picture, one resizing a size; the
crops themselves are cut on the devices (`evaluation.multi_crop`).
"""

import tensorflow as tf

from inception_jax.data import crop_spec, crops, decoding

# Of a picture longer than this many times its shorter side only the middle is
# used, so that no resized picture has more than 16 * 352^2 = 2 million pixels.
MAX_ASPECT_RATIO = 16


def square_corners(
  shape: tf.Tensor, squares: tuple[str, ...]
) -> list[tf.Tensor]:
  """Top and left of each square of a resized picture, int32 `[2]` each.

  Args:
    shape: int32 `[2]`, height and width.
    squares: of `crop_spec.SQUARES`; the central one is rounded as torchvision
      rounds a central crop.
  """
  room = shape - tf.reduce_min(shape)  # Zero along the shorter side.
  corners = {
    'first': tf.zeros_like(room),
    'center': tf.cast(tf.round(tf.cast(room, tf.float64) / 2), tf.int32),
    'last': room,
  }
  return [corners[name] for name in squares]


def resized_shape(shape: tf.Tensor, shorter_side: int) -> tf.Tensor:
  """Height and width whose shorter side is as wished, the other truncated."""
  shape = tf.cast(shape, tf.int64)  # The product can be more than 32 bits hold.
  return tf.cast(shorter_side * shape // tf.reduce_min(shape), tf.int32)


def middle_window(shape: tf.Tensor) -> tf.Tensor:
  """The part of a picture that is used, int32 `[4]`: see `MAX_ASPECT_RATIO`."""
  shorter = tf.cast(tf.reduce_min(shape), tf.int64)
  longest = tf.minimum(shorter * MAX_ASPECT_RATIO, tf.int32.max)
  used = tf.minimum(shape, tf.cast(longest, tf.int32))
  return tf.concat([(shape - used) // 2, used], 0)


def packed_squares(
  encoded: tf.Tensor, spec: crop_spec.MultiCrop, known_jpeg: bool = False
) -> tf.Tensor:
  """Decodes a picture and makes the squares that cross to the devices.

  Resizing is bilinear, filtered against aliasing as in Pillow, and rounded to
  the nearest level; what is resized a second time ('whole') was rounded before.

  Args:
    encoded: string scalar.
    spec: which squares.
    known_jpeg: see `decoding.header_shape`.

  Returns:
    uint8 `spec.shape`: the pixels of `spec.parts`, one after the other.
  """
  window = middle_window(decoding.header_shape(encoded, known_jpeg))
  image = decoding.decode_window(encoded, window, known_jpeg)
  shape, parts = window[2:], []
  for side in spec.shorter_sides:
    resized = _resize(image, resized_shape(shape, side))
    found = tf.stack(
      [
        tf.slice(resized, tf.concat([corner, [0]], 0), (side, side, 3))
        for corner in square_corners(tf.shape(resized)[:2], spec.squares)
      ]
    )
    if spec.crops != ('whole',):
      parts.append(found)
    if 'whole' in spec.crops:
      parts.append(_resize(found, (spec.size, spec.size)))
  packed = tf.concat([tf.reshape(part, (-1,)) for part in parts], 0)
  return tf.ensure_shape(packed, spec.shape)


def _resize(images: tf.Tensor, shape) -> tf.Tensor:
  """uint8 images, one or several, to another height and width."""
  return crops.rounded(tf.image.resize(images, shape, antialias=True))
