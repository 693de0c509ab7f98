"""Failures of reading that say nothing about what a file contains."""

import errno
import os
import re

from etils import epath

from inception_jax.runtime import durable, errors

# A file that is not there, or is a folder, is damage; all else may pass.
_DAMAGE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})
# How TensorStore names such failures, in the text of a ValueError.
_STATUS = re.compile(
  r'\b(PERMISSION_DENIED|RESOURCE_EXHAUSTED|UNAVAILABLE|DEADLINE_EXCEEDED|'
  r'UNAUTHENTICATED|CANCELLED|ABORTED)\b'
)
_OS_ERROR = re.compile(r'OS error (\d+)')


def cause(error: BaseException, folder: epath.Path) -> str | None:
  """Why something could not be read, if its contents are not to blame.

  Too many open files, a disk or network that fails, missing permission and a
  lack of memory pass; a file that is missing or cannot be parsed does not.

  Args:
    error: what a library raised, with what it was raised from.
    folder: what was being read; each of its files is tried, since libraries do
      not always say what the system said.

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
    elif found := _OS_ERROR.search(str(link)):
      if int(found[1]) not in _DAMAGE:
        return errors.first_line(link)[:300]
    elif _STATUS.search(str(link)):
      return errors.first_line(link)[:300]
    link = link.__cause__ or link.__context__
  return _unreadable(folder)


def _unreadable(folder: epath.Path) -> str | None:
  """What the system says of the first file of `folder` it does not read."""
  if not durable.is_local(folder):
    return None
  try:
    for place, _, names in os.walk(folder):
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
