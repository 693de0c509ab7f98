"""Images as a notebook gives them."""

import numpy as np
from PIL import Image
import pytest

from inception_jax.data import crop_rules, given_images
from inception_jax.runtime import errors

CROP = crop_rules.EvaluationCrop(32, 'center_square')


@pytest.fixture(scope='module')
def pixels():
  rng = np.random.default_rng(0)
  return rng.integers(256, size=(2, 50, 40, 3)).astype(np.uint8)


def test_all_ways_are_the_same_pixels(tmp_path, pixels):
  path = tmp_path / 'image.png'
  Image.fromarray(pixels[0]).save(path)
  with Image.open(path) as opened:
    ways = [path, str(path), opened, Image.fromarray(pixels[0]), pixels[0]]
    images = given_images.cut(ways, CROP)
  assert images.shape == (5, 32, 32, 3)
  np.testing.assert_array_equal(images, images[[0] * 5])


def test_one_or_several(pixels):
  for one in ('a.jpg', pixels[0], Image.fromarray(pixels[0])):
    found, is_one = given_images.split(one)
    assert len(found) == 1 and is_one
  for several in (pixels, list(pixels), ['a.jpg', pixels[0]], (pixels[:1],)):
    found, is_one = given_images.split(several)
    assert len(found) == (2 if len(several) == 2 else 1) and not is_one
  assert given_images.split([]) == ([], False)


def test_images_of_any_mode_of_pillow():
  image = Image.new('RGBA', (40, 40), (255, 0, 0, 0))
  white = given_images.cut([image], CROP)
  np.testing.assert_array_equal(white, 255)
  grey = given_images.cut([Image.new('L', (40, 40), 7)], CROP)
  np.testing.assert_array_equal(grey, 7)


@pytest.mark.parametrize(
  ('given', 'reason'),
  [
    (7, 'int is no kind of image'),
    (None, 'NoneType is no kind of image'),
    ([[7]], 'int is no kind of image'),
    (np.zeros((4, 4), np.uint8), r'shape \[4, 4\]'),
    (np.zeros((3, 4, 4), np.uint8), r'shape \[3, 4, 4\]'),
    (np.zeros((0, 4, 3), np.uint8), r'shape \[0, 4, 3\]'),
    (np.zeros((4, 4, 3), np.float32), 'float32'),
    (Image.new('F', (4, 4)), "image 0 .* mode 'F'"),
    ('no such file.jpg', 'no such file.jpg cannot be used: there is no such'),
  ],
)
def test_wrong_types_and_shapes_say_what_is_expected(given, reason):
  with pytest.raises(errors.InputError, match=reason) as caught:
    given_images.cut(given_images.split(given)[0], CROP)
  assert 'uint8 array [height, width, 3]' in str(caught.value)
