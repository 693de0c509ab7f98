"""PyTorch state dicts: `.pth` files, or safetensors of the same keys."""

from collections.abc import Mapping
import io
import pickle
from typing import Any
import zipfile

from absl import logging
from etils import epath
import numpy as np

from inception_jax.runtime import errors, optional
from inception_jax.weights import download, safetensors_data

_MAX_ARRAYS = 10_000
# Names that training scripts keep state dicts under.
_WRAPPERS = ('model', 'state_dict')


def read(path: epath.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Arrays and metadata of a file, which its contents tell apart.

  Args:
    path: safetensors, or what `torch.save` wrote.

  Returns:
    Arrays by name, not yet checked; and the metadata of safetensors.

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
