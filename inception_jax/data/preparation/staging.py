"""A folder in which a dataset grows until it is whole."""

from collections.abc import Iterator
import contextlib
import json
import os
import re
import socket

from absl import logging
from etils import epath
import psutil

from inception_jax.data import open_files
from inception_jax.runtime import errors, signals

_OWNER = 'owner.json'
# Files kept open, and closed when the folder is removed: that needs some, also
# when no more may be opened.
_NUM_SPARE_FILES = 16


@contextlib.contextmanager
def stage(data_dir: epath.Path, name: str) -> Iterator[epath.Path]:
  """A staging folder of this process, gone afterwards whatever happens.

  What a killed process has left there is removed first.

  Args:
    data_dir: TFDS data directory, made if need be.
    name: of the dataset.

  Yields:
    `data_dir/.preparing_NAME`, a TFDS data directory of its own.

  Raises:
    InputError: if another process is at it, or one of another host may be, or
      `data_dir` cannot be written.
    Interrupted: after SIGINT or SIGTERM.
  """
  folder = data_dir / f'.preparing_{re.sub("[^a-z0-9_.]", "_", name.lower())}'
  try:
    data_dir.mkdir(parents=True, exist_ok=True)
    if folder.exists():
      _check_abandoned(folder, name)
      logging.info('removing what a stopped process left in %s', folder)
      folder.rmtree()
    spare = [open(os.devnull) for _ in range(_NUM_SPARE_FILES)]
    folder.mkdir()
  except OSError as error:
    raise _unwritable(data_dir, error) from error
  try:
    with signals.as_exceptions():
      _write_owner(folder)
      yield folder
  except KeyboardInterrupt as error:
    raise signals.interrupted(
      error,
      'nothing of it was kept; run the same command again',
      f'preparing {name!r} was ',
    ) from error
  finally:
    for file in spare:
      file.close()
    try:
      folder.rmtree()
    except OSError as error:
      logging.warning('%s cannot be removed (%s)', folder, error)


def _write_owner(folder: epath.Path) -> None:
  try:
    (folder / _OWNER).write_text(json.dumps(_process(os.getpid())))
  except OSError as error:
    raise _unwritable(folder, error) from error


def _unwritable(folder: epath.Path, error: OSError) -> errors.UserFacingError:
  if open_files.are_too_many(error):
    remedy = 'raise the number that a process may have (`ulimit -n`)'
  else:
    remedy = 'mend that or set data.data_dir to another folder'
  return errors.cannot_write(folder, error, remedy)


def _check_abandoned(folder: epath.Path, name: str) -> None:
  try:
    owner = json.loads((folder / _OWNER).read_text())
    elsewhere = owner['host'] != socket.gethostname()
    process = None if elsewhere else _process(owner['pid'])
    # Clocks are set now and then, and with them the time of the start.
    alive = not elsewhere and abs(owner['started'] - process['started']) < 5
  except (OSError, ValueError, KeyError, TypeError, psutil.Error):
    return  # Killed before it could write, or no longer there.
  if elsewhere:  # Whether it is alive cannot be seen from here.
    raise errors.InputError(
      f'process {owner["pid"]} of host {owner["host"]} is preparing {name!r} in'
      f' {folder}; wait for it, or delete that folder if it is gone'
    )
  if alive:
    raise errors.InputError(
      f'process {owner["pid"]} is preparing {name!r} in {folder} just now; wait'
      ' for it or stop it'
    )


def _process(pid: int) -> dict[str, str | int | float]:
  """What tells a process from all others, later ones of its number too."""
  return {
    'host': socket.gethostname(),
    'pid': pid,
    'started': psutil.Process(pid).create_time(),
  }
