"""Writes photographs in the odd ways in which people have them, as a folder.

Every photograph in the next of `KINDS`; one of each kind that is no picture
goes beside them. Also the tests' source of such files.

  python benchmarks/odd_pictures.py PHOTOGRAPHS FOLDER [--num=95]

PHOTOGRAPHS is a tar or a folder of JPEGs. The folder gets two classes, and no
validation part.
"""

import argparse
from collections.abc import Callable, Iterable
import io
import pathlib
import tarfile

import numpy as np
from PIL import Image

_LONGEST_SIDE = 400
_ORIENTATION = 0x0112  # EXIF tag.


def _save(image: Image.Image, kind: str, **options) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def _turned(image: Image.Image, orientation: int) -> bytes:
  exif = Image.Exif()
  exif[_ORIENTATION] = orientation
  return _save(image, 'JPEG', exif=exif)


def _transparent(image: Image.Image) -> Image.Image:
  result = image.convert('RGBA')
  result.putalpha(Image.linear_gradient('L').resize(image.size))
  return result


def _deep(image: Image.Image) -> Image.Image:
  """16 bits of grey."""
  return Image.fromarray(np.asarray(image.convert('L')).astype(np.uint16) * 257)


def _animated(image: Image.Image) -> bytes:
  frames = [image.rotate(90 * i) for i in (1, 2)]
  return _save(image, 'GIF', save_all=True, append_images=frames)


# By name: the ending, and from an RGB picture to the file's contents.
KINDS: dict[str, tuple[str, Callable[[Image.Image], bytes]]] = {
  'jpeg': ('jpg', lambda x: _save(x, 'JPEG')),
  'progressive_jpeg': ('jpeg', lambda x: _save(x, 'JPEG', progressive=True)),
  'poor_jpeg': ('JPG', lambda x: _save(x, 'JPEG', quality=5)),
  'grey_jpeg': ('jpg', lambda x: _save(x.convert('L'), 'JPEG')),
  'cmyk_jpeg': ('jpg', lambda x: _save(x.convert('CMYK'), 'JPEG')),
  'turned_jpeg': ('jpg', lambda x: _turned(x, 6)),
  'mirrored_jpeg': ('jpg', lambda x: _turned(x, 2)),
  'png': ('png', lambda x: _save(x, 'PNG')),
  'palette_png': ('png', lambda x: _save(x.quantize(200), 'PNG')),
  'transparent_png': ('png', lambda x: _save(_transparent(x), 'PNG')),
  'deep_png': ('png', lambda x: _save(_deep(x), 'PNG')),
  'one_bit_png': ('png', lambda x: _save(x.convert('1'), 'PNG')),
  'png_called_jpg': ('jpg', lambda x: _save(x, 'PNG')),
  'bmp': ('bmp', lambda x: _save(x, 'BMP')),
  'animated_gif': ('gif', _animated),
  'webp': ('webp', lambda x: _save(x, 'WEBP')),
  'tiff': ('tif', lambda x: _save(x, 'TIFF', compression='tiff_lzw')),
  'pixel': ('png', lambda x: _save(x.resize((1, 1)), 'PNG')),
  'strip': ('png', lambda x: _save(x.resize((400, 3)), 'PNG')),
}
# No pictures: from the contents of a JPEG.
DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
  'truncated': ('jpg', lambda x: x[: len(x) // 2]),
  'empty': ('jpg', lambda x: b''),
  'text': ('jpg', lambda x: b'no picture at all\n'),
}


def write(
  photographs: Iterable[bytes], folder: pathlib.Path, num: int
) -> list[str]:
  """Writes `num` pictures of all kinds, and what is none.

  Args:
    photographs: JPEGs, taken in turn and as often as needed.
    folder: gets `even/KIND_NUMBER.ENDING` and `odd/...`.
    num: of pictures.

  Returns:
    Names, relative to the folder, of the files that are no pictures.
  """
  photographs = list(photographs)
  kinds = list(KINDS.items())
  for number in range(num):
    image = Image.open(io.BytesIO(photographs[number % len(photographs)]))
    image = image.convert('RGB')
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    # A class has all kinds as the number goes round.
    kind, (ending, encode) = kinds[number // 2 % len(kinds)]
    place = folder / ('even', 'odd')[number % 2]
    place.mkdir(parents=True, exist_ok=True)
    (place / f'{kind}_{number:04d}.{ending}').write_bytes(encode(image))
  for name, (ending, damage) in DAMAGES.items():
    path = folder / 'even' / f'{name}.{ending}'
    path.write_bytes(damage(photographs[0]))
  return [f'even/{name}.{ending}' for name, (ending, _) in DAMAGES.items()]


def _read(source: pathlib.Path) -> list[bytes]:
  if source.is_dir():
    return [path.read_bytes() for path in sorted(source.rglob('*.[jJ]*'))]
  with tarfile.open(source) as archive:
    members = sorted(archive.getmembers(), key=lambda member: member.name)
    return [archive.extractfile(x).read() for x in members if x.isfile()]


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('photographs', type=pathlib.Path)
  parser.add_argument('folder', type=pathlib.Path)
  parser.add_argument('--num', type=int, default=5 * len(KINDS))
  arguments = parser.parse_args()
  damaged = write(_read(arguments.photographs), arguments.folder, arguments.num)
  print(f'{arguments.num} pictures, and {len(damaged)} files that are none')


if __name__ == '__main__':
  main()
