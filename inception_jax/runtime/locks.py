"""A lock on a folder, for one process at a time, that ends with the process.

The lock is the operating system's (`flock`), on a file that also says who
holds it. On drives that know no locks, such as `gs://`, there is the file
alone: a process that is seen to run on this machine is believed, and of any
other there is a warning.
"""

from collections.abc import Iterator
import contextlib
import datetime
import errno
import json
import os
import pathlib
import socket
import time
from typing import Any

from absl import logging
from etils import epath

from inception_jax.runtime import durable, errors, json_files

try:
  import fcntl
except ImportError:  # On Windows.
  fcntl = None

# The file in a folder that is locked as a whole.
FILE = '.lock'
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
# The holder writes who it is at once, but not in the same moment.
_NUM_LOOKS = 10
_SECONDS_BETWEEN_LOOKS = 0.05


class HeldError(errors.InputError):
  """Another process holds the lock.

  Args:
    who: holds it, and what for.
    remedy: what the user can do.
  """

  def __init__(self, who: str, remedy: str):
    super().__init__(f'{who}; {remedy}')
    self.who = who


@contextlib.contextmanager
def hold(path: epath.PathLike, doing: str, remedy: str) -> Iterator[bool]:
  """Holds a lock; the file, and folders made for it that are empty, go again.

  Args:
    path: the file, local or remote; its folder is made if need be.
    doing: what the holder does, for others' messages: 'training in runs/a'.
    remedy: what the user of another process can do.

  Yields:
    Whether the system vouches that no other process holds it.

  Raises:
    HeldError: if another process holds it.
    OSError: if the file cannot be written.
  """
  path = epath.Path(path)
  with _folder_made(path.parent):
    descriptor, is_sure = _acquire(path)
    try:
      if not is_sure:
        _check_without_locks(path, doing, remedy)
      elif descriptor is None:
        raise HeldError(_sentence(_read_soon(path), doing), remedy)
      else:
        _warn_of_other_host(path, doing)
      owner = _write(path, descriptor)
      try:
        yield is_sure
      finally:
        with contextlib.suppress(OSError):
          # While it is held: who opened it before finds another file here.
          if _read(path) == owner:
            path.unlink(missing_ok=True)
    finally:
      if descriptor is not None:
        os.close(descriptor)


def _acquire(path: epath.Path) -> tuple[int | None, bool]:
  """Locks the file.

  Returns:
    What holds the lock, None if nothing does; and whether there are locks.
  """
  if fcntl is None or not durable.is_local(path):
    return None, False
  while True:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      # The one before may have removed it after it was opened here.
      with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
          return descriptor, True
    except OSError as error:
      os.close(descriptor)
      if error.errno in _HELD:
        return None, True
      logging.warning(
        '%s cannot be locked (%s); see to it that no other process writes in'
        ' its folder',
        path,
        error.strerror or error,
      )
      return None, False
    os.close(descriptor)


def _check_without_locks(path: epath.Path, doing: str, remedy: str) -> None:
  """Believes the file if its process is here; else warns."""
  owner = _read(path)
  if owner is None:
    return
  if _is_running(owner):
    raise HeldError(_sentence(owner, doing), remedy)
  logging.warning(
    '%s says that %s; if that is so still, stop one of the two',
    path,
    _sentence(owner, doing),
  )


def _warn_of_other_host(path: epath.Path, doing: str) -> None:
  # Some network drives show locks only to the host that took them.
  owner = _read(path)
  if owner is not None and owner['host'] != socket.gethostname():
    logging.warning(
      '%s was left by a process that did not end in order: %s; if it is not'
      ' gone, stop one of the two',
      path,
      _sentence(owner, doing),
    )


def _sentence(owner: dict[str, Any] | None, doing: str) -> str:
  if owner is None:
    return f'another process is {doing}'
  return (
    f'process {owner["pid"]} of host {owner["host"]} has been {doing} since'
    f' {owner["time"]}'
  )


def _write(path: epath.Path, descriptor: int | None) -> dict[str, Any]:
  """Says in the file that this process is at it; returns what it says."""
  now = datetime.datetime.now().astimezone()
  owner = {
    'host': socket.gethostname(),
    'pid': os.getpid(),
    'boot': _boot(),
    'started': _started(os.getpid()),
    'time': now.isoformat(' ', 'seconds'),
  }
  text = json_files.dumps(owner) + '\n'
  if descriptor is None:
    path.write_text(text)
  else:  # Another file in its place would not be locked.
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
  return owner


def _read_soon(path: epath.Path) -> dict[str, Any] | None:
  for _ in range(_NUM_LOOKS):
    owner = _read(path)
    if owner is not None:
      return owner
    time.sleep(_SECONDS_BETWEEN_LOOKS)
  return None


def _read(path: epath.Path) -> dict[str, Any] | None:
  """Who is written in the file; None if it is not there or makes no sense."""
  try:
    owner = json.loads(path.read_text())
    return owner if {'host', 'pid', 'time'} <= owner.keys() else None
  except (OSError, ValueError, AttributeError):
    return None


def _is_running(owner: dict[str, Any]) -> bool:
  """Whether the process is seen to run on this machine."""
  started = owner.get('started')
  return (
    started is not None
    and owner.get('boot') == _boot()
    and _started(owner['pid']) == started
  )


def _boot() -> str | None:
  """What tells this run of the machine from all others, on Linux."""
  try:
    return pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
  except OSError:
    return None


def _started(pid: int) -> int | None:
  """When a process started, ticks after the boot; None if it cannot be seen.

  With its number it tells a process from later ones of the same number.
  """
  try:
    # Behind the name, which may hold anything: proc(5).
    stat = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2]
    return int(stat.split()[19])
  except (OSError, ValueError, IndexError):
    return None


@contextlib.contextmanager
def _folder_made(folder: epath.Path) -> Iterator[None]:
  """Makes a folder; what of it was not there goes again if it is empty."""
  if not durable.is_local(folder):  # There are none in a bucket.
    yield
    return
  made = [x for x in (folder, *folder.parents) if not x.exists()]
  try:
    durable.make_folder(folder)
    yield
  finally:
    for x in made:
      with contextlib.suppress(OSError, ValueError):  # It is not empty.
        x.rmdir()
