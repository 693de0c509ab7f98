"""The C library's memory between one batch and the next."""

import ctypes
import functools
import os

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# The largest that glibc would raise its threshold to by itself.
_LARGEST_KEPT = 32 * 2**20
_OWN_SETTINGS = ('GLIBC_TUNABLES', 'MALLOC_MMAP_THRESHOLD_')
_OWN_SETTINGS += ('MALLOC_TRIM_THRESHOLD_',)


@functools.cache
def keep_freed_memory() -> bool:
  """Has glibc keep freed memory for the next image.

  Otherwise it gives that of every few images back to the system, which has to
  clear each page that is asked for again: 7 % of the input's time. It keeps at
  most 64 MiB a thread. For the whole process, once.

  Returns:
    Whether anything was set: not with another C library, nor where the
    environment has settings of its own.
  """
  if any(name in os.environ for name in _OWN_SETTINGS):
    return False
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except (OSError, TypeError, AttributeError):  # No glibc.
    return False
  # Both, since either alone makes glibc keep the other where it begins.
  kept = mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
  return bool(kept and mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_KEPT))
