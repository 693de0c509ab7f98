"""What all processes learn at once: reasons to stop, and that a save is due."""

from collections.abc import Iterator
import signal
from typing import Any

import jax
import numpy as np

from inception_jax.data import device
from inception_jax.runtime import agreement, cluster, errors, signal_watch

# Among the numbers of signals: the input of a process has failed.
FAILED = 255


class EvaluationStoppedError(Exception):
  """An evaluation has ended before its last batch, on all processes.

  Attributes:
    signum: the request.
  """

  def __init__(self, signum: int):
    super().__init__(signum)
    self.signum = signum


class StopSignal:
  """Turns the first SIGTERM or SIGINT into a request; a second one kills.

  Attributes:
    second_kills: of the class; False where another process sees to that, and
      a signal may come twice: by it, and by a system that stops all processes.
    signum: the request: number of the signal, `FAILED`, or 0 for none.
    is_save_due: whether this process wants the state to be saved.
  """

  second_kills = True

  def __init__(self):
    self.signum = 0
    self.is_save_due = False
    self._error = None
    self._previous = {}
    self._sent = None

  def __enter__(self) -> 'StopSignal':
    for signum in (signal.SIGTERM, signal.SIGINT):
      self._previous[signum] = signal.signal(signum, self._on_signal)
    return self

  def __exit__(self, *unused: Any) -> None:
    for signum, handler in self._previous.items():
      if self.signum and not self.second_kills:
        # What was saved may still be on its way to the disk.
        handler = signal.SIG_IGN
      signal.signal(signum, handler)

  def _on_signal(self, signum: int, unused_frame: Any) -> None:
    signal_watch.answer()
    if self._error is None:  # Else this process stops already.
      self.signum = signum
    if self.second_kills:
      signal.signal(signum, signal.SIG_DFL)

  def guard(
    self, batches: Iterator[dict[str, jax.Array]]
  ) -> Iterator[dict[str, jax.Array]]:
    """Keeps the others from waiting forever when this process's input fails.

    Among several processes, an error does not end this one alone: the last
    batch comes again, with the request to stop, until `check` sees it
    everywhere.

    Args:
      batches: of this process.

    Yields:
      The same batches.
    """
    batch = None
    while True:
      if self._error is None:
        try:
          batch = next(batches)
        except StopIteration:
          return
        except errors.UserFacingError as error:
          if cluster.num_processes() == 1 or batch is None:
            raise
          self._error, self.signum = error, FAILED
      yield batch

  def check(self, request: int) -> None:
    """Raises if the input of a process has failed.

    Args:
      request: to stop, of all processes in a step, which must not count.
    """
    if request == FAILED:
      said = agreement.exchange(self._error and str(self._error))
      if self._error is not None:
        raise self._error
      process, text = next((k, x) for k, x in enumerate(said) if x)
      raise errors.TrainingError(
        f'process {process} of {len(said)} has ended: {text}'
      )

  def check_evaluation(self, request: int) -> None:
    """Raises EvaluationStoppedError if a process is to stop.

    Args:
      request: the largest of all `flags` of a batch.
    """
    signum, _ = read(request)
    if signum:
      raise EvaluationStoppedError(signum)

  def flags(self) -> jax.Array:
    """The request, one a local device, for every process to see at once.

    Twice the number that asks to stop, which outdoes one that asks to save:
    who stops saves.
    """
    # Read once: a signal may come in between.
    request = 2 * self.signum + self.is_save_due
    if self._sent is None or self._sent[0] != request:
      flags = np.full((jax.local_device_count(),), request, np.int32)
      self._sent = (request, device.shard({'stop': flags})['stop'][:, 0])
    return self._sent[1]


def read(request: int) -> tuple[int, bool]:
  """The request to stop, 0 for none, and whether a save is due.

  Args:
    request: the largest of all `StopSignal.flags` of a step.
  """
  return request // 2, bool(request % 2)
