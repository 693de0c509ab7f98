"""Ends a process that a library keeps from its signals.

Python answers a signal between two of its own instructions. A library that
compiles or restores for minutes keeps it from that, and a machine that is about
to be taken away does not wait so long. A second thread sees to it, as long as
no work would be lost.
"""

from collections.abc import Callable, Iterator
import contextlib
import os
import signal
import threading

from inception_jax.runtime import errors

# Exit status of the process; the same command resumes.
STATUS = 75
_SECONDS_TO_ANSWER = 4.0


class _Watch:
  """State of this process.

  Attributes:
    answered: set once Python has seen the last signal.
    has_unsaved: whether there is work that ending would lose.
  """

  answered = threading.Event()
  has_unsaved = False


def answer() -> None:
  """Called by handlers of signals: Python is not kept from them."""
  _Watch.answered.set()


@contextlib.contextmanager
def unsaved_work() -> Iterator[None]:
  """Around what ends after a signal only once its work is saved."""
  before, _Watch.has_unsaved = _Watch.has_unsaved, True
  try:
    yield
  finally:
    _Watch.has_unsaved = before


@contextlib.contextmanager
def watched(end: Callable[[int], None] = os._exit) -> Iterator[None]:
  """Ends the process if nobody answers a signal in time.

  Args:
    end: takes the exit status.
  """
  if threading.current_thread() is not threading.main_thread():
    yield  # Only the main thread may.
    return
  _Watch.answered.clear()
  reading, writing = os.pipe()
  os.set_blocking(writing, False)
  # The system's own handler, below Python, writes the number of each signal.
  before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
  thread = threading.Thread(
    target=_watch, args=(reading, end), name='signals', daemon=True
  )
  thread.start()
  try:
    yield
  finally:
    signal.set_wakeup_fd(before)
    os.close(writing)  # Ends the thread.
    thread.join(2 * _SECONDS_TO_ANSWER)


def _watch(reading: int, end: Callable[[int], None]) -> None:
  with os.fdopen(reading, 'rb', buffering=0) as numbers:
    while received := numbers.read(1):
      number = received[0]
      if number not in (signal.SIGTERM, signal.SIGINT):
        continue
      is_answered = _Watch.answered.wait(_SECONDS_TO_ANSWER)
      _Watch.answered.clear()
      if is_answered or _Watch.has_unsaved:
        continue
      sentence = errors.on_one_line(
        f'error: stopped by {signal.Signals(number).name} while a library was'
        ' busy; nothing is lost: run the same command again'
      )
      # Below Python, where a lock may be held by a thread that is stuck.
      with contextlib.suppress(OSError):
        os.write(2, f'\n{sentence}\n'.encode())
      end(STATUS)
