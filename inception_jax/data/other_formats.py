"""What a file is that no decoder here reads, and what to do about it."""

from collections.abc import Sequence

from PIL import TiffImagePlugin as tiff

from inception_jax.runtime import words

_CONVERT = 'convert it to JPEG or PNG'
RAW = (
  'a raw picture of a camera; develop it as JPEG or TIFF, for example with the'
  " package 'rawpy' or with darktable"
)
_AVIF = f'an AVIF picture; {_CONVERT}, for example with Pillow 11.3 or newer'
_HEIC = (
  f"a HEIC picture; {_CONVERT}, for example with the package 'pillow-heif'"
)
_JPEG_2000 = f'a JPEG 2000 picture; {_CONVERT}, for example with Pillow'
_JPEG_XL = f'a JPEG XL picture; {_CONVERT}, for example with djxl'
# Four letters at the ninth byte of a file whose fifth to eighth are `ftyp`.
_BRANDS = {
  b'avif': _AVIF,
  b'avis': _AVIF,
  b'crx ': RAW,
  **dict.fromkeys(
    (b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx', b'mif1', b'msf1'),
    _HEIC,
  ),
}
_STARTS = {
  b'\0\0\0\x0cJXL ': _JPEG_XL,
  b'\xff\x0a': _JPEG_XL,
  b'\0\0\0\x0cjP  ': _JPEG_2000,
  b'\xff\x4f\xff\x51': _JPEG_2000,
  b'8BPS': f'a Photoshop document; {_CONVERT}',
  b'%PDF': 'a PDF document; save its pictures as JPEG or PNG',
  b'FUJIFILMCCD-RAW': RAW,
  b'IIRO': RAW,
  b'IIRS': RAW,
  b'MMOR': RAW,
  b'IIU\0': RAW,
  b'FOVb': RAW,
  b'\0MRM': RAW,
  b'II\x1a\0\0\0HEAPCCDR': RAW,
}
# How files begin that are read when they are whole.
_READ = {
  b'\xff\xd8\xff': 'JPEG',
  b'\x89PNG': 'PNG',
  b'GIF8': 'GIF',
  b'BM': 'BMP',
  b'RIFF': 'WEBP',
  b'II*\0': 'TIFF',
  b'MM\0*': 'TIFF',
}
_DNG_VERSION = 50706
_SUBFILE_TYPE, _REDUCED = 254, 1


def describe(data: bytes, formats: Sequence[str]) -> str:
  """What a file is that Pillow does not know, with a remedy where there is one.

  Args:
    data: its contents.
    formats: those that are read.
  """
  if data[4:8] == b'ftyp':
    # The first brand may be that of any image; one after it is the codec's.
    brands = [data[i : i + 4] for i in (8, *range(16, min(data[3], 64), 4))]
    if b'avif' in brands:
      return _AVIF
    return _BRANDS.get(brands[0], f'no {words.join(formats, "or")} picture')
  for start, description in _STARTS.items():
    if data.startswith(start):
      return description
  for start, name in _READ.items():
    if data.startswith(start):
      return f'a {name} picture whose header is damaged'
  text = data[:256].lstrip(b'\xef\xbb\xbf \t\r\n').lower()
  if text.startswith((b'<!doctype html', b'<html')):
    return 'a web page and no picture; download the picture itself'
  if text.startswith(b'<svg') or b'<svg' in text:
    return f'an SVG drawing; {_CONVERT}'
  return f'no {words.join(formats, "or")} picture'


def is_raw_of_camera(image: tiff.TiffImageFile, data: bytes) -> bool:
  """Whether a TIFF is a camera's, so that its first picture is a preview."""
  tags = image.tag_v2
  is_preview = tags.get(_SUBFILE_TYPE, 0) & _REDUCED and tiff.SUBIFD in tags
  return data[8:10] == b'CR' or _DNG_VERSION in tags or bool(is_preview)
