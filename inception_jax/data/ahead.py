"""Work that threads do ahead of the loop that wants it."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
import os
from typing import TypeVar

T = TypeVar('T')
R = TypeVar('R')


def num_cores() -> int:
  """Cores that this process may use."""
  try:
    return len(os.sched_getaffinity(0))
  except AttributeError:  # Not on every system.
    return os.cpu_count() or 1


def usable_threads(asked: int | None) -> int:
  """As many as are asked for, at most one a core; None is one a core."""
  return min(asked or num_cores(), num_cores())


def map_ahead(
  function: Callable[[T], R],
  items: Iterable[T],
  num_threads: int | None = None,
  num_ahead: int | None = None,
) -> Iterator[R]:
  """`map` by threads, in order, never far ahead of what has been taken.

  `Executor.map` would take all of `items` at once.

  Args:
    function: called in threads; should release the interpreter's lock.
    items: taken in this thread.
    num_threads: None is one a core.
    num_ahead: how many results may be made or waiting beside the one that is
      taken; None is four a thread.

  Yields:
    Results in the order of `items`.
  """
  num_threads = num_threads or num_cores()
  num_ahead = num_ahead or 4 * num_threads
  waiting: collections.deque[futures.Future[R]] = collections.deque()
  with futures.ThreadPoolExecutor(num_threads) as pool:
    try:
      for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > num_ahead:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:  # Also when the caller has had enough.
      for future in waiting:
        future.cancel()
