"""A folder in which a dataset grows until it is whole."""

from collections.abc import Iterator
import contextlib
import os
import re
import time

from absl import logging
from etils import epath

from inception_jax.data import open_files
from inception_jax.runtime import durable, errors, locks, signals

# Files kept open, and closed when the folder is removed: that needs some, also
# when no more may be opened.
_NUM_SPARE_FILES = 16
# Without locks, what nobody has written to for that long is left over.
_SECONDS_UNTIL_LEFT = 3600


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
    InputError: if another process is at it, or `data_dir` cannot be written.
    Interrupted: after SIGINT or SIGTERM.
  """
  folder = data_dir / f'.preparing_{re.sub("[^a-z0-9_.]", "_", name.lower())}'
  with contextlib.ExitStack() as stack:
    try:
      durable.make_folder(data_dir)
      is_sure = stack.enter_context(
        locks.hold(
          folder.with_name(f'{folder.name}{locks.FILE}'),
          f'preparing {name!r} in {folder}',
          'wait for it or stop it',
        )
      )
      if folder.exists():
        if not is_sure:
          _check_left(folder, name)
        logging.info('removing what a stopped process left in %s', folder)
        folder.rmtree()
      spare = [
        stack.enter_context(open(os.devnull)) for _ in range(_NUM_SPARE_FILES)
      ]
      folder.mkdir()
    except OSError as error:
      raise _unwritable(data_dir, error) from error
    try:
      with signals.as_exceptions():
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


def _unwritable(folder: epath.Path, error: OSError) -> errors.UserFacingError:
  if open_files.are_too_many(error):
    remedy = 'raise the number that a process may have (`ulimit -n`)'
  else:
    remedy = 'mend that or set data.data_dir to another folder'
  return errors.cannot_write(folder, error, remedy)


def _check_left(folder: epath.Path, name: str) -> None:
  """Checks, where there are no locks, that nobody writes in the folder."""
  age = time.time() - _last_written(folder)
  if age < _SECONDS_UNTIL_LEFT:
    raise errors.InputError(
      f'another process may be preparing {name!r}: {folder}, on a drive without'
      f' locks, was written to {max(age, 0) / 60:.0f} minutes ago; wait for it,'
      ' or delete that folder if it is gone'
    )


def _last_written(path: epath.Path) -> float:
  """When a folder or what is in it was last written, seconds of the epoch."""
  try:
    last = float(path.stat().mtime)
    inside = list(path.iterdir()) if path.is_dir() else ()
  except OSError:  # Just removed; or remote, where there are files only.
    last, inside = 0.0, list(path.glob('*'))
  return max([last, *map(_last_written, inside)])
