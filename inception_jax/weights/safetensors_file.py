"""Reads the safetensors files that `--mode=export` writes.

Those of `--format=safetensors`, and those of `--format=torchvision` too.
"""

import hashlib

from absl import logging
from etils import epath

from inception_jax.runtime import errors
from inception_jax.weights import (
  exported,
  imported,
  safetensors_data,
  torchvision,
)


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
  path = epath.Path(path)
  try:
    with path.open('rb') as file:
      # The header first: files of others can be many gigabytes.
      header, metadata = safetensors_data.read_header(file)
      is_torchvision = metadata.get(torchvision.EXPORTED_BY) == exported.FORMAT
      if not is_torchvision:
        exported.check_is_ours(metadata, str(path))
      data = header + file.read()
    arrays = safetensors_data.arrays_of(data)
  except errors.InputError:
    raise
  except ValueError as error:
    raise errors.InputError(
      f'{path} is no whole safetensors file ({errors.first_line(error)});'
      ' export or copy it again'
    ) from error
  except OSError as error:
    raise errors.InputError(
      f'{path} cannot be read ({error.strerror or error}); check --input'
    ) from error
  if is_torchvision:
    logging.info("%s has torchvision's keys, and is read as such", path)
    return torchvision.read_ours(arrays, metadata, path)
  network = exported.network_of(arrays, metadata, str(path))
  network.card.update(
    file=path.name,
    sha256=hashlib.sha256(data).hexdigest(),
    labels=f'metadata of {path.name}',
  )
  return network
