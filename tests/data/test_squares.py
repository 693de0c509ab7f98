"""The crops of the test protocols against an enumeration by Pillow."""

import io

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

from inception_jax.data import batch_decoding, crops_144, squares
from inception_jax.evaluation import crop_views

SMALL = crops_144.protocol('multi_crop_144', 32)
# Height and width: landscape, portrait, square, tiny, odd, extreme. 74 is
# the longest side of a picture that crosses as it is.
SHAPES = [(60, 80), (91, 53), (75, 75), (5, 80), (200, 37)]
SHAPES += [(74, 74), (53, 74), (74, 61), (37, 37), (1, 1), (3, 7), (4, 60)]


def noise(height, width):
  rng = np.random.default_rng(height * width)
  return rng.integers(0, 256, (height, width, 3), np.uint8)


def by_pillow(image, spec):
  """Section 7, step by step."""
  image = Image.fromarray(image)
  bilinear = Image.Resampling.BILINEAR
  for side in spec.shorter_sides:
    shorter = min(image.size)
    width, height = (side * length // shorter for length in image.size)
    resized = image.resize((width, height), bilinear)
    for square in spec.squares:
      share = {'first': 0, 'center': 0.5, 'last': 1}[square]
      left, top = round((width - side) * share), round((height - side) * share)
      of_side = resized.crop((left, top, left + side, top + side))
      room = side - spec.size
      corners = {
        'top_left': (0, 0),
        'top_right': (room, 0),
        'bottom_left': (0, room),
        'bottom_right': (room, room),
        'center': (round(room / 2),) * 2,
      }
      for name in spec.crops:
        if name == 'whole':
          crop = of_side.resize((spec.size, spec.size), bilinear)
        else:
          x, y = corners[name]
          crop = of_side.crop((x, y, x + spec.size, y + spec.size))
        for mirror in spec.mirrors:
          flip = Image.Transpose.FLIP_LEFT_RIGHT
          yield np.array(crop.transpose(flip) if mirror else crop)


def pack(encoded, spec):
  (packed,), _ = batch_decoding.decode_batch(
    tf.constant([encoded]), np.zeros((1, 1), np.float32), spec, 1
  )
  return packed


def ours(encoded, spec):
  packed = pack(encoded, spec)[None]
  return np.concatenate(
    [
      crop_views.cut(part[:, place], spec)[0]
      for part in crop_views.unpack(packed, spec)
      for place in range(len(spec.squares))
    ]
  )


def to_png(image):
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, 'PNG')
  return buffer.getvalue()


@pytest.mark.parametrize(('height', 'width'), SHAPES)
def test_same_crops_in_the_same_order_as_by_pillow(height, width):
  image = noise(height, width)
  longest = max(squares.middle_window(height, width)[2:])
  assert pack(to_png(image), SMALL)[-1] == (longest <= SMALL.canvas)
  found = ours(to_png(image), SMALL)
  expected = np.stack(list(by_pillow(image, SMALL)))
  assert found.shape == expected.shape == (144, 32, 32, 3)
  np.testing.assert_array_equal(found, expected)
  if min(height, width) > 30:  # Crops differ by far more than that.
    others = np.abs(found[::2].astype(int) - np.roll(found[::2], 1, 0))
    assert np.median(others.mean((1, 2, 3))) > 1


def test_a_subset_is_a_subset():
  image = to_png(noise(60, 80))
  everything = dict(zip(SMALL.list(), ours(image, SMALL), strict=True))
  for sides, kinds, names, mirrors in (
    ((41,), ('last',), ('whole',), (True,)),
    ((50, 37), ('center', 'first'), ('center', 'top_right'), (True, False)),
    ((46,), ('center',), ('whole', 'bottom_left'), (False,)),
  ):
    spec = crops_144.MultiCrop(32, sides, kinds, names, mirrors)
    found = ours(image, spec)
    assert len(found) == len(spec)
    for what, crop in zip(spec.list(), found, strict=True):
      np.testing.assert_array_equal(crop, everything[what], err_msg=str(what))


@pytest.mark.parametrize(('height', 'width'), [(2, 200), (301, 3)])
def test_of_extreme_pictures_the_middle_is_used(height, width):
  image = noise(height, width)
  side, length = min(height, width), max(height, width)
  used = side * squares.MAX_ASPECT_RATIO
  start = (length - used) // 2
  middle = image[:, start : start + used]
  if height > width:
    middle = image[start : start + used]
  found = ours(to_png(image), SMALL)
  np.testing.assert_array_equal(found, ours(to_png(middle), SMALL))
  assert squares.middle_window(1, 2**30) == (0, 2**29 - 8, 1, 16)


def test_jpegs_are_decoded_once_and_whole():
  buffer = io.BytesIO()
  Image.fromarray(noise(60, 80)).save(buffer, 'JPEG', quality=95)
  pixels = np.array(Image.open(buffer))
  np.testing.assert_array_equal(
    ours(buffer.getvalue(), SMALL), ours(to_png(pixels), SMALL)
  )
