"""Squares of a picture at several sizes, for tests with many crops.

One decoding a picture, one resizing a size, by Pillow, in threads of Python,
which it lets run; the crops themselves are cut on the devices
(`evaluation.multi_crop`).
"""

import numpy as np
from PIL import Image
import tensorflow as tf

from inception_jax.data import crop_spec, decoding

# Of a picture longer than this many times its shorter side only the middle is
# used, so that no resized picture has more than 16 * 352^2 = 2 million pixels.
MAX_ASPECT_RATIO = 16
# Shares of the room along the longer side.
_PLACES = {'first': 0.0, 'center': 0.5, 'last': 1.0}


def square_corners(
  height: int, width: int, squares: tuple[str, ...]
) -> list[tuple[int, int]]:
  """Top and left of each square of a resized picture.

  Args:
    height: of the picture, one of the two being the side of the squares.
    width: likewise.
    squares: of `crop_spec.SQUARES`; the central one is rounded as torchvision
      rounds a central crop.
  """
  side = min(height, width)
  return [
    (round((height - side) * share), round((width - side) * share))
    for share in map(_PLACES.__getitem__, squares)
  ]


def resized_shape(
  height: int, width: int, shorter_side: int
) -> tuple[int, int]:
  """Height and width whose shorter side is as wished, the other truncated."""
  shorter = min(height, width)
  return shorter_side * height // shorter, shorter_side * width // shorter


def middle_window(height: int, width: int) -> tuple[int, int, int, int]:
  """Top, left, height and width of what is used: see `MAX_ASPECT_RATIO`."""
  longest = MAX_ASPECT_RATIO * min(height, width)
  used = min(height, longest), min(width, longest)
  return (height - used[0]) // 2, (width - used[1]) // 2, *used


def pack_squares(
  encoded: bytes,
  spec: crop_spec.MultiCrop,
  packed: np.ndarray,
  known_jpeg: bool = False,
) -> None:
  """Decodes a picture and makes the squares that cross to the devices.

  Resizing is Pillow's bilinear: filtered against aliasing and rounded to the
  nearest level after each of its two passes.

  Args:
    encoded: the file.
    spec: which squares.
    packed: uint8 `spec.shape`, written here: the pixels of `spec.parts`, one
      after the other.
    known_jpeg: see `decoding.header_shape`.

  Raises:
    tf.errors.InvalidArgumentError: if the picture cannot be decoded.
  """
  contents = tf.constant(encoded)
  height, width = decoding.header_shape(contents, known_jpeg).numpy().tolist()
  window = middle_window(height, width)
  pixels = decoding.decode_window(contents, tf.constant(window), known_jpeg)
  image = Image.fromarray(pixels.numpy())
  start = 0
  for side in spec.shorter_sides:
    height, width = resized_shape(*window[2:], side)
    resized = np.asarray(
      image.resize((width, height), Image.Resampling.BILINEAR)
    )
    for top, left in square_corners(height, width, spec.squares):
      stop = start + 3 * side**2
      place = packed[start:stop].reshape(side, side, 3)
      place[...] = resized[top : top + side, left : left + side]
      start = stop
