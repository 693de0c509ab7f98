"""Start-up of several processes; the only place that knows of hosts."""

import ctypes
import os
import re
import signal
import threading
from typing import Any

from absl import logging
import jax
from jax.experimental import multihost_utils
import numpy as np

from inception_jax.runtime import errors

_SECONDS_TO_LEAVE = 10.0
# JAX ends the others when one has not been heard of for so long.
_HEARTBEAT_SECONDS = 30
_LOST = (
  'another process of this run has ended or cannot be reached: see its own'
  ' messages, then start all of them again by the same command'
)
_OF_OTHERS = re.compile(
  'gloo|nccl|connection|barrier|heartbeat|coordinat|UNAVAILABLE|'
  'DEADLINE_EXCEEDED',
  re.IGNORECASE,
)
_kept: list[Any] = []
# Set on each process of a hand-made cluster.
_VARIABLES = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')


def initialize() -> None:
  """Joins the other processes of the run, if there are any.

  Reads `JAX_COORDINATOR_ADDRESS` (host:port of process 0), `JAX_NUM_PROCESSES`
  and `JAX_PROCESS_ID`. On a TPU pod or under Slurm JAX finds them by itself.

  Raises:
    InputError: if only some of the variables are set, or one is no number.
  """
  values = [os.environ.get(name) for name in _VARIABLES]
  if not any(values):
    if _is_pod():
      jax.distributed.initialize(heartbeat_timeout_seconds=_HEARTBEAT_SECONDS)
      _say_so_when_aborted()
    return
  for name, value in zip(_VARIABLES, values, strict=True):
    if not value:
      raise errors.InputError(
        f'the environment variable {name} is not set, though others of'
        f' {", ".join(_VARIABLES)} are; set all three or none'
      )
  try:
    num_processes, process_id = int(values[1]), int(values[2])
  except ValueError as error:
    raise errors.InputError(
      'JAX_NUM_PROCESSES and JAX_PROCESS_ID must be whole numbers, not'
      f' {values[1]!r} and {values[2]!r}'
    ) from error
  try:
    jax.distributed.initialize(
      values[0],
      num_processes,
      process_id,
      heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
    )
  except (RuntimeError, ValueError) as error:
    raise errors.InputError(
      f'process {process_id} of {num_processes} cannot join the coordinator at'
      f' {values[0]}: {error}'
    ) from error
  _say_so_when_aborted()
  logging.info('process %d of %d', process_id, num_processes)


def _is_pod() -> bool:
  """Whether this is one of several workers of a TPU pod or a Slurm job."""
  workers = os.environ.get('TPU_WORKER_HOSTNAMES', '').split(',')
  # Of the step that srun started, not of the allocation around it.
  tasks = os.environ.get('SLURM_STEP_NUM_TASKS', '1')
  return len(workers) > 1 or (tasks.isdigit() and int(tasks) > 1)


def _say_so_when_aborted() -> None:
  """Makes the sentence of `_LOST` the last one when JAX aborts this process.

  JAX's client aborts, from a thread of its own and below Python, when the
  coordinator or another process is gone.
  """

  def on_abort(_):
    os.write(2, f'\nerror: {_LOST}\n'.encode())
    os._exit(1)

  handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(on_abort)
  ctypes.CDLL(None).signal(signal.SIGABRT, handler)
  _kept.append(handler)  # Else it would be freed.


def lost(error: Exception) -> errors.TrainingError | None:
  """The error for a failure of JAX that another process has caused.

  Args:
    error: what JAX or Orbax raised.

  Returns:
    None where there is one process, and for other failures.
  """
  if not jax.distributed.is_initialized() or jax.process_count() == 1:
    return None
  if not _OF_OTHERS.search(str(error)):
    return None
  return errors.TrainingError(_LOST)


def is_main_process() -> bool:
  """Whether this process writes the files of the run."""
  return jax.process_index() == 0


def leave_soon(status: int) -> None:
  """Ends this process in a few seconds, if it is one of several.

  Call it before one that has failed ends by itself: JAX would have it wait for
  the others, for minutes, while they wait for it. What is left of the time is
  for others that are about to say the same. Of those that are not JAX ends the
  first processes at once, and all within two minutes of losing one.

  Args:
    status: exit status.
  """
  if not jax.distributed.is_initialized():
    return
  timer = threading.Timer(_SECONDS_TO_LEAVE, os._exit, (status,))
  timer.daemon = True
  timer.start()


def gather(tree: Any) -> Any:
  """Rows of all processes, in their order, on every process.

  Args:
    tree: of host arrays `[n, ...]`, of the same shapes on every process.

  Returns:
    A tree of arrays `[num_processes * n, ...]`.
  """
  if jax.process_count() == 1:
    return tree
  return jax.tree.map(
    lambda x: np.asarray(x).reshape(-1, *x.shape[2:]),
    multihost_utils.process_allgather(tree),
  )


def local_slots(batch_size: int) -> np.ndarray:
  """Places in the global batch that this process holds, int32, contiguous.

  Args:
    batch_size: global batch size.

  Raises:
    InputError: if the batch does not divide over all devices.
  """
  num_devices = jax.device_count()
  if batch_size % num_devices:
    raise errors.InputError(
      f'config.train.batch_size={batch_size} does not divide over {num_devices}'
      f' devices; use a multiple of {num_devices}'
    )
  share = batch_size // jax.process_count()
  start = share * jax.process_index()
  return np.arange(start, start + share, dtype=np.int32)
