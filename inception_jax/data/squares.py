"""What of a picture crosses to the devices for tests with many crops.

A picture of usual size crosses as it is, once, and is resized on the devices;
of a larger one, its resized squares do, by Pillow. Either way the devices have
the same pixels, and cut the crops of them (`evaluation.crop_views`).
"""

import functools

import numpy as np
from PIL import Image

from inception_jax.data import crops_144, resampling

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
    squares: of `crops_144.SQUARES`; the central one is rounded as torchvision
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


def pack(
  pixels: np.ndarray, spec: crops_144.MultiCrop, packed: np.ndarray
) -> None:
  """Writes what crosses to the devices; see `crops_144.MultiCrop.shape`.

  Args:
    pixels: uint8 `[height, width, 3]`, the middle of the picture.
    spec: which squares.
    packed: uint8 `spec.shape`, zeros, written here.
  """
  height, width, _ = pixels.shape
  if max(height, width) > spec.canvas:
    _pack_squares(Image.fromarray(pixels), spec, packed)
    return
  canvas, taps, is_picture = np.split(packed, spec.picture_ends)
  canvas.reshape(spec.canvas, spec.canvas, 3)[:height, :width] = pixels
  taps[:] = _square_taps(height, width, spec)
  is_picture[-1] = 1


def _pack_squares(
  image: Image.Image, spec: crops_144.MultiCrop, packed: np.ndarray
) -> None:
  start = 0
  for side in spec.shorter_sides:
    height, width = resized_shape(image.height, image.width, side)
    resized = np.asarray(
      image.resize((width, height), Image.Resampling.BILINEAR)
    )
    for top, left in square_corners(height, width, spec.squares):
      stop = start + 3 * side**2
      place = packed[start:stop].reshape(side, side, 3)
      place[...] = resized[top : top + side, left : left + side]
      start = stop


@functools.lru_cache(maxsize=64)  # Photographs come in few shapes.
def _square_taps(
  height: int, width: int, spec: crops_144.MultiCrop
) -> np.ndarray:
  """Taps of the rows and the columns of all squares, as bytes."""
  found = []
  for side in spec.shorter_sides:
    shape = resized_shape(height, width, side)
    corners = square_corners(*shape, spec.squares)
    for length, resized, starts in zip(
      (height, width), shape, zip(*corners, strict=True), strict=True
    ):
      taps = resampling.bilinear_taps(length, resized)
      # A picture that grows has fewer taps than one that shrinks.
      missing = 1 + crops_144.CANVAS_TAPS - taps.shape[1]
      taps = np.pad(taps, ((0, 0), (0, missing)))
      found += [taps[start : start + side].ravel() for start in starts]
  return np.concatenate(found).view(np.uint8)
