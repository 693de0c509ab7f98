"""Arrays and metadata of safetensors, which the library takes apart and checks.

References:
  github.com/huggingface/safetensors, "Format".
"""

import json
from typing import BinaryIO

import ml_dtypes
import numpy as np
import safetensors

from inception_jax.runtime import errors

_LENGTH_BYTES = 8
# Ours are a few hundred kilobytes, most of it labels.
_MAX_HEADER_BYTES = 2**24
_MAX_ARRAYS = 10_000
# Of the header, each of which can take a hundred bytes or more once it is an
# object of Python: ten of each array and what the metadata have.
_MAX_VALUES = 12 * _MAX_ARRAYS
_BRAIN_FLOAT = np.dtype(ml_dtypes.bfloat16)
# Types that networks have, by the format's names.
_DTYPES = {
  'F64': np.dtype('<f8'),
  'F32': np.dtype('<f4'),
  'F16': np.dtype('<f2'),
  'BF16': _BRAIN_FLOAT,
  'I64': np.dtype('<i8'),
  'I32': np.dtype('<i4'),
  'I16': np.dtype('<i2'),
  'I8': np.dtype('i1'),
  'U8': np.dtype('u1'),
  'BOOL': np.dtype('?'),
}


def begins_as_one(data: bytes) -> bool:
  """Whether these bytes are the beginning of safetensors, if of anything."""
  return data[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b'{'


def read_header(file: BinaryIO) -> tuple[bytes, dict[str, str]]:
  """What a file has before its arrays, and the metadata in it.

  Args:
    file: from its beginning; it is left where the arrays begin.

  Raises:
    ValueError: if it does not begin as safetensors, or its header is of an
      absurd size.
  """
  start = file.read(_LENGTH_BYTES)
  length = int.from_bytes(start, 'little')
  if len(start) < _LENGTH_BYTES or length >= 2**32:
    raise ValueError('it does not begin as one')
  if length > _MAX_HEADER_BYTES:
    raise ValueError(f'its header claims {length:,} bytes')
  header = file.read(length)
  if len(header) < length:
    raise ValueError('its header is cut short')
  if (num_values := _count_values(header)) > _MAX_VALUES:
    raise ValueError(f'its header has {num_values:,} values')
  try:
    metadata = dict(json.loads(header).get('__metadata__', {}))
  except (AttributeError, TypeError, ValueError, RecursionError) as error:
    raise ValueError('its header is no JSON object') from error
  return start + header, metadata


def _count_values(header: bytes) -> int:
  """How many values a text of JSON has at most, without parsing it."""
  # What is left of a string has no quotes in it.
  text = header.replace(b'\\\\', b'').replace(b'\\"', b'')
  letters = np.frombuffer(text, np.uint8)
  # Between an odd number of quotes and the next; its parity survives overflow.
  inside = np.cumsum(letters == ord('"'), dtype=np.uint8) & 1
  begins = np.zeros(256, bool)
  begins[list(b',{[')] = True
  return int((begins[letters] & (inside == 0)).sum())


def arrays_of(data: bytes) -> dict[str, np.ndarray]:
  """Arrays of a whole file by their names; bfloat16 as float32.

  Args:
    data: the file, whose header `read_header` has taken.

  Raises:
    ValueError: if it is damaged, or has a type that networks do not have.
  """
  try:
    entries = safetensors.deserialize(data)
  except safetensors.SafetensorError as error:
    raise ValueError(errors.first_line(error)) from error
  if len(entries) > _MAX_ARRAYS:
    raise ValueError(f'it has {len(entries):,} arrays')
  return {name: _array(name, **entry) for name, entry in entries}


def _array(
  name: str, dtype: str, shape: list[int], data: bytearray
) -> np.ndarray:
  if dtype not in _DTYPES:
    raise ValueError(f'{name!r} is of the unknown type {dtype!r}')
  array = np.frombuffer(data, _DTYPES[dtype]).reshape(shape)
  # No type of NumPy's own.
  return array.astype(np.float32) if array.dtype == _BRAIN_FLOAT else array
