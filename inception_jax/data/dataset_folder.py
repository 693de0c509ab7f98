"""The files of a prepared dataset: damage that TFDS does not see or explain."""

from concurrent import futures
import json
import os
import re
from typing import Any

from array_record.python import array_record_module
from etils import epath
import tensorflow_datasets as tfds

from inception_jax.runtime import errors, read_failures

# What TFDS wants to know before it opens a dataset.
_DESCRIPTIONS = ('dataset_info.json', 'features.json')
_MAX_DEPTH = 2  # A configuration and a version.


def check_descriptions(
  name: str, data_dir: str | os.PathLike[str] | None
) -> None:
  """Checks what describes a dataset, if it is there and the folder local.

  To TFDS what it may not read does not exist, and of what is damaged it says
  neither where it is nor what to do.

  Args:
    name: TFDS name.
    data_dir: TFDS data directory; None is TFDS's default.

  Raises:
    InputError: if a file must not be read or is damaged.
  """
  root = os.fspath(data_dir or tfds.core.constants.DATA_DIR)
  base = re.split('[:/]', name)[0]
  if tfds.core.naming.is_valid_dataset_name(base):
    _check(os.path.join(os.path.expanduser(root), base), _MAX_DEPTH)


def _check(folder: str, depth: int) -> None:
  try:
    entries = list(os.scandir(folder))
  except PermissionError as error:
    raise _locked(folder) from error
  except OSError:
    return  # Not there, or no folder.
  for entry in entries:
    if entry.name in _DESCRIPTIONS:
      _check_description(folder, entry.path)
    elif depth and entry.is_dir():
      _check(entry.path, depth - 1)


def _check_description(folder: str, path: str) -> None:
  try:
    with open(path) as file:
      contents = json.load(file)
  except PermissionError as error:
    raise _locked(path) from error
  except (OSError, ValueError) as error:
    if reason := read_failures.cause(error, epath.Path(path)):
      raise errors.InputError(
        f'{path} cannot be read just now ({reason}); mend that and run the same'
        ' command again'
      ) from error
    contents = None
  if not contents or not isinstance(contents, dict):
    raise errors.InputError(
      f'{path} is damaged; delete {folder} and prepare the dataset again'
    )


def _locked(path: str) -> errors.InputError:
  return errors.InputError(
    f'{path} cannot be read (Permission denied); mend its permissions or set'
    ' data.data_dir to another folder'
  )


def check_files(name: str, split: Any) -> None:
  """Compares what the files hold with what the dataset says of them.

  A truncated array_record file opens as an empty one, without an error.

  Args:
    name: of the dataset, for messages.
    split: TFDS split info.

  Raises:
    InputError: if a file is missing, damaged or too short.
  """

  def check(instruction):
    path = epath.Path(instruction.filename)
    try:
      found = array_record_module.ArrayRecordReader(
        os.fspath(path)
      ).num_records()
    except (RuntimeError, OSError, ValueError) as error:
      if passing := read_failures.cause(error, path):
        return (
          f'{path} cannot be read just now ({passing}); mend that and run the'
          ' same command again'
        )
      found, reason = 0, f'cannot be read: {errors.first_line(error)}'
    else:
      reason = (
        f'has {found} readable records of {instruction.examples_in_shard}'
      )
    if found == instruction.examples_in_shard:
      return None
    try:  # The reader says little: what it may not read is empty to it.
      path.open('rb').close()
    except FileNotFoundError:
      reason = 'is missing'
    except OSError as error:
      return (
        f'{path} cannot be read ({error.strerror or error}); see to that, its'
        ' permissions perhaps'
      )
    return (
      f'dataset {name!r} is damaged: {path} {reason}; delete the folder it is'
      ' in and prepare it again'
    )

  with futures.ThreadPoolExecutor(32) as pool:
    for complaint in pool.map(check, split.file_instructions):
      if complaint:
        raise errors.InputError(complaint)
