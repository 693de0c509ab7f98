"""SIGINT and SIGTERM, so that what is half done is tidied up."""

from collections.abc import Callable, Iterator
import contextlib
import signal
import threading

from inception_jax.runtime import errors, signal_watch


@contextlib.contextmanager
def as_exceptions() -> Iterator[None]:
  """SIGTERM ends like SIGINT: in a KeyboardInterrupt, which holds its number.

  Nothing that catches Exception on the way can swallow it.
  """

  def interrupt(signum, unused_frame):
    raise KeyboardInterrupt(signum)

  with _handled_by(interrupt):
    yield


def number_of(error: KeyboardInterrupt) -> int:
  """Number of the signal that `as_exceptions` turned into `error`."""
  return error.args[0] if error.args else signal.SIGINT


def interrupted(
  error: KeyboardInterrupt, remedy: str, what: str = ''
) -> errors.Interrupted:
  """The error that ends the program after a signal.

  Args:
    error: what `as_exceptions` raised.
    remedy: what the user can do.
    what: what was stopped, with its verb and a space: 'preparing was '.

  Returns:
    The error, to be raised from `error`.
  """
  signum = number_of(error)
  return errors.Interrupted(
    f'{what}stopped by {signal.Signals(signum).name}; {remedy}', signum
  )


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

  def answer(signum, frame):
    signal_watch.answer()
    handler(signum, frame)

  previous = {
    signum: signal.signal(signum, answer)
    for signum in (signal.SIGINT, signal.SIGTERM)
  }
  try:
    yield
  finally:
    for signum, before in previous.items():
      signal.signal(signum, before)
