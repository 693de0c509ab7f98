"""One picture file, of whatever kind, as the bytes of a record.

What the training decoder reads as it is stays as it is, byte for byte: 8-bit
RGB or grey JPEGs; PNGs of 8-bit RGB, grey or palette without transparency;
neither with an EXIF rotation. Everything else becomes an RGB PNG, which loses
nothing: the first frame, upright, on white where it is transparent, 16 bits
scaled to 8.

What the reference decoder of a format refuses is refused: libpng (and Pillow),
libjpeg-turbo, giflib (and Pillow), libwebp, libtiff, and Pillow for BMP.
"""

from collections.abc import Iterator
import contextlib
import functools
import io
import re
import warnings

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin, features
import tensorflow as tf

from inception_jax.data import (
  decoding,
  gif_frame,
  other_formats,
)
from inception_jax.runtime import errors

# By content, not by ending. Other formats of Pillow's are no photographs, and
# some run other programs.
FORMATS = ('JPEG', 'PNG', 'BMP', 'GIF', 'WEBP', 'TIFF')
# MPO is a JPEG with further pictures after it, as some telephones write.
_JPEGS = ('JPEG', 'MPO')
_ORIENTATION = 0x0112  # EXIF tag.
# What makes each of its values upright (TIFF 6.0; 1 is).
_TRANSPOSITIONS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
# libpng takes no more, also of the records.
_MAX_SIDE = 1_000_000
# Below zlib's usual 6: photographs hardly shrink by more effort.
_PNG_LEVEL = 3


class UnreadableError(Exception):
  """The bytes are no picture that can be used; the message says why."""


@contextlib.contextmanager
def patient_pillow() -> Iterator[None]:
  """Lets `encode` decide what is too large, and keeps Pillow from warning.

  Pillow is also kept from taking truncated pictures, whoever had it do so, and
  reads all TIFFs by libtiff: by itself it takes uncompressed ones for whole
  that lack strips. All are settings of the whole process, so this is for the
  thread that starts the others.
  """
  limit = Image.MAX_IMAGE_PIXELS
  takes_truncated = ImageFile.LOAD_TRUNCATED_IMAGES
  by_libtiff = TiffImagePlugin.READ_LIBTIFF
  Image.init()  # Plug-ins are not to be loaded by several threads at once.
  with warnings.catch_warnings():
    warnings.filterwarnings('ignore', module=r'PIL\.')
    Image.MAX_IMAGE_PIXELS = None
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    TiffImagePlugin.READ_LIBTIFF = features.check('libtiff')
    try:
      yield
    finally:
      Image.MAX_IMAGE_PIXELS = limit
      ImageFile.LOAD_TRUNCATED_IMAGES = takes_truncated
      TiffImagePlugin.READ_LIBTIFF = by_libtiff


def encode(data: bytes) -> bytes:
  """The record of a picture file.

  Args:
    data: contents of the file.

  Returns:
    `data` itself or an RGB PNG, which `decoding.decode_image` can decode.

  Raises:
    UnreadableError: if it is empty, damaged, of no known format, of more than
      `decoding.MAX_PIXELS` pixels, or has no range of brightness.
  """
  if not data:
    raise UnreadableError('the file is empty')
  try:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
      _check_header(image, data)
      # Not of plain JPEGs: of them TensorFlow says the same.
      if not (image.format in _JPEGS and _is_plain(image, data)):
        image.load()
      _check_elsewhere(image, data)
      if _is_plain(image, data) and _orientation(image) == 1:
        return data
      return _to_png(_to_rgb(_with_colour_key(image, data)))
  except (UnreadableError, MemoryError):
    raise
  except Image.UnidentifiedImageError as error:
    raise UnreadableError(other_formats.describe(data, FORMATS)) from error
  except Exception as error:  # Of a dozen kinds, depending on the format.
    reason = errors.first_line(error)
    if reason.startswith('decoder error'):  # And a number.
      reason = f'its data are damaged ({reason})'
    raise UnreadableError(reason) from error


def _check_header(image: Image.Image, data: bytes) -> None:
  """Raises if a picture is not to be decoded, whether damaged or not."""
  width, height = image.size
  if width * height > decoding.MAX_PIXELS:
    raise UnreadableError(
      f'{width}x{height} pixels are more than {decoding.MAX_PIXELS:,}'
    )
  if max(width, height) > _MAX_SIDE:
    raise UnreadableError(
      f'{width}x{height} pixels have a side of more than {_MAX_SIDE:,}'
    )
  if image.format == 'TIFF' and other_formats.is_raw_of_camera(image, data):
    raise UnreadableError(other_formats.RAW)


def _check_elsewhere(image: Image.Image, data: bytes) -> None:
  """Raises if a picture has damage of which Pillow says nothing.

  It compares no checksum of a PNG's pixels, and takes a PNG or GIF without an
  end and a JPEG with a damaged one. libpng, libjpeg-turbo and giflib, which
  TensorFlow calls, do not.
  """
  second = None
  if image.format == 'PNG' or image.format in _JPEGS:
    second = data
  elif image.format == 'GIF':
    second = gif_frame.extract(data)
  if second is not None:
    try:
      decoded_size(second)
    except UnreadableError as error:
      image.load()  # If this fails it says more.
      raise UnreadableError(f'its data are damaged ({error})') from error


def encode_pillow(image: Image.Image) -> bytes:
  """The record of an image of Pillow's: see `encode`.

  Raises:
    UnreadableError: if it has too many pixels, or no range of brightness.
  """
  width, height = image.size
  if not 0 < width * height <= decoding.MAX_PIXELS:
    raise UnreadableError(
      f'{width}x{height} pixels are none or more than {decoding.MAX_PIXELS:,}'
    )
  try:
    # A copy: a file of Pillow's would be loaded and forgotten.
    return _to_png(_to_rgb(image.copy()))
  except (UnreadableError, MemoryError):
    raise
  except Exception as error:  # Of a dozen kinds, depending on the format.
    raise UnreadableError(errors.first_line(error)) from error


def decoded_size(encoded: bytes) -> tuple[int, int]:
  """Width and height of a record, decoded in full as training decodes it.

  Raises:
    UnreadableError: if training could not decode it.
  """
  try:
    height, width, _ = _decoder()(tf.constant(encoded)).shape
  except tf.errors.InvalidArgumentError as error:
    raise UnreadableError(_reason(error.message)) from error
  return width, height


def _reason(message: str) -> str:
  """The line of a graph's error that says something to the reader."""
  text = re.sub(r'\{\{.*?\}\}|\[Op:\w+\]|\[\[.*', '', message)
  lines = [line.strip() for line in text.splitlines()]
  told = [
    x for x in lines if x and not x.endswith(':') and 'Detected at' not in x
  ]
  return told[-1] if told else 'it cannot be decoded'


@functools.cache
def _decoder():
  # Traced once: operation by operation, Python would be the bottleneck.
  return tf.function(
    decoding.decode_image, input_signature=[tf.TensorSpec((), tf.string)]
  )


def _is_plain(image: Image.Image, data: bytes) -> bool:
  """Whether training sees in the stored pixels what people see in them."""
  if image.format in _JPEGS:
    return image.mode in ('RGB', 'L')
  return (
    image.format == 'PNG'
    and data[24] == 8  # Bits, in the header that every PNG begins with.
    and image.mode in ('RGB', 'L', 'P')
    and not image.has_transparency_data
  )


def _orientation(image: Image.Image) -> int:
  """EXIF orientation from 1 to 8; 1 is upright, and where there is none.

  Of PNGs only once they are loaded: their EXIF data may come last, so that
  Pillow loads them here, and no error of that may be lost.
  """
  try:
    orientation = image.getexif().get(_ORIENTATION, 1)
  except Exception:  # Damaged EXIF data, which do not make a picture worthless.
    return 1
  return orientation if orientation in range(1, 9) else 1


def _to_rgb(image: Image.Image) -> Image.Image:
  """Upright 8-bit RGB."""
  image.load()
  if _has_16_bits(image):
    image = _from_16_bits(image)
  elif image.mode in ('I', 'F'):
    raise UnreadableError(
      f'brightness is stored as mode {image.mode!r}, of unknown range'
    )
  upright = image
  # Not Pillow's `exif_transpose`, which fails where another tag is odd.
  if _orientation(image) in _TRANSPOSITIONS:
    upright = image.transpose(_TRANSPOSITIONS[_orientation(image)])
  if upright.has_transparency_data:
    upright = upright.convert('RGBA')
    white = Image.new('RGBA', upright.size, 'white')
    upright = Image.alpha_composite(white, upright)
  return upright.convert('RGB')


def _with_colour_key(image: Image.Image, data: bytes) -> Image.Image:
  """The picture, or if one of its colours is transparent, that as RGBA.

  Pillow compares the colour of a PNG, whose bits may be any, with 8-bit pixels.
  """
  has_key = image.mode != 'P' and 'transparency' in image.info
  if image.format != 'PNG' or not has_key:
    return image
  result = Image.fromarray(tf.io.decode_png(data, channels=4).numpy())
  result.getexif()[_ORIENTATION] = _orientation(image)
  return result


def _has_16_bits(image: Image.Image) -> bool:
  # Older releases of Pillow open 16-bit grey PNGs as 'I'.
  return image.mode.startswith('I;16') or (
    image.mode == 'I' and image.format == 'PNG'
  )


def _from_16_bits(image: Image.Image) -> Image.Image:
  """8-bit grey; Pillow's own conversion would clip at 255."""
  pixels = np.asarray(image).astype(np.int32)
  # The higher byte, which is what Pillow takes of 16-bit RGB.
  grey = (pixels >> 8).astype(np.uint8)
  if 'transparency' in image.info:
    grey[pixels == image.info['transparency']] = 255
  result = Image.fromarray(grey)
  result.getexif()[_ORIENTATION] = _orientation(image)
  return result


def _to_png(image: Image.Image) -> bytes:
  image.info.clear()  # Else colour profiles and the like come along.
  buffer = io.BytesIO()
  image.save(buffer, 'PNG', compress_level=_PNG_LEVEL)
  return buffer.getvalue()
