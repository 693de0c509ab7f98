"""PyTorch state dicts: `.pth` files, or safetensors of the same keys."""

from collections.abc import Mapping
import json
import math
import pickle
from typing import Any
import zipfile

from absl import logging
from etils import epath
import ml_dtypes
import numpy as np

from inception_jax.runtime import errors, optional
from inception_jax.weights import download

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 2**24
_MAX_AXES = 16
_MAX_ARRAYS = 10_000
# Names that training scripts keep state dicts under.
_WRAPPERS = ('model', 'state_dict')
# Those of safetensors that networks have.
_DTYPES = {
  'F64': np.dtype('<f8'),
  'F32': np.dtype('<f4'),
  'F16': np.dtype('<f2'),
  'BF16': np.dtype(ml_dtypes.bfloat16),
  'I64': np.dtype('<i8'),
  'I32': np.dtype('<i4'),
  'I16': np.dtype('<i2'),
  'I8': np.dtype('i1'),
  'U8': np.dtype('u1'),
  'BOOL': np.dtype('?'),
}


def read(path: epath.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Arrays and metadata of a file, which its contents tell apart.

  Args:
    path: safetensors, which need no package, or what `torch.save` wrote.

  Returns:
    Arrays by name, not yet checked; and the metadata of safetensors.

  Raises:
    InputError: if it is neither, or is damaged, or PyTorch is missing.
  """
  data = download.read_bounded(path)
  try:
    if data[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b'{':
      return read_safetensors(data)
  except ValueError as error:
    raise errors.InputError(
      f'{path} is no whole safetensors file ({errors.first_line(error)});'
      ' download or copy it again'
    ) from error
  return _read_pickled(path), {}


def read_safetensors(
  data: bytes,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Arrays, views of `data`, and metadata.

  Raises:
    ValueError: if it is no safetensors file.

  References:
    github.com/huggingface/safetensors, "Format".
  """
  length = int.from_bytes(data[:_LENGTH_BYTES], 'little')
  start = _LENGTH_BYTES + length
  if length > _MAX_HEADER_BYTES or start > len(data):
    raise ValueError('its header is cut short')
  try:
    header = json.loads(data[_LENGTH_BYTES:start])
    metadata = dict(header.pop('__metadata__', {}))
    if len(header) > _MAX_ARRAYS:
      raise ValueError(f'it has {len(header):,} arrays')
    views = {
      str(name): _view(memoryview(data)[start:], name, **entry)
      for name, entry in header.items()
    }
  except (AttributeError, TypeError, RecursionError) as error:
    raise ValueError(f'its header is damaged: {error}') from error
  if sum(x.nbytes for x in views.values()) > len(data) - start:
    raise ValueError('its arrays lie one over another')
  return {name: _widened(view) for name, view in views.items()}, metadata


def _widened(array: np.ndarray) -> np.ndarray:
  """bfloat16, which is no type of NumPy's own, as float32."""
  is_brain_float = array.dtype == _DTYPES['BF16']
  return array.astype(np.float32) if is_brain_float else array


def _view(
  data: memoryview, name: str, dtype: str, shape: Any, data_offsets: Any
) -> np.ndarray:
  begin, end = data_offsets
  numbers = [begin, end, *shape]
  if not all(type(x) is int and x >= 0 for x in numbers):
    raise ValueError(f'{name!r} has no proper shape or place')
  if dtype not in _DTYPES:
    raise ValueError(f'{name!r} is of the unknown type {dtype!r}')
  found = _DTYPES[dtype]
  size = math.prod(shape)
  if len(shape) > _MAX_AXES or end - begin != size * found.itemsize:
    raise ValueError(f'{name!r} has another size than its shape')
  if end > len(data):
    raise ValueError('it is cut short')
  return np.frombuffer(data[begin:end], found).reshape(shape)


def _read_pickled(path: epath.Path) -> dict[str, np.ndarray]:
  torch = optional.import_package('torch', f'reading {path.name}', 'torch')
  try:
    _check_archive(path)
    # Only tensors and plain containers; no code of the file's runs.
    with path.open('rb') as file:
      found = torch.load(file, map_location='cpu', weights_only=True)
    return _arrays(torch, found)
  except errors.InputError:
    raise
  except pickle.UnpicklingError as error:
    raise errors.InputError(
      f'{path} is no file of PyTorch with weights alone, or is damaged'
      f' ({errors.first_line(error)[:200]}); give a state dict'
    ) from error
  except Exception as error:  # Of as many kinds as there is damage.
    raise errors.InputError(
      f'{path} cannot be read by PyTorch ({errors.first_line(error)[:200]});'
      ' download it again, or give another file'
    ) from error


def _check_archive(path: epath.Path) -> None:
  """Raises ValueError if the file unpacks to more than any file may have."""
  with path.open('rb') as file:
    if not zipfile.is_zipfile(file):
      return
    with zipfile.ZipFile(file) as archive:
      size = sum(entry.file_size for entry in archive.infolist())
  if size > download.MAX_BYTES:
    raise ValueError(f'it unpacks to {size:,} bytes')


def _arrays(torch: Any, found: Any) -> dict[str, np.ndarray]:
  for name in _WRAPPERS:
    if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
      logging.info('taking the state dict under %r', name)
      found = found[name]
  if not isinstance(found, Mapping):
    raise ValueError('it holds no state dict')
  arrays, num_bytes = {}, 0
  for name, value in found.items():
    if isinstance(name, str) and isinstance(value, torch.Tensor):
      # Expanded and shared tensors can claim any size.
      num_bytes += value.numel() * value.element_size()
      if num_bytes > download.MAX_BYTES or len(arrays) >= _MAX_ARRAYS:
        raise ValueError(f'up to {name!r} it has {num_bytes:,} bytes')
      value = value.detach()
      if value.dtype == torch.bfloat16:
        value = value.float()
      arrays[name] = value.numpy()
  return arrays
