"""What becomes of damaged pictures of every format and mode.

Small pictures of each of `KINDS` are changed at random (a bit, some bytes, a
piece zeroed or doubled, the end cut off), prepared as a folder, and read as
`--mode=predict` reads them. What the reference decoder of the format refuses
must be left out by both, what it accepts must be there with its pixels. Prints
one JSON object; the exit status is 1 if a picture is anything else.

  python benchmarks/damaged_pictures.py [--num=300] [--seed=0] [--output=FILE]

The reference decoders: libpng and Pillow's zlib for PNG, libjpeg-turbo for JPEG
(where the data must have their end), Pillow and giflib for the first picture of
a GIF, libwebp for WebP, libtiff for TIFF, Pillow for BMP. The first of each is
that which defines the format, or the only one at hand; libpng, giflib and
libjpeg-turbo are called by TensorFlow, the others by Pillow.
"""

import argparse
from collections.abc import Callable
import contextlib
import io
import os
import pathlib
import random
import struct
import sys
import tempfile
from unittest import mock
import zlib

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from PIL import Image, TiffImagePlugin  # noqa: E402
from sklearn import datasets  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks import machine  # noqa: E402
from inception_jax.data import (  # noqa: E402
  crop_rules,
  decoding,
  pictures,
  records,
)
from inception_jax.data.preparation import prepare  # noqa: E402

_SIZE = (60, 44)
# Pixels of an RGB picture that a file stands for; None where it is refused.
Pixels = np.ndarray | None
# Left, top, horizontal and vertical step of each pass of an interlaced PNG.
_PASSES = (
  (0, 0, 8, 8),
  (4, 0, 8, 8),
  (0, 4, 4, 8),
  (2, 0, 4, 4),
  (0, 2, 2, 4),
  (1, 0, 2, 2),
  (0, 1, 1, 2),
)


def _photograph() -> Image.Image:
  return Image.fromarray(datasets.load_sample_image('flower.jpg')).resize(_SIZE)


def _transparent(image: Image.Image) -> Image.Image:
  result = image.convert('RGBA')
  result.putalpha(Image.linear_gradient('L').resize(image.size))
  return result


def _deep(image: Image.Image) -> Image.Image:
  """16 bits of grey."""
  return Image.fromarray(np.asarray(image.convert('L')).astype(np.uint16) * 257)


def _save(image: Image.Image, kind: str, **options) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def _chunk(name: bytes, contents: bytes) -> bytes:
  checksum = zlib.crc32(name + contents)
  return (
    struct.pack('>I', len(contents))
    + name
    + contents
    + struct.pack('>I', checksum)
  )


def _interlaced(pixels: np.ndarray, colour_type: int) -> bytes:
  """An interlaced PNG, which Pillow does not write, of 8 bits a channel."""
  height, width = pixels.shape[:2]
  rows = b''.join(
    b'\0' + row.tobytes()
    for left, top, across, down in _PASSES
    for row in pixels[top::down, left::across]
  )
  header = struct.pack('>IIBBBBB', width, height, 8, colour_type, 0, 0, 1)
  return (
    b'\x89PNG\r\n\x1a\n'
    + _chunk(b'IHDR', header)
    + _chunk(b'IDAT', zlib.compress(rows))
    + _chunk(b'IEND', b'')
  )


def _png(mode: str) -> Callable[[Image.Image], bytes]:
  return lambda image: _save(image.convert(mode), 'PNG')


def _tiff(compression: str, mode: str = 'RGB') -> Callable:
  """TIFFs of several strips, which Pillow writes by libtiff only."""

  def encode(image: Image.Image) -> bytes:
    with mock.patch.multiple(TiffImagePlugin, WRITE_LIBTIFF=True):
      return _save(
        image.convert(mode),
        'TIFF',
        compression=compression,
        strip_size=8 * _SIZE[0] * len(mode),
      )

  return encode


# By name, whose beginning is the format: from an RGB picture to a file.
KINDS: dict[str, Callable[[Image.Image], bytes]] = {
  'png_1': _png('1'),
  'png_l': _png('L'),
  'png_la': lambda x: _save(_transparent(x).convert('LA'), 'PNG'),
  'png_p': lambda x: _save(x.quantize(200), 'PNG'),
  'png_p_4_bits': lambda x: _save(x.quantize(16), 'PNG', bits=4),
  'png_p_transparent': lambda x: _save(x.quantize(99), 'PNG', transparency=3),
  'png_rgb': _png('RGB'),
  'png_rgba': lambda x: _save(_transparent(x), 'PNG'),
  'png_i_16': lambda x: _save(_deep(x), 'PNG'),
  'png_rgb_16': lambda x: tf.io.encode_png(
    np.asarray(x).astype(np.uint16) * 257
  ).numpy(),
  'png_l_interlaced': lambda x: _interlaced(np.asarray(x.convert('L')), 0),
  'png_rgb_interlaced': lambda x: _interlaced(np.asarray(x), 2),
  'png_rgba_interlaced': lambda x: _interlaced(np.asarray(_transparent(x)), 6),
  'jpeg_rgb': lambda x: _save(x, 'JPEG'),
  'jpeg_l': lambda x: _save(x.convert('L'), 'JPEG'),
  'jpeg_progressive': lambda x: _save(x, 'JPEG', progressive=True),
  'jpeg_cmyk': lambda x: _save(x.convert('CMYK'), 'JPEG'),
  'gif': lambda x: _save(x.quantize(200), 'GIF'),
  'gif_animated': lambda x: _save(
    x, 'GIF', save_all=True, append_images=[x.rotate(90)]
  ),
  'webp': lambda x: _save(x, 'WEBP'),
  'webp_lossless': lambda x: _save(x, 'WEBP', lossless=True),
  'webp_transparent': lambda x: _save(_transparent(x), 'WEBP'),
  'tiff': _tiff('raw'),
  'tiff_i_16': lambda x: _save(_deep(x), 'TIFF'),
  'tiff_lzw': _tiff('tiff_lzw'),
  'tiff_deflate': _tiff('tiff_adobe_deflate'),
  'tiff_packbits': _tiff('packbits', 'L'),
  'tiff_jpeg': _tiff('jpeg'),
  'tiff_group4': _tiff('group4', '1'),
  'bmp': lambda x: _save(x, 'BMP'),
  'bmp_p': lambda x: _save(x.quantize(200), 'BMP'),
  'bmp_1': lambda x: _save(x.convert('1'), 'BMP'),
}


def _flip(data: bytearray, rng: random.Random) -> bytes:
  data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
  return bytes(data)


def _overwrite(data: bytearray, rng: random.Random) -> bytes:
  for _ in range(rng.randint(1, 5)):
    data[rng.randrange(len(data))] = rng.randrange(256)
  return bytes(data)


def _zero(data: bytearray, rng: random.Random) -> bytes:
  start = rng.randrange(len(data))
  stop = min(start + rng.choice((4, 64, 512)), len(data))
  data[start:stop] = bytes(stop - start)
  return bytes(data)


def _double(data: bytearray, rng: random.Random) -> bytes:
  start = rng.randrange(len(data))
  return bytes(data[:start] + data[start : start + 16] + data[start:])


def _cut(data: bytearray, rng: random.Random) -> bytes:
  # Half of the cuts take the last bytes only, where formats have their end.
  most = rng.choice((32, len(data)))
  return bytes(data[: max(1, len(data) - rng.randint(1, most))])


# A flip is the smallest damage and so the hardest to see; half are flips.
DAMAGES = {
  'flip': _flip,
  'overwrite': _overwrite,
  'zero': _zero,
  'double': _double,
  'cut': _cut,
}


def write(folder: pathlib.Path, num: int, seed: int) -> None:
  """Writes a class of each kind: the whole picture, and damaged ones.

  Args:
    folder: gets `train/KIND/whole` and `train/KIND/NUMBER_DAMAGE`, and another
      whole picture as validation, lest preparing take one of those.
    num: damaged pictures of all kinds together.
    seed: of the damages.
  """
  photograph = _photograph()
  whole = {kind: encode(photograph) for kind, encode in KINDS.items()}
  for part, kinds in {'train': KINDS, 'validation': ['png_rgb']}.items():
    for kind in kinds:
      (folder / part / kind).mkdir(parents=True)
      (folder / part / kind / 'whole').write_bytes(whole[kind])
  for number in range(num):
    kind = list(KINDS)[number % len(KINDS)]
    rng = random.Random(f'{seed} {number}')
    how = 'flip' if rng.random() < 0.5 else rng.choice(list(DAMAGES))
    data = DAMAGES[how](bytearray(whole[kind]), rng)
    (folder / 'train' / kind / f'{number:04d}_{how}').write_bytes(data)


def reference(kind: str, data: bytes) -> Pixels:
  """What the reference decoder of a kind makes of a file."""
  try:
    with mock.patch.multiple(TiffImagePlugin, READ_LIBTIFF=True):
      image = Image.open(io.BytesIO(data))
      if image.width * image.height > decoding.MAX_PIXELS:
        return None
      image.load()
  except Exception:  # Of a dozen kinds, depending on the format.
    return None
  by_tensorflow = None
  try:
    if kind.startswith('png'):
      tf.io.decode_png(data)
    elif kind.startswith('jpeg'):
      by_tensorflow = tf.io.decode_jpeg(
        data, channels=3, dct_method='INTEGER_ACCURATE'
      )
    elif kind.startswith('gif'):
      tf.io.decode_gif(data)
  except tf.errors.InvalidArgumentError as error:
    # TensorFlow's own complaint, of colours that the table lacks. Neither
    # giflib nor Pillow has it, for whom such pixels are black.
    if 'color index' not in str(error):
      return None
  if by_tensorflow is not None and image.mode in ('RGB', 'L'):
    return by_tensorflow.numpy()
  return _to_rgb(image)


def _to_rgb(image: Image.Image) -> Pixels:
  """8-bit RGB on white; None if the range of brightness is unknown."""
  # Older releases of Pillow open 16-bit grey PNGs as 'I'.
  if image.mode.startswith('I;16') or (image.mode, image.format) == (
    'I',
    'PNG',
  ):
    return np.repeat((np.asarray(image) >> 8)[..., None], 3, -1).astype(
      np.uint8
    )
  if image.mode in ('I', 'F'):
    return None
  if image.has_transparency_data:
    white = Image.new('RGBA', image.size, 'white')
    image = Image.alpha_composite(white, image.convert('RGBA'))
  return np.asarray(image.convert('RGB'))


def prepared(folder: pathlib.Path, data_dir: pathlib.Path) -> dict[str, Pixels]:
  """The pixels of each file after `--mode=prepare`, None if it is left out."""
  result = prepare.prepare('damaged', data_dir, str(folder))
  found: dict[str, Pixels] = {x['file']: None for x in result['left_out']}
  for split in result['splits']:
    of_split = records.open_records('damaged', split, data_dir)
    for example in of_split.read_examples(np.arange(len(of_split))):
      image = decoding.decode_image(tf.constant(example['image']))
      found[records.file_name(example)] = image.numpy()
  return found


def unpredictable(folder: pathlib.Path, names: list[str]) -> set[str]:
  """The files of which `--mode=predict` says that they cannot be read."""
  crop = crop_rules.EvaluationCrop(32, 'center_square')
  paths = [str(folder / name) for name in names]
  return {
    os.path.relpath(entry['file'], folder)
    for batch in pictures.read_pictures(paths, crop, 32)
    for entry in batch.failed
  }


def compare(
  expected: dict[str, Pixels], found: dict[str, Pixels]
) -> dict[str, list[str]]:
  """The files of which something else became than of the reference."""
  wrong = {'accepted': [], 'refused': [], 'other_pixels': []}
  for name, pixels in expected.items():
    ours = found[name]
    if pixels is None and ours is not None:
      wrong['accepted'].append(name)
    elif pixels is not None and ours is None:
      wrong['refused'].append(name)
    elif pixels is not None and not np.array_equal(pixels, ours):
      wrong['other_pixels'].append(name)
  return wrong


def measure(folder: pathlib.Path, num: int, seed: int) -> dict:
  """Writes, prepares, predicts and compares pictures in an empty folder."""
  images = folder / 'images'
  write(images, num, seed)
  names = sorted(str(x.relative_to(images)) for x in images.glob('*/*/*'))
  expected = {
    name: reference(name.split('/')[1], (images / name).read_bytes())
    for name in names
  }
  found = prepared(images, folder / 'data')
  left_out = {name for name, pixels in found.items() if pixels is None}
  damaged = [name for name in names if not name.endswith('/whole')]
  kinds = {}
  for kind in KINDS:
    of_kind = [name for name in damaged if f'/{kind}/' in name]
    refused = sum(expected[name] is None for name in of_kind)
    kinds[kind] = {
      'num': len(of_kind),
      'reference_refuses': refused,
      'reference_accepts': len(of_kind) - refused,
    }
  return {
    'num_damaged': len(damaged),
    'num_whole': len(names) - len(damaged),
    'reference_refuses': sum(x['reference_refuses'] for x in kinds.values()),
    'reference_accepts': sum(x['reference_accepts'] for x in kinds.values()),
    'whole_refused': sorted(x for x in left_out if x.endswith('/whole')),
    'wrong': compare(expected, found),
    'predict_differs': sorted(left_out ^ unpredictable(images, names)),
    'kinds': kinds,
  }


def is_right(result: dict) -> bool:
  """Whether every file is what the reference makes of it."""
  return not any(
    [*result['wrong'].values(), result['whole_refused']]
    + [result['predict_differs']]
  )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--num', type=int, default=300)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--output', type=pathlib.Path)
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    # Standard output is for the result, and preparing prints a census.
    with contextlib.redirect_stdout(sys.stderr):
      result = measure(pathlib.Path(folder), arguments.num, arguments.seed)
  packages = ('pillow', 'tensorflow-cpu')
  record = {**machine.environment(packages), 'seed': arguments.seed, **result}
  machine.keep(record, arguments.output)
  if not is_right(result):
    sys.exit('pictures are not what the reference decoders make of them')


if __name__ == '__main__':
  main()
