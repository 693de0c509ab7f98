"""Work that threads do ahead of the loop that wants it."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
import os
from typing import TypeVar

T = TypeVar('T')
R = TypeVar('R')


def map_ahead(
  function: Callable[[T], R],
  items: Iterable[T],
  num_threads: int | None = None,
) -> Iterator[R]:
  """`map` by threads, in order, never far ahead of what has been taken.

  `Executor.map` would take all of `items` at once.

  Args:
    function: called in threads; should release the interpreter's lock.
    items: taken in this thread.
    num_threads: None is one a core.

  Yields:
    Results in the order of `items`; at most four a thread are waiting.
  """
  num_threads = num_threads or os.cpu_count() or 1
  waiting: collections.deque[futures.Future[R]] = collections.deque()
  with futures.ThreadPoolExecutor(num_threads) as pool:
    for item in items:
      waiting.append(pool.submit(function, item))
      if len(waiting) >= 4 * num_threads:
        yield waiting.popleft().result()
    while waiting:
      yield waiting.popleft().result()
