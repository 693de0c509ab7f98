"""The other processes of a run: whether they are there, and what ended them.

A process that fails says so in the keys of JAX's coordination service. A thread
of each process looks there, so that the others end with its sentence, whatever
they are waiting for: a collective operation that will never be complete has no
time limit of its own. The thread also gives signs of life. These only name who
is lost once work has failed; that one is lost is found out by the connections
between the processes, and after half a minute by JAX.
"""

from collections.abc import Callable, Iterator
import contextlib
import json
import os
import sys
import threading
import time
from typing import Any

from inception_jax.runtime import errors, json_files, signal_watch

_KEY = 'inception_jax/peers'
_SECONDS_BETWEEN_LOOKS = 1.0
# Each process reads the signs of all; no more than so many a second.
_NUM_SIGNS_A_SECOND = 16
# Without a sign for so many looks a process is lost, if work has failed.
_LOOKS_OF_SILENCE = 5
_LOOKS_TO_NAME = 8
# For the main thread to end by itself, usually and while it tidies up.
_SECONDS_OF_GRACE = 3.0
_SECONDS_TO_CLOSE = 60.0
# For the others to end before the process goes that keeps the keys.
_SECONDS_TO_FOLLOW = 10.0
_REMEDY = (
  'see its own messages, then start all of them again by the same command'
)
_LOST = f'another process of this run has ended or cannot be reached: {_REMEDY}'
# EX_TEMPFAIL of sysexits.h: the same command may well succeed.
STATUS_OF_LOST = signal_watch.STATUS


class OtherProcessError(errors.UserFacingError):
  """Another process of the run has ended, and so must this one.

  Args:
    message: which, and why.
    exit_status: its own, or `STATUS_OF_LOST`.
  """

  def __init__(self, message: str, exit_status: int = STATUS_OF_LOST):
    super().__init__(message)
    self.exit_status = exit_status


class Peers:
  """What one process knows of the others.

  Args:
    client: of the coordination service.
    number: of this process.
    count: of all processes.
    end: called with the error when the main thread does not end by itself.
  """

  def __init__(
    self,
    client: Any,
    number: int,
    count: int,
    end: Callable[[OtherProcessError], None],
  ):
    self._client, self._number, self._count = client, number, count
    self._end = end
    self._interval = max(_SECONDS_BETWEEN_LOOKS, count / _NUM_SIGNS_A_SECOND)
    self._num_signs = 0
    # Of each other process the last sign and when it was first seen.
    self._signs = {x: (None, time.monotonic()) for x in self._others()}
    self._ended: dict[int, dict[str, Any] | None] = {}
    self._lost_coordinator = False
    self._grace = _SECONDS_OF_GRACE
    self._stopped = threading.Event()
    self._thread = threading.Thread(target=self._run, name='peers', daemon=True)

  def start(self) -> None:
    self._thread.start()

  def stop(self) -> None:
    """Ends the thread: from now on this process ends by itself."""
    self._stopped.set()
    if self._thread.is_alive():
      self._thread.join(10 * self._interval)

  @contextlib.contextmanager
  def closing(self) -> Iterator[None]:
    """Leaves more time to a main thread that tidies up before it ends."""
    self._grace = _SECONDS_TO_CLOSE
    try:
      yield
    finally:
      self._grace = _SECONDS_OF_GRACE

  def look(self) -> None:
    """Gives a sign of life, and sees what the others have said."""
    self._num_signs += 1
    try:
      self._set('signs', str(self._num_signs))
      signs, ended = self._read('signs'), self._read('ended')
    except Exception:  # The service is in process 0, and gone with it.
      self._lost_coordinator = self._number != 0
      return
    self._lost_coordinator = False
    self._ended = {k: json.loads(x) for k, x in ended.items()}
    for process, (sign, _) in self._signs.items():
      if process in signs and signs[process] != sign:
        self._signs[process] = signs[process], time.monotonic()

  def failure(self) -> OtherProcessError | None:
    """What another process has said before it ended, as far as was looked."""
    for process in self._others():
      if said := self._ended.get(process):
        return OtherProcessError(said['sentence'], said['status'])
    return None

  def explanation(self) -> OtherProcessError:
    """The error for work that failed since another process is gone.

    Waits some seconds for a word, or for the silence, of that process.
    """
    deadline = time.monotonic() + _LOOKS_TO_NAME * self._interval
    while time.monotonic() < deadline:
      if found := self.failure() or self.lost():
        return found
      time.sleep(self._interval / 10)
    return OtherProcessError(_LOST)

  def lost(self) -> OtherProcessError | None:
    """The error that names who is silent; None if nobody is."""
    now, limit = time.monotonic(), _LOOKS_OF_SILENCE * self._interval
    silent = [
      x
      for x, (_, since) in self._signs.items()
      if now - since > limit and x not in self._ended
    ]
    if self._lost_coordinator:
      silent = [0]  # Of the others nothing is heard without it.
    if not silent:
      return None
    return OtherProcessError(
      f'process {silent[0]} of {self._count} has ended or cannot be reached:'
      f' {_REMEDY}'
    )

  def tell(self, error: errors.UserFacingError) -> None:
    """Says to the others what ends this process.

    They have ended too when it returns, if this is process 0, or have had time
    to: with it goes all that was said.
    """
    self.stop()
    self._tell(error)

  def _tell(self, error: errors.UserFacingError) -> None:
    sentence = str(error)
    if not isinstance(error, OtherProcessError):
      sentence = f'process {self._number} of {self._count} has ended: {error}'
    said = {'sentence': sentence, 'status': error.exit_status}
    with contextlib.suppress(Exception):  # They may be gone.
      self._set('ended', json_files.dumps(said))
      if self._number == 0:
        self._wait_for_all(_SECONDS_TO_FOLLOW)

  def finish(self) -> None:
    """Waits, at the end of all work, for that of the others.

    Raises:
      OtherProcessError: if one fails.
    """
    self.stop()
    try:
      self._set('ended', json_files.dumps(None))
      self._wait_for_all(None)
    except Exception as error:
      self._lost_coordinator = self._number != 0
      raise (self.lost() or OtherProcessError(_LOST)) from error
    if found := self.failure():
      raise found

  def _wait_for_all(self, seconds: float | None) -> None:
    """Until all others have ended or, without a limit, one has failed."""
    start = time.monotonic()
    while True:
      ended = self._read('ended')
      self._ended = {k: json.loads(x) for k, x in ended.items()}
      is_whole = all(x in ended for x in self._others())
      if is_whole or (seconds is None and self.failure()):
        return
      if seconds is not None and time.monotonic() - start > seconds:
        return
      time.sleep(self._interval / 4)

  def _run(self) -> None:
    while not self._stopped.is_set():
      self.look()
      if self.failure():
        break
      self._stopped.wait(self._interval)
    start = time.monotonic()
    while not self._stopped.wait(0.1):  # Which may begin to tidy up meanwhile.
      if time.monotonic() - start > self._grace:
        found = self.failure()
        self._tell(found)
        self._end(found)
        return

  def _others(self) -> list[int]:
    return [x for x in range(self._count) if x != self._number]

  def _set(self, name: str, value: str) -> None:
    self._client.key_value_set(
      f'{_KEY}/{name}/{self._number}', value, allow_overwrite=True
    )

  def _read(self, name: str) -> dict[int, str]:
    found = self._client.key_value_dir_get(f'{_KEY}/{name}/')
    return {int(key.rpartition('/')[2]): value for key, value in found}


def end_now(error: errors.UserFacingError, is_said: bool = False) -> None:
  """Ends this process at once: JAX would have it wait for the others.

  Args:
    error: whose sentence and status it ends with.
    is_said: whether the sentence is out already.
  """
  if not is_said:
    sentence = errors.on_one_line(f'error: {error}')
    # Below Python, where a lock may be held by a thread that is stuck.
    with contextlib.suppress(OSError):
      os.write(2, f'\n{sentence}\n'.encode())
  with contextlib.suppress(Exception):
    sys.stdout.flush()
  os._exit(error.exit_status)
