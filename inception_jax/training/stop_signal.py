"""SIGTERM and SIGINT as a request that all processes see at once."""

import signal
from typing import Any

import jax
import numpy as np

from inception_jax.data import device


class StopSignal:
  """Turns the first SIGTERM or SIGINT into a request; a second one kills."""

  def __init__(self):
    self.signum = 0
    self._previous = {}
    self._sent = None

  def __enter__(self) -> 'StopSignal':
    for signum in (signal.SIGTERM, signal.SIGINT):
      self._previous[signum] = signal.signal(signum, self._on_signal)
    return self

  def __exit__(self, *unused: Any) -> None:
    for signum, handler in self._previous.items():
      signal.signal(signum, handler)

  def _on_signal(self, signum: int, unused_frame: Any) -> None:
    self.signum = signum
    signal.signal(signum, signal.SIG_DFL)

  def flags(self) -> jax.Array:
    """The request, one a local device, for every process to see at once."""
    signum = self.signum  # Read once: a signal may come in between.
    if self._sent is None or self._sent[0] != signum:
      flags = np.full((jax.local_device_count(),), signum, np.int32)
      self._sent = (signum, device.shard({'stop': flags})['stop'][:, 0])
    return self._sent[1]
