"""Tests of picture files of all kinds as records, against Pillow's pixels."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageFile
import pytest
import tensorflow as tf

from inception_jax.data import decoding, image_file

RNG = np.random.RandomState(0)
RGB = RNG.randint(0, 256, (11, 17, 3)).astype(np.uint8)
GREY = RNG.randint(0, 256, (11, 17)).astype(np.uint8)
GREY_16 = RNG.randint(0, 65536, (11, 17)).astype(np.uint16)
# Smooth, so that JPEG changes little.
SMOOTH = np.stack(
  [
    np.add.outer(np.arange(40) * 3, np.arange(24) * 4),
    np.add.outer(np.arange(40) * 5, np.arange(24)),
    np.full((40, 24), 90),
  ],
  -1,
).astype(np.uint8)


def save(image, kind, **options):
  buffer = io.BytesIO()
  if isinstance(image, np.ndarray):
    image = Image.fromarray(image)
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def decoded(encoded):
  return decoding.decode_image(tf.constant(encoded)).numpy()


def grey_to_rgb(grey):
  return np.repeat(grey[..., None], 3, -1)


def palette(colours=256):
  return Image.fromarray(RGB).quantize(colours)


@pytest.mark.parametrize(
  'data',
  [
    save(SMOOTH, 'JPEG'),
    save(SMOOTH, 'JPEG', progressive=True),
    save(GREY, 'JPEG'),
    save(RGB, 'PNG'),
    save(GREY, 'PNG'),
    save(palette(), 'PNG'),
  ],
  ids=['jpeg', 'progressive', 'grey jpeg', 'png', 'grey png', 'palette png'],
)
def test_what_training_can_read_stays_byte_for_byte(data):
  assert image_file.encode(data) == data
  expected = np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))
  np.testing.assert_array_equal(decoded(data), expected)


def on_white(rgba):
  alpha = rgba[..., 3:] / 255
  return rgba[..., :3] * alpha + 255 * (1 - alpha)


def transparent_palette():
  image = palette(64)
  pixels = np.asarray(image.convert('RGB')).copy()
  pixels[np.asarray(image) == 3] = 255
  return save(image, 'PNG', transparency=3), pixels


def colour_key():
  pixels = RGB.copy()
  pixels[2:5, 3:9] = (10, 20, 30)
  expected = pixels.copy()
  expected[2:5, 3:9] = 255
  return save(pixels, 'PNG', transparency=(10, 20, 30)), expected


def cmyk(transform=None):
  image = Image.fromarray(SMOOTH).convert('CMYK')
  data = bytearray(save(image, 'JPEG', quality=95))
  if transform is not None:
    data[data.index(b'Adobe') + 11] = transform
  with Image.open(io.BytesIO(bytes(data))) as opened:
    assert opened.mode == 'CMYK'
    return bytes(data), np.asarray(opened.convert('RGB'))


def animation():
  frames = [Image.fromarray(x).quantize(64) for x in (RGB, 255 - RGB)]
  data = save(frames[0], 'GIF', save_all=True, append_images=frames[1:])
  return data, np.asarray(frames[0].convert('RGB'))


def converted():
  """Name, file, expected pixels, largest difference."""
  yield 'bmp', save(RGB, 'BMP'), RGB, 0
  yield 'webp', save(RGB, 'WEBP', lossless=True), RGB, 0
  yield 'tiff', save(RGB, 'TIFF'), RGB, 0
  yield 'gif', *animation(), 0
  rgba = np.concatenate([RGB, GREY[..., None]], -1)
  yield 'rgba png', save(rgba, 'PNG'), on_white(rgba), 1
  yield (
    'rgba webp',
    save(rgba, 'WEBP', lossless=True, exact=True),
    on_white(rgba),
    1,
  )
  grey_alpha = np.stack([GREY, GREY.T.reshape(GREY.shape)], -1)
  as_rgba = np.concatenate([grey_to_rgb(GREY), grey_alpha[..., 1:]], -1)
  image = Image.fromarray(as_rgba).convert('LA')
  yield 'grey alpha png', save(image, 'PNG'), on_white(as_rgba), 1
  yield 'transparent palette', *transparent_palette(), 0
  yield 'colour key', *colour_key(), 0
  yield 'cmyk', *cmyk(), 0
  yield 'ycck', *cmyk(transform=2), 0
  scaled = grey_to_rgb((GREY_16 >> 8).astype(np.uint8))
  yield '16-bit png', save(GREY_16, 'PNG'), scaled, 0
  yield '16-bit tiff', save(GREY_16, 'TIFF'), scaled, 0
  rgb_16 = np.stack([GREY_16, GREY_16 // 2, GREY_16 // 3], -1)
  data = tf.io.encode_png(rgb_16).numpy()
  yield '16-bit rgb png', data, (rgb_16 >> 8).astype(np.uint8), 0
  bits = Image.fromarray(GREY > 99)
  black_white = grey_to_rgb(np.where(GREY > 99, 255, 0).astype(np.uint8))
  yield '1-bit png', save(bits, 'PNG'), black_white, 0
  yield '1-bit tiff', save(bits, 'TIFF'), black_white, 0
  few = palette(16)
  yield '4-bit png', save(few, 'PNG', bits=4), np.asarray(few.convert('RGB')), 0


@pytest.mark.parametrize(
  ('data', 'expected', 'tolerance'),
  [pytest.param(*case, id=name) for name, *case in converted()],
)
def test_everything_else_becomes_an_equal_png(data, expected, tolerance):
  encoded = image_file.encode(data)
  assert encoded.startswith(b'\x89PNG') and encoded != data
  assert Image.open(io.BytesIO(encoded)).mode == 'RGB'
  difference = np.abs(decoded(encoded) - np.asarray(expected, np.float64))
  assert difference.max() <= tolerance


# By the definition of the EXIF tag: what has to be done to the stored pixels.
UPRIGHT = {
  2: np.fliplr,
  3: lambda x: np.rot90(x, 2),
  4: np.flipud,
  5: lambda x: x.transpose(1, 0, 2),
  6: lambda x: np.rot90(x, -1),
  7: lambda x: np.rot90(x, 2).transpose(1, 0, 2),
  8: np.rot90,
}


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
@pytest.mark.parametrize('orientation', [1, *UPRIGHT])
def test_rotation(kind, orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  options = {'lossless': True} if kind == 'WEBP' else {}
  data = save(SMOOTH, kind, exif=exif, **options)
  if kind == 'TIFF' or orientation == 1:  # Pillow itself turns TIFFs.
    stored = SMOOTH if kind != 'JPEG' else decoded(data)
  else:
    stored = np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))
  upright = UPRIGHT.get(orientation, lambda x: x)(stored)
  encoded = image_file.encode(data)
  np.testing.assert_array_equal(decoded(encoded), upright)
  assert (encoded == data) == (orientation == 1 and kind in ('JPEG', 'PNG'))


def test_damaged_exif_does_not_cost_the_picture():
  data = save(SMOOTH, 'JPEG', exif=b'Exif\0\0II*\0\xff\xff')
  assert image_file.encode(data) == data


def exif_of(*entries):
  """EXIF data of tags, types, counts and values of four bytes."""
  start = b'Exif\0\0II*\0' + struct.pack('<IH', 8, len(entries))
  return start + b''.join(
    struct.pack('<HHI', *entry[:3]) + entry[3] for entry in entries
  )


@pytest.mark.parametrize(
  'odd',
  [
    (0x0100, 2, 4, b'wide'),  # A width in letters.
    (0x0111, 2, 4, b'what'),  # Likewise where its pixels are.
    (0x011A, 10, 1, struct.pack('<I', 38)),  # Resolution, signed.
  ],
)
def test_odd_tags_do_not_cost_a_turned_picture(odd):
  turned = (0x0112, 3, 1, struct.pack('<I', 6))
  more = struct.pack('<Iii', 0, -72, 1)
  exif = exif_of(*sorted([turned, odd])) + more
  data = save(SMOOTH, 'JPEG', exif=exif, quality=95)
  found = np.asarray(Image.open(io.BytesIO(image_file.encode(data))))
  decoded = np.asarray(Image.open(io.BytesIO(data)))
  # 6 is made upright by a quarter of a turn clockwise.
  np.testing.assert_array_equal(found, np.rot90(decoded, -1))


def png_header(width, height):
  """A PNG of which only the header is there."""
  header = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
  checksum = struct.pack('>I', zlib.crc32(header))
  start = b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13)
  return start + header + checksum + struct.pack('>I', 99) + b'IDAT'


@pytest.mark.parametrize(
  ('data', 'reason'),
  [
    (b'', 'empty'),
    (b'not a picture', 'no JPEG, PNG'),
    (save(SMOOTH, 'JPEG')[:-300], 'Truncated'),
    (save(RGB, 'JPEG')[:-60], 'truncated'),
    (save(RGB, 'PNG')[:-60], 'truncated|ended|broken'),
    (save(RGB, 'BMP')[:-60], 'truncated'),
    (png_header(20_000, 10_000), '20000x10000 pixels are more than'),
    (png_header(200_000, 100_000), '200000x100000 pixels are more than'),
    (save(GREY.astype(np.float32), 'TIFF'), "mode 'F', of unknown range"),
  ],
  ids=lambda value: value if isinstance(value, str) else '',
)
def test_what_is_no_picture_says_why(data, reason):
  limit = Image.MAX_IMAGE_PIXELS
  with image_file.patient_pillow():
    with pytest.raises(image_file.UnreadableError, match=reason):
      image_file.encode(data)
  assert Image.MAX_IMAGE_PIXELS == limit


def png_of(mode):
  """A PNG of a mode, larger than its header."""
  image = Image.fromarray(SMOOTH)
  if mode == 'I;16':
    return save(GREY_16, 'PNG')
  if mode in ('LA', 'RGBA'):
    image.putalpha(Image.fromarray(SMOOTH[..., 0]))
  return save(image.convert(mode), 'PNG')


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I;16'])
def test_no_flipped_bit_of_a_png_is_taken(mode):
  data = png_of(mode)
  image_file.encode(data)
  rng = np.random.RandomState(0)
  # From the first byte of the pixels to the last checksum.
  for place in rng.randint(data.index(b'IDAT') + 4, len(data), 20):
    flipped = bytearray(data)
    flipped[place] ^= 1 << rng.randint(8)
    with pytest.raises(image_file.UnreadableError):
      image_file.encode(bytes(flipped))


@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA', 'P'])
def test_png_without_its_end_is_not_taken(mode):
  data = png_of(mode)
  for num in (1, 12, 16):  # Of the last checksum, its chunk, that of pixels.
    with pytest.raises(image_file.UnreadableError, match='damaged'):
      image_file.encode(data[:-num])


def test_png_keeps_what_may_be_anything():
  data = png_of('RGB')
  # After the end; and in a chunk that is none of pixels.
  assert image_file.encode(data + b'more') == data + b'more'
  exif = Image.Exif()
  exif[0x010E] = 'x'
  data = save(SMOOTH, 'PNG', exif=exif)
  assert image_file.encode(data) == data


def pillow_takes(data):
  try:
    Image.open(io.BytesIO(data)).load()
  except OSError:
    return False
  return True


def test_jpeg_whose_end_is_damaged_is_not_taken():
  data = save(SMOOTH[..., 0], 'JPEG')
  assert data.endswith(b'\xff\xd9')
  ends = [data[:-1] + bytes([0xD9 ^ 1 << bit]) for bit in range(8)]
  taken = [end for end in ends if pillow_takes(end)]
  assert taken
  for end in taken:
    with pytest.raises(image_file.UnreadableError, match='damaged'):
      image_file.encode(end)


@pytest.mark.parametrize(
  'damage',
  [
    lambda data, first: data[:first] + b'what' + data[first:],
    lambda data, first: data[:-2],  # The empty block after the last.
  ],
  ids=['no block before the picture', 'no end'],
)
def test_gif_with_damaged_blocks_is_not_taken(damage):
  data = save(palette(), 'GIF')
  damaged = damage(data, data.index(b'\x2c\0\0\0\0\x11'))
  assert pillow_takes(damaged)
  with pytest.raises(image_file.UnreadableError):
    image_file.encode(damaged)


def test_of_a_gif_only_the_first_picture_matters():
  data, pixels = animation()
  second = data.rindex(b'\x2c')
  np.testing.assert_array_equal(
    decoded(image_file.encode(data[: second + 20])), pixels
  )


def test_uncompressed_tiff_without_its_last_rows_is_not_taken():
  data = bytearray(save(SMOOTH, 'TIFF'))
  entry = struct.pack('<HHI', 257, 3, 1)  # Its height, in `<H`.
  if entry not in data:
    entry = struct.pack('<HHI', 257, 4, 1)
  place = data.index(entry) + len(entry)
  assert data[place] == 40
  data[place] = 56  # The rows of a strip are 40 still.
  assert pillow_takes(bytes(data))
  with image_file.patient_pillow():
    with pytest.raises(image_file.UnreadableError):
      image_file.encode(bytes(data))


def test_truncated_pictures_are_refused_whatever_pillow_was_told(monkeypatch):
  monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)
  with image_file.patient_pillow():
    for kind in ('BMP', 'TIFF'):
      with pytest.raises(image_file.UnreadableError):
        image_file.encode(save(SMOOTH, kind)[:-100])
  assert ImageFile.LOAD_TRUNCATED_IMAGES


def png_with_key(pixels, bits, key):
  """A PNG of grey or RGB pixels of which one colour is transparent."""

  def chunk(name, contents):
    length = struct.pack('>I', len(contents))
    return (
      length + name + contents + struct.pack('>I', zlib.crc32(name + contents))
    )

  height, width = pixels.shape[:2]
  if bits == 16:
    rows = pixels.astype('>u2').reshape(height, -1).view(np.uint8)
  else:
    places = np.unpackbits(pixels[..., None].astype(np.uint8), axis=2)
    rows = np.packbits(places[..., -bits:].reshape(height, -1), axis=1)
  rows = np.pad(rows, ((0, 0), (1, 0)))  # No filter.
  colours = 2 if pixels.ndim == 3 else 0
  header = struct.pack('>IIBBBBB', width, height, bits, colours, 0, 0, 0)
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', header)
    + chunk(b'tRNS', np.asarray(key).astype('>u2').tobytes())
    + chunk(b'IDAT', zlib.compress(rows.tobytes()))
    + chunk(b'IEND', b'')
  )


@pytest.mark.parametrize('bits', [2, 4, 16, 48])
def test_transparent_colour_of_png_of_any_depth(bits):
  if bits == 48:
    pixels = RNG.randint(0, 2**16, (11, 17, 3))
    pixels[2:5, 3:9] = pixels[0, 0]
    # Equal in eight bits, but another colour.
    pixels[9, 9] = pixels[0, 0] ^ 1
    levels = pixels >> 8
  else:
    pixels = RNG.randint(0, 2**bits, (11, 17))
    pixels[2:5, 3:9] = pixels[0, 0]
    levels = pixels >> 8 if bits == 16 else pixels * 255 // (2**bits - 1)
    levels = grey_to_rgb(levels)
  key = pixels[0, 0]
  seen = (pixels == key).reshape(11, 17, -1).all(-1)
  expected = np.where(seen[..., None], 255, levels)
  data = png_with_key(pixels, min(bits, 16), key)
  np.testing.assert_array_equal(decoded(image_file.encode(data)), expected)


def bmff(brand, *others):
  brands = brand + bytes(4) + b''.join(others)
  return struct.pack('>I', 8 + len(brands)) + b'ftyp' + brands + bytes(99)


def tiff_with(tag, value):
  return save(SMOOTH, 'TIFF', tiffinfo={tag: value})


@pytest.mark.parametrize(
  ('data', 'reason'),
  [
    (bmff(b'heic', b'mif1', b'heic'), 'HEIC picture; convert.*pillow-heif'),
    (bmff(b'mif1', b'mif1', b'heic'), 'HEIC'),
    (bmff(b'avif', b'mif1', b'avif'), 'AVIF picture; convert.*Pillow 11.3'),
    (bmff(b'mif1', b'mif1', b'avif'), 'AVIF'),
    (bmff(b'crx ', b'isom'), 'raw picture of a camera; develop'),
    (bmff(b'isom', b'mp42'), 'no JPEG, PNG'),
    (tiff_with(50706, b'\1\4\0\0'), 'raw picture of a camera'),
    (b'FUJIFILMCCD-RAW 0201' + bytes(99), 'raw picture of a camera'),
    (b'\xff\x0a' + bytes(99), 'JPEG XL picture; convert'),
    (b'\0\0\0\x0cjP  \r\n\x87\n' + bytes(99), 'JPEG 2000 picture; convert'),
    (b'<!DOCTYPE html><html>', 'web page.*download the picture itself'),
    (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', 'SVG drawing; convert'),
    (b'%PDF-1.7', 'PDF document'),
    (
      save(SMOOTH, 'PNG')[:20] + bytes(99),
      'PNG picture whose header is damaged',
    ),
    (b'II*\0' + bytes(60), 'TIFF picture whose header'),
  ],
  ids=lambda value: value if isinstance(value, str) else '',
)
def test_other_formats_are_named_with_a_remedy(data, reason):
  with image_file.patient_pillow():
    with pytest.raises(image_file.UnreadableError, match=reason):
      image_file.encode(data)


def test_size_is_that_of_the_decoded_image():
  assert image_file.decoded_size(save(SMOOTH, 'JPEG')) == (24, 40)
  with pytest.raises(image_file.UnreadableError) as raised:
    image_file.decoded_size(save(RGB, 'PNG')[:-60])
  assert 'PNG' in str(raised.value) and '{{' not in str(raised.value)
