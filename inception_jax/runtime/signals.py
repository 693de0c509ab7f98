"""SIGINT and SIGTERM, so that what is half done is tidied up."""

from collections.abc import Callable, Iterator
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

  with _handled_by(interrupt):
    yield


@contextlib.contextmanager
def collected() -> Iterator[list[int]]:
  """Interrupts nothing; yields a list that gets the number of each."""
  received = []
  with _handled_by(lambda signum, unused_frame: received.append(signum)):
    yield received


@contextlib.contextmanager
def _handled_by(handler: Callable[..., None]) -> Iterator[None]:
  if threading.current_thread() is not threading.main_thread():
    yield  # Only the main thread may set handlers.
    return
  previous = {
    signum: signal.signal(signum, handler)
    for signum in (signal.SIGINT, signal.SIGTERM)
  }
  try:
    yield
  finally:
    for signum, before in previous.items():
      signal.signal(signum, before)
