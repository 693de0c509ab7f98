"""Reads the safetensors files that `--mode=export` writes."""

import hashlib
import json
import os

from etils import epath
import numpy as np

from inception_jax.runtime import errors, optional
from inception_jax.weights import exported, imported

# Of the library; ours are a few hundred kilobytes, most of it labels.
_MAX_HEADER_BYTES = 100_000_000
_LENGTH_BYTES = 8


def read(path: epath.PathLike) -> imported.ImportedNetwork:
  """Reads and verifies a network.

  Args:
    path: the file.

  Returns:
    The network, bit for bit as it was exported. Its card holds the file's name
    and SHA-256, which weights of the run they were and of which step, and as
    `origin` the card of the run, if it had one.

  Raises:
    InputError: if the file cannot be read, is damaged, or is another program's.
  """
  library = optional.import_package('safetensors.numpy', 'reading safetensors')
  path = epath.Path(path)
  try:
    with path.open('rb') as file:
      # The header first: files of others can be many gigabytes.
      start = file.read(_LENGTH_BYTES)
      length = int.from_bytes(start, 'little')
      if len(start) < _LENGTH_BYTES or length > _MAX_HEADER_BYTES:
        raise _damaged(path, 'it does not begin as one')
      header = file.read(length)
      metadata = _metadata(header, path)
      exported.check_is_ours(metadata, str(path))
      data = start + header + file.read()
  except OSError as error:
    raise errors.InputError(
      f'{path} cannot be read ({error.strerror or error}); check --input'
    ) from error
  arrays = _arrays(library, data, path)
  network = exported.network_of(arrays, metadata, str(path))
  network.card.update(
    file=path.name,
    sha256=hashlib.sha256(data).hexdigest(),
    labels=f'metadata of {path.name}',
  )
  return network


def _metadata(header: bytes, path: epath.Path) -> dict[str, str]:
  try:
    metadata = json.loads(header).get('__metadata__', {})
    return dict(metadata)
  except (AttributeError, TypeError, ValueError, RecursionError) as error:
    raise _damaged(path, 'its header is no JSON object') from error


def _arrays(library, data: bytes, path: epath.Path) -> dict[str, np.ndarray]:
  try:
    return library.load(data)
  # The library's own error, and a KeyError for types NumPy does not have.
  except Exception as error:
    raise _damaged(path, errors.first_line(error)) from error


def _damaged(path: epath.Path, reason: str) -> errors.InputError:
  return errors.InputError(
    f'{os.fspath(path)} is no whole safetensors file ({reason}); export or copy'
    ' it again'
  )
