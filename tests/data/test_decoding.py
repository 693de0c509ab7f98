"""Tests of headers and of decoding."""

import io
import struct
import zlib

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

from inception_jax.data import decoding


def gradient_image(height, width):
  rows, columns = np.mgrid[:height, :width]
  channels = [rows % 256, columns % 256, (rows + columns) % 256]
  return np.stack(channels, -1).astype(np.uint8)


def encoded(image, kind):
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, kind, quality=95)
  return buffer.getvalue()


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'gif', 'bmp'])
def test_headers_give_the_shape(kind):
  data = encoded(gradient_image(61, 83), kind)
  assert tuple(decoding.header_shape(data).numpy()) == (61, 83)
  assert decoding.decode_image(data).shape == (61, 83, 3)


def enormous(kind):
  """A small file that promises 60,000 x 60,000 pixels."""
  if kind == 'jpeg':
    data = encoded(gradient_image(8, 8), 'jpeg')
    place = data.index(b'\xff\xc0') + 5
    return data[:place] + struct.pack('>HH', 60000, 60000) + data[place + 4 :]
  header = struct.pack('>IIBBBBB', 60000, 60000, 8, 2, 0, 0, 0)
  check = struct.pack('>I', zlib.crc32(b'IHDR' + header))
  return b'\x89PNG\r\n\x1a\n' + b'\0\0\0\rIHDR' + header + check


@pytest.mark.parametrize('kind', ['jpeg', 'png'])
def test_enormous_images_are_refused_by_their_header(kind):
  data = enormous(kind)
  with pytest.raises(tf.errors.InvalidArgumentError, match='60000'):
    decoding.header_shape(data)


JPEG = encoded(gradient_image(61, 83), 'jpeg')
PNG = encoded(gradient_image(61, 83), 'png')


@pytest.mark.parametrize(
  'data',
  [
    b'',
    b'x',
    b'no image at all',
    JPEG[:2],
    JPEG[:300],
    JPEG[: len(JPEG) // 2],
    PNG[:8],
    PNG[:20],
    PNG[: len(PNG) // 2],
    b'GIF8',
    b'BM',
  ],
  ids=lambda data: f'{data[:4]!r}x{len(data)}',
)
def test_damaged_images_are_errors_of_one_kind(data):
  with pytest.raises(tf.errors.InvalidArgumentError):
    decoding.decode_image(data)


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'gif', 'bmp'])
def test_decoding_a_window_equals_pillow(kind):
  data = encoded(gradient_image(61, 83), kind)
  found = decoding.decode_window(data, tf.constant([16, 32, 24, 40])).numpy()
  whole = np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))
  expected = whole[16:40, 32:72]
  # A JPEG's colours are upsampled from the window's own samples, so that its
  # outermost columns lack a neighbour.
  np.testing.assert_array_equal(found[:, 1:-1], expected[:, 1:-1])
  assert np.abs(found.astype(int) - expected).max() <= 3


def test_grey_png_becomes_three_channels():
  data = encoded(gradient_image(8, 8)[..., 0], 'png')
  found = decoding.decode_image(data).numpy()
  assert found.shape == (8, 8, 3)
  np.testing.assert_array_equal(found[..., 0], found[..., 2])


def gif_with_frame_of(frame, screen):
  """A GIF whose only frame has another width and height than its screen."""
  data = bytearray(encoded(gradient_image(*frame[::-1]), 'gif'))
  data[6:10] = struct.pack('<HH', *screen)
  return bytes(data)


@pytest.mark.parametrize('screen', [(30, 20), (50, 60)])
def test_a_gif_whose_frame_is_not_of_its_screens_size(screen):
  whole = decoding.decode_image(gif_with_frame_of((40, 30), (40, 30)))
  assert whole.shape == (30, 40, 3)
  with pytest.raises(tf.errors.InvalidArgumentError):
    decoding.decode_image(gif_with_frame_of((40, 30), screen))
