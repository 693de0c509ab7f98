"""How many files a process may have open: a prepared set has one a shard."""

import errno
import resource

from absl import logging
import psutil

from inception_jax.runtime import errors

# Beside what is counted: other splits, checkpoints, logs.
_RESERVE = 128
# Systems whose hard limit is "unlimited" have a lower one of their own.
_LIMITS = (2**20, 2**16, 10_240, 4_096)


def raise_limit() -> None:
  """Lets this process have as many files open as it may.

  The usual limit is 1,024, and so many shards has ImageNet.
  """
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  unlimited = hard == resource.RLIM_INFINITY
  for limit in [hard, *(x for x in _LIMITS if unlimited or x < hard)]:
    if soft != resource.RLIM_INFINITY and limit != hard and limit <= soft:
      break
    try:
      resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
      return
    except (ValueError, OSError):
      continue
  logging.warning('the number of open files cannot be raised from %s', soft)


def check(name: str, num_files: int) -> None:
  """Checks that this process may have some more files open at a time.

  Args:
    name: of what they belong to, for messages.
    num_files: how many more.

  Raises:
    InputError: if it may not.
  """
  raise_limit()
  limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
  needed = psutil.Process().num_fds() + num_files + _RESERVE
  if limit != resource.RLIM_INFINITY and limit < needed:
    raise errors.InputError(
      f'{name} needs {num_files:,} files open at a time, and a process may have'
      f' {limit:,} here, its others included; allow {needed:,} or more'
      f' (`ulimit -n {needed}`)'
    )


def are_too_many(error: BaseException) -> bool:
  """Whether an error says that too many files are open."""
  return (
    getattr(error, 'errno', None) in (errno.EMFILE, errno.ENFILE)
    or 'too many open files' in str(error).lower()
  )
