"""Files that outlast a loss of power.

A file that was written, closed and renamed may still be empty after a power
failure, since the system writes it to the disk later. What must not be lost is
synced: first the file, then the folder that names it.
"""

import contextlib
import errno
import os
import uuid

from absl import logging
from etils import epath

# What file systems that cannot sync say: network drives, some mounts of FUSE.
_REFUSALS = frozenset(
  {
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EROFS,
    errno.EBADF,
    errno.EACCES,
    errno.EPERM,
  }
)
_refused: set[str] = set()  # One warning a process is enough.


def is_refusal(error: OSError) -> bool:
  """Whether a file system cannot sync; the disk neither fails nor is full."""
  return error.errno in _REFUSALS


def is_local(path: epath.PathLike) -> bool:
  """Whether a path is one of this machine's, not of an object store."""
  return '://' not in os.fspath(path)


def sync_file(path: epath.PathLike) -> None:
  """Returns when the contents of a file are on the disk.

  Does nothing for remote files, and warns once a process where the file system
  refuses.

  Raises:
    OSError: if the disk is full or fails.
  """
  if is_local(path):
    _sync(os.fspath(path), os.O_RDONLY)


def sync_folder(path: epath.PathLike) -> None:
  """As `sync_file`, for the names in a folder."""
  if is_local(path) and hasattr(os, 'O_DIRECTORY'):
    _sync(os.fspath(path), os.O_RDONLY | os.O_DIRECTORY)


def sync_tree(path: epath.PathLike) -> None:
  """As `sync_file`, for all files and folders in a folder, and its own name."""
  if not is_local(path):
    return

  def fail(error: OSError) -> None:
    raise error

  for folder, _, names in os.walk(path, topdown=False, onerror=fail):
    for name in names:
      sync_file(os.path.join(folder, name))
    sync_folder(folder)
  sync_folder(os.path.dirname(os.path.abspath(path)))


def make_folder(path: epath.Path) -> None:
  """Makes a folder and those above it, whose names are then on the disk.

  Does nothing in a bucket, where there are only files.

  Raises:
    OSError: if it cannot be made.
  """
  if not is_local(path):
    return
  missing = [x for x in (path, *path.parents) if not x.exists()]
  path.mkdir(parents=True, exist_ok=True)
  for folder in reversed(missing):
    sync_folder(folder.parent)


def check_writable(folder: epath.Path) -> None:
  """Makes a folder, and raises OSError unless files can be written in it."""
  make_folder(folder)
  # Not a name that anything of the user's has.
  probe = folder / f'.probe_{uuid.uuid4().hex}'
  probe.write_text('')
  probe.unlink()


def replace(temporary: epath.Path, path: epath.Path) -> None:
  """Gives a finished file its name, in place of an earlier one.

  After a loss of power there is either the earlier one or the whole new one.

  Args:
    temporary: beside `path`.
    path: the name it gets.

  Raises:
    OSError: if it cannot be done; `path` is as it was.
  """
  sync_file(temporary)
  temporary.replace(path)
  sync_folder(path.parent)


def move_folder(folder: epath.Path, path: epath.Path) -> None:
  """As `replace`, for a finished folder; at `path` there is nothing yet."""
  sync_tree(folder)
  folder.rename(path)
  sync_folder(path.parent)


def _sync(path: str, flags: int) -> None:
  try:
    descriptor = os.open(path, flags)
    try:
      os.fsync(descriptor)
    finally:
      with contextlib.suppress(OSError):
        os.close(descriptor)
  except OSError as error:
    if not is_refusal(error):
      raise
    if not _refused:
      logging.warning(
        '%s cannot be synced to the disk (%s): its file system does not support'
        ' that, and a loss of power may lose what was written last',
        path,
        error.strerror,
      )
    _refused.add(path)
