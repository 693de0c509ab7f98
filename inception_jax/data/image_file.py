"""One picture file, of whatever kind, as the bytes of a record.

What the training decoder reads as it is stays as it is, byte for byte: 8-bit
RGB or grey JPEGs; PNGs of 8-bit RGB, grey or palette without transparency;
neither with an EXIF rotation. Everything else becomes an RGB PNG, which loses
nothing: the first frame, upright, on white where it is transparent, 16 bits
scaled to 8.
"""

from collections.abc import Iterator
import contextlib
import functools
import io
import re
import warnings

import numpy as np
from PIL import Image
import tensorflow as tf

from inception_jax.data import decoding
from inception_jax.runtime import errors

# By content, not by ending. Other formats of Pillow's are no photographs, and
# some run other programs.
FORMATS = ('JPEG', 'PNG', 'BMP', 'GIF', 'WEBP', 'TIFF')
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
# Below zlib's usual 6: photographs hardly shrink by more effort.
_PNG_LEVEL = 3


class UnreadableError(Exception):
  """The bytes are no picture that can be used; the message says why."""


@contextlib.contextmanager
def patient_pillow() -> Iterator[None]:
  """Lets `encode` decide what is too large, and keeps Pillow from warning.

  Both are settings of the whole process, so this is for the thread that starts
  the others.
  """
  limit = Image.MAX_IMAGE_PIXELS
  Image.init()  # Plug-ins are not to be loaded by several threads at once.
  with warnings.catch_warnings():
    warnings.filterwarnings('ignore', module=r'PIL\.')
    Image.MAX_IMAGE_PIXELS = None
    try:
      yield
    finally:
      Image.MAX_IMAGE_PIXELS = limit


def encode(data: bytes) -> bytes:
  """The record of a picture file.

  Args:
    data: contents of the file.

  Returns:
    `data` itself or an RGB PNG, which `decoding.decode_image` can decode.

  Raises:
    UnreadableError: if it is empty, truncated, of no known format, of more
      than `decoding.MAX_PIXELS` pixels, or has no range of brightness.
  """
  if not data:
    raise UnreadableError('the file is empty')
  try:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
      width, height = image.size
      if width * height > decoding.MAX_PIXELS:
        raise UnreadableError(
          f'{width}x{height} pixels are more than {decoding.MAX_PIXELS:,}'
        )
      if _may_stay(image, data) and _can_be_decoded(data):
        return data
      return _to_png(_to_rgb(image))
  except (UnreadableError, MemoryError):
    raise
  except Image.UnidentifiedImageError as error:
    raise UnreadableError(f'no {", ".join(FORMATS)} picture') from error
  except Exception as error:  # Of a dozen kinds, depending on the format.
    raise UnreadableError(errors.first_line(error)) from error


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


def _can_be_decoded(data: bytes) -> bool:
  try:
    decoded_size(data)
  except UnreadableError:
    return False  # Pillow may yet read it.
  return True


def _may_stay(image: Image.Image, data: bytes) -> bool:
  """Whether training sees in the file itself what people see in it."""
  # MPO is a JPEG with further pictures after it, as some telephones write.
  if image.format in ('JPEG', 'MPO'):
    plain = image.mode in ('RGB', 'L')
  elif image.format == 'PNG':
    bits = data[24]  # In the header, which every PNG begins with.
    plain = (
      bits == 8
      and image.mode in ('RGB', 'L', 'P')
      and not image.has_transparency_data
    )
  else:
    plain = False
  return plain and _orientation(image) == 1


def _orientation(image: Image.Image) -> int:
  """EXIF orientation from 1 to 8; 1 is upright, and where there is none."""
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
  result.getexif().update(image.getexif())
  return result


def _to_png(image: Image.Image) -> bytes:
  image.info.clear()  # Else colour profiles and the like come along.
  buffer = io.BytesIO()
  image.save(buffer, 'PNG', compress_level=_PNG_LEVEL)
  return buffer.getvalue()
