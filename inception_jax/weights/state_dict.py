"""Arrays of a PyTorch checkpoint, or of safetensors, by dotted names."""

from collections.abc import Iterator, Mapping
import io
import pickle
from typing import Any
import warnings
import zipfile

from absl import logging
from etils import epath
import numpy as np

from inception_jax.runtime import errors, optional
from inception_jax.weights import download, inert_pickle, safetensors_data

_MAX_ARRAYS = 10_000
# What is looked at in search of arrays, and how deep.
_MAX_VALUES = 200_000
_MAX_DEPTH = 20
# A file of TorchScript has it, which is a program.
_CONSTANTS = 'constants.pkl'


def read(path: epath.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Arrays and metadata of a file, which its contents tell apart.

  Args:
    path: safetensors, or what `torch.save` wrote: state dicts in whatever
      dictionaries, or modules, of which no code runs.

  Returns:
    Arrays by the names of the dictionaries on the way and their own, with
    points between them, not yet checked; and the metadata of safetensors.

  Raises:
    InputError: if it is neither, or is damaged, or PyTorch is missing.
  """
  data = download.read_bounded(path)
  if not safetensors_data.begins_as_one(data):
    return _read_pickled(path), {}
  try:
    _, metadata = safetensors_data.read_header(io.BytesIO(data))
    return safetensors_data.arrays_of(data), metadata
  except ValueError as error:
    raise errors.InputError(
      f'{path} is no whole safetensors file ({errors.first_line(error)});'
      ' download or copy it again'
    ) from error


def _read_pickled(path: epath.Path) -> dict[str, np.ndarray]:
  torch = optional.import_package('torch', f'reading {path.name}', 'torch')
  try:
    _check_archive(path)
    with path.open('rb') as file:
      found = _load(torch, file, path)
    return _arrays(torch, found)
  except errors.InputError:
    raise
  except pickle.UnpicklingError as error:
    raise errors.InputError(
      f'{path} is no file of PyTorch, or is damaged'
      f' ({errors.first_line(error)[:200]}); give a state dict'
    ) from error
  except Exception as error:  # Of as many kinds as there is damage.
    raise errors.InputError(
      f'{path} cannot be read by PyTorch ({errors.first_line(error)[:200]});'
      ' download it again, or give another file'
    ) from error


def _load(torch: Any, file: Any, path: epath.Path) -> Any:
  """What was saved; no code of the file's runs."""
  try:
    # Only tensors and plain containers.
    return torch.load(file, map_location='cpu', weights_only=True)
  except pickle.UnpicklingError:
    file.seek(0)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # That an inert class has another source.
    found = torch.load(
      file,
      map_location='cpu',
      weights_only=False,
      pickle_module=inert_pickle,
    )
  logging.info(
    '%s holds objects of other programs; only its arrays are read, and no code'
    ' of it runs',
    path,
  )
  return found


def _check_archive(path: epath.Path) -> None:
  """Raises ValueError if the file is a program, or unpacks to too much."""
  with path.open('rb') as file:
    if not zipfile.is_zipfile(file):
      return
    with zipfile.ZipFile(file) as archive:
      size = sum(entry.file_size for entry in archive.infolist())
      names = [name.rsplit('/', 1)[-1] for name in archive.namelist()]
  if size > download.MAX_BYTES:
    raise ValueError(f'it unpacks to {size:,} bytes')
  if _CONSTANTS in names:
    raise ValueError(
      'it is a program of TorchScript; save the state_dict() of the module'
    )


def _arrays(torch: Any, found: Any) -> dict[str, np.ndarray]:
  arrays, num_bytes, has_dictionary = {}, 0, False
  for number, (name, value) in enumerate(_values(found)):
    if number >= _MAX_VALUES:
      raise ValueError(f'it holds more than {_MAX_VALUES:,} values')
    has_dictionary = has_dictionary or bool(name)
    if not isinstance(value, torch.Tensor) or not name:
      continue
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
      continue  # No array of NumPy's.
    # Expanded and shared tensors can claim any size.
    num_bytes += value.numel() * value.element_size()
    if num_bytes > download.MAX_BYTES or len(arrays) >= _MAX_ARRAYS:
      raise ValueError(f'up to {name!r} it has {num_bytes:,} bytes')
    value = value.detach()
    if value.dtype == torch.bfloat16:
      value = value.float()
    arrays[name] = value.numpy()
  if not has_dictionary:
    raise ValueError('it holds no state dict')
  return arrays


def _values(
  found: Any, name: str = '', depth: int = 0
) -> Iterator[tuple[str, Any]]:
  """Dotted names and values of nested dictionaries, lists and modules."""
  items = None
  if isinstance(found, Mapping):
    items = [x for x in found.items() if isinstance(x[0], str)]
    if isinstance(found, inert_pickle.Inert):
      items += found.parts()
  elif isinstance(found, list | tuple):
    items = enumerate(found)
  if items is None or depth >= _MAX_DEPTH:
    yield name, found
    return
  yield name, None  # Counts, however empty.
  start = f'{name}.' if name else ''
  for key, value in items:
    yield from _values(value, f'{start}{key}', depth + 1)
