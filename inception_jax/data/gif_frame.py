"""The first picture of a GIF as a file of its own, for a second decoder.

Pillow looks for a picture past what is no block of a GIF, and leaves the last
bytes of a picture alone; giflib, the reference, does not. Further pictures are
nobody's concern here, and may be many.
"""

import struct

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_HEADER = struct.Struct('<6sHHBBB')
_DESCRIPTOR = struct.Struct('<HHHHB')
_HAS_COLOURS, _INTERLACED = 0x80, 0x40


def extract(data: bytes) -> bytes:
  """A GIF of the first picture alone, as large as its screen, all black.

  Only the compressed data matter. Where and in which colours the picture is
  shown is left out, as decoders differ in what they allow.

  Args:
    data: contents of a GIF.

  Raises:
    ValueError: if its blocks are damaged up to the end of that picture.
  """
  try:
    *_, flags, _, _ = _HEADER.unpack_from(data)
    place = _HEADER.size + _num_bytes_of_colours(flags)
    while data[place] == _EXTENSION:
      place = _end_of_blocks(data, place + 2)
    if data[place] != _IMAGE:
      raise ValueError('no picture where one should begin')
    *_, width, height, flags = _DESCRIPTOR.unpack_from(data, place + 1)
    start = place + 1 + _DESCRIPTOR.size + _num_bytes_of_colours(flags)
    end = _end_of_blocks(data, start + 1)  # After the size of its codes.
  except (IndexError, struct.error) as error:
    raise ValueError('the file ends within its first picture') from error
  header = _HEADER.pack(b'GIF89a', width, height, _HAS_COLOURS | 7, 0, 0)
  flags &= _INTERLACED
  descriptor = _DESCRIPTOR.pack(0, 0, width, height, flags)
  black = bytes(3 * 256)
  picture = bytes([_IMAGE]) + descriptor + data[start:end]
  return header + black + picture + bytes([_TRAILER])


def _num_bytes_of_colours(flags: int) -> int:
  """Of the table of colours that follows, if these flags say that one does."""
  return 3 * 2 ** (flags % 8 + 1) if flags & _HAS_COLOURS else 0


def _end_of_blocks(data: bytes, place: int) -> int:
  """Where blocks of data end: each has its length, and the last is empty."""
  while data[place]:
    place += 1 + data[place]
  return place + 1
