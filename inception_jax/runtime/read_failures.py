"""Failures of reading that say nothing about what a file contains."""

import errno
import os
import re

from etils import epath

from inception_jax.runtime import durable, errors

_ABSENCE = frozenset({errno.ENOENT, errno.ENOTDIR})
# A file that is not there, or is a folder, is damage; all else may pass. (What
# cannot be made because it exists was not seen before: that has a cause.)
_DAMAGE = _ABSENCE | {errno.EISDIR, errno.ELOOP, errno.EEXIST}
# How TensorStore names such failures, in the text of a ValueError; not where a
# folder has such a name.
_STATUS = re.compile(
  r'(?:^|: )(?:PERMISSION_DENIED|RESOURCE_EXHAUSTED|UNAVAILABLE|'
  r'DEADLINE_EXCEEDED|UNAUTHENTICATED|CANCELLED|ABORTED): '
)


def exists(path: epath.Path) -> bool:
  """Whether something is there; what cannot be looked at is not absent.

  Raises:
    InputError: if the system does not say.
  """
  if not durable.is_local(path):
    return path.exists()
  try:
    os.stat(path)
  except OSError as error:
    if error.errno in _ABSENCE:
      return False
    raise errors.InputError(
      f'{path} cannot be read ({error.strerror}); mend that and run the same'
      ' command again'
    ) from error
  return True


def folders(path: epath.Path) -> list[str]:
  """Names of the folders in a local folder; none if it is not there or remote.

  In an object store there are no folders, and names of half-written ones.

  Raises:
    OSError: if the system does not say.
  """
  if not durable.is_local(path):
    return []
  try:
    with os.scandir(path) as entries:
      return [x.name for x in entries if x.is_dir()]
  except FileNotFoundError:
    return []


def cause(error: BaseException, folder: epath.Path) -> str | None:
  """Why something could not be read, if its contents are not to blame.

  Too many open files, a disk or network that fails, missing permission and a
  lack of memory pass; a file that is missing or cannot be parsed does not.

  Args:
    error: what a library raised, with what it was raised from.
    folder: what was being read, or a file; each of its files is tried, since
      libraries do not always say what the system said.

  Returns:
    The reason in the system's or library's words; None if it is damage.
  """
  link, seen = error, set()
  while link is not None and id(link) not in seen:
    seen.add(id(link))
    if isinstance(link, MemoryError):
      return 'not enough memory'
    if isinstance(link, OSError) and link.errno:
      if link.errno not in _DAMAGE:
        return link.strerror or errors.first_line(link)
    elif found := errors.os_error_numbers(str(link)):
      if passing := found - _DAMAGE:
        return os.strerror(min(passing))
    elif _STATUS.search(str(link)):
      return errors.first_line(link)[:300]
    link = link.__cause__ or link.__context__
  return _unreadable(folder)


def _unreadable(folder: epath.Path) -> str | None:
  """What the system says of the first file of `folder` it does not read."""
  if not durable.is_local(folder):
    return None

  def fail(error: OSError) -> None:
    raise error

  try:
    for place, _, names in os.walk(folder, onerror=fail):
      for name in names:
        with open(os.path.join(place, name), 'rb') as file:
          while file.read(1 << 20):
            pass
  except OSError as error:
    if error.errno not in _DAMAGE:
      return error.strerror or errors.first_line(error)
  except MemoryError:
    return 'not enough memory'
  return None
