"""The C library's memory between one batch and the next."""

import ctypes
import functools
import os

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# The largest that glibc would raise its threshold to by itself.
_LARGEST_KEPT = 32 * 2**20


@functools.cache
def keep_freed_memory() -> bool:
  """Has glibc keep freed memory for the next images.

  Otherwise it gives that of every few images back to the system, which has to
  clear each page that is asked for again. For the whole process, once; what is
  kept is no more than was in use.

  Returns:
    Whether the C library has taken the settings; it is not asked where the
    environment has some of its own.
  """
  if _has_own_settings():
    return False
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except (OSError, TypeError, AttributeError):  # Not on every system.
    return False
  # Both, since either alone makes glibc keep the other where it begins.
  kept = mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
  return bool(kept and mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_KEPT))


def _has_own_settings() -> bool:
  return any(name.startswith('MALLOC_') for name in os.environ) or (
    'glibc.malloc.' in os.environ.get('GLIBC_TUNABLES', '')
  )
