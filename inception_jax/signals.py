"""SIGINT and SIGTERM as exceptions, so that what is half done is tidied up."""

from collections.abc import Iterator
import contextlib
import signal
import threading


@contextlib.contextmanager
def as_exceptions() -> Iterator[None]:
  """SIGTERM ends like SIGINT: in a KeyboardInterrupt, which holds its number.

  Nothing that catches Exception on the way can swallow it.
  """

  def interrupt(signum, unused_frame):
    raise KeyboardInterrupt(signum)

  if threading.current_thread() is not threading.main_thread():
    yield  # Only the main thread may set handlers.
    return
  previous = {
    signum: signal.signal(signum, interrupt)
    for signum in (signal.SIGINT, signal.SIGTERM)
  }
  try:
    yield
  finally:
    for signum, handler in previous.items():
      signal.signal(signum, handler)
