"""Reasons to stop, which all processes see at once: signals and bad input."""

from collections.abc import Iterator
import signal
from typing import Any

import jax
import numpy as np

from inception_jax.data import device
from inception_jax.runtime import agreement, cluster, errors

# Among the numbers of signals: the input of a process has failed.
FAILED = 255


class StopSignal:
  """Turns the first SIGTERM or SIGINT into a request; a second one kills.

  Attributes:
    second_kills: of the class; False where another process sees to that, and
      a signal may come twice: by it, and by a system that stops all processes.
    signum: the request: number of the signal, `FAILED`, or 0 for none.
  """

  second_kills = True

  def __init__(self):
    self.signum = 0
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
      request: the largest of all `flags` of a step, which must not count.
    """
    if request == FAILED:
      said = agreement.exchange(self._error and str(self._error))
      if self._error is not None:
        raise self._error
      process, text = next((k, x) for k, x in enumerate(said) if x)
      raise errors.TrainingError(
        f'process {process} of {len(said)} has ended: {text}'
      )

  def flags(self) -> jax.Array:
    """The request, one a local device, for every process to see at once."""
    signum = self.signum  # Read once: a signal may come in between.
    if self._sent is None or self._sent[0] != signum:
      flags = np.full((jax.local_device_count(),), signum, np.int32)
      self._sent = (signum, device.shard({'stop': flags})['stop'][:, 0])
    return self._sent[1]
