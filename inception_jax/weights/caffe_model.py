"""Parameters in a caffemodel: protocol buffers, read as data.

Of the messages only the fields that hold names and parameters are looked at.
Packed numbers, as Caffe writes them, are views of the file's bytes. What else a
file may make us do is bounded by `_MAX_FIELDS`.

References:
  protobuf.dev/programming-guides/encoding.
  github.com/BVLC/caffe, src/caffe/proto/caffe.proto.
"""

from collections.abc import Iterator
import math

import numpy as np

# Types of the wire format.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
# Of a file. Networks have a few thousand, since Caffe packs the values of a
# blob into one; of those that are not packed each counts.
_MAX_FIELDS = 2**19
# No blob of Caffe's has more axes.
_MAX_AXES = 32

# Fields of NetParameter that hold layers, and of these the fields of the name
# and of the blobs: V1LayerParameter, and LayerParameter since 2014.
_LAYERS = {2: (4, 6), 100: (1, 7)}
# Of BlobProto.
_DATA, _SHAPE, _DOUBLE_DATA = 5, 7, 8
_OLD_AXES = (1, 2, 3, 4)  # num, channels, height, width


def parameters(data: bytes) -> dict[str, np.ndarray]:
  """The blobs of a network by layer and place, such as 'conv1/7x7_s2[0]'.

  Args:
    data: a serialised `NetParameter`.

  Returns:
    float32 or float64, in the shapes that the file says. Of blobs with equal
    names the last is taken.

  Raises:
    ValueError: if it is none.
  """
  found = {}
  budget = iter(range(_MAX_FIELDS))
  for field, layer in _fields(memoryview(data), budget):
    if field in _LAYERS and isinstance(layer, memoryview):
      name_field, blob_field = _LAYERS[field]
      name, blobs = '', []
      for part, value in _fields(layer, budget):
        if not isinstance(value, memoryview):
          continue
        if part == name_field:
          name = bytes(value).decode('utf-8', 'replace')
        elif part == blob_field:
          blobs.append(_array(value, budget))
      found |= {f'{name}[{i}]': blob for i, blob in enumerate(blobs)}
  if not found:
    raise ValueError('it holds no parameters')
  return found


def blob(data: bytes) -> np.ndarray:
  """The array of a file with one blob, such as a mean file.

  Args:
    data: a serialised `BlobProto`.

  Raises:
    ValueError: if it is none.
  """
  array = _array(memoryview(data), iter(range(_MAX_FIELDS)))
  if not array.size:
    raise ValueError('it holds no values')
  return array


def _fields(
  message: memoryview, budget: Iterator[int]
) -> Iterator[tuple[int, int | memoryview]]:
  """Number and value of each field; numbers other than varints as bytes."""
  position = 0
  while position < len(message):
    if next(budget, None) is None:
      raise ValueError(f'it has more than {_MAX_FIELDS:,} fields')
    tag, position = _varint(message, position)
    kind = tag & 7
    if kind == _VARINT:
      value, position = _varint(message, position)
      yield tag >> 3, value
      continue
    if kind == _BYTES:
      length, position = _varint(message, position)
    elif kind in (_FIXED32, _FIXED64):
      length = 4 if kind == _FIXED32 else 8
    else:
      raise ValueError(f'a field has the unknown type {kind}')
    if length > len(message) - position:
      raise ValueError('it is cut short')
    yield tag >> 3, message[position : position + length]
    position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
  """A number of seven bits a byte, and where it ends."""
  value = 0
  for place, byte in enumerate(
    message[position : position + _MAX_VARINT_BYTES]
  ):
    value |= (byte & 127) << 7 * place
    if byte < 128:
      return value, position + place + 1
  raise ValueError('a number does not end')


def _array(blob: memoryview, budget: Iterator[int]) -> np.ndarray:
  """The values of a BlobProto."""
  chunks = {_DATA: [], _DOUBLE_DATA: []}
  shape, old = None, dict.fromkeys(_OLD_AXES, 0)
  for field, value in _fields(blob, budget):
    if field in chunks and isinstance(value, memoryview):
      chunks[field].append(value)
    elif field == _SHAPE and isinstance(value, memoryview):
      shape = _shape(value, budget)
    elif field in old and isinstance(value, int):
      old[field] = value
  shape = tuple(old.values()) if shape is None else shape
  dtype = '<f8' if chunks[_DOUBLE_DATA] else '<f4'
  values = chunks[_DOUBLE_DATA] or chunks[_DATA]
  # Packed it is one piece; else one a number.
  data = values[0] if len(values) == 1 else b''.join(values)
  size = len(data) / np.dtype(dtype).itemsize
  if size != math.prod(shape):
    raise ValueError(f'a blob has {size:g} values where its shape is {shape}')
  return np.frombuffer(data, dtype).reshape(shape)


def _shape(message: memoryview, budget: Iterator[int]) -> tuple[int, ...]:
  """The axes of a BlobShape."""
  axes = []
  for field, value in _fields(message, budget):
    if field != 1:
      continue
    if isinstance(value, int):
      axes.append(value)
      continue
    position = 0
    while position < len(value) and len(axes) <= _MAX_AXES:
      axis, position = _varint(value, position)
      axes.append(axis)
  if len(axes) > _MAX_AXES:
    raise ValueError('a blob has too many axes')
  return tuple(axes)
