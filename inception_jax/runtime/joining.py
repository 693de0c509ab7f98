"""How the processes of a run find each other."""

import os
import socket
import threading
import time
from typing import Any

from absl import logging

from inception_jax.runtime import errors, words

# Set on each process of a hand-made cluster.
VARIABLES = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
START_AGAIN = 'start all of them again by the same command'
# JAX ends all when one has not been heard of for so long.
_HEARTBEAT_SECONDS = 30
# For all to be there; after that JAX would abort with a trace of the stack.
_SECONDS_TO_JOIN = 300.0
_SECONDS_MORE_FOR_JAX = 60
_SECONDS_OF_SILENCE = 10.0


def state() -> Any:
  """JAX's knowledge of the processes; there is no public way to its client."""
  from jax._src import distributed

  return distributed.global_state


def read_variables() -> dict[str, Any] | None:
  """Arguments of JAX's `initialize`; None if no variable is set."""
  values = [os.environ.get(name) for name in VARIABLES]
  if not any(values):
    return None
  for name, value in zip(VARIABLES, values, strict=True):
    if not value:
      raise errors.InputError(
        f'the environment variable {name} is not set, though others of'
        f' {words.join(VARIABLES)} are; set all three or none'
      )
  try:
    count, number = int(values[1]), int(values[2])
  except ValueError as error:
    raise errors.InputError(
      'JAX_NUM_PROCESSES and JAX_PROCESS_ID must be whole numbers, not'
      f' {values[1]!r} and {values[2]!r}'
    ) from error
  if not 0 <= number < count:
    raise errors.InputError(
      f'JAX_PROCESS_ID={number} must be from 0 to JAX_NUM_PROCESSES - 1, which'
      f' is {count - 1}'
    )
  return {
    'coordinator_address': values[0],
    'num_processes': count,
    'process_id': number,
  }


def is_one_of_several() -> bool:
  try:
    return read_variables() is not None or is_pod()
  except errors.InputError:
    return False


def is_pod() -> bool:
  """Whether this is one of several workers of a TPU pod or a Slurm job."""
  workers = os.environ.get('TPU_WORKER_HOSTNAMES', '').split(',')
  return len(workers) > 1 or num_slurm_tasks() > 1


def num_slurm_tasks() -> int:
  # Of the step that srun started, not of the allocation around it.
  tasks = os.environ.get('SLURM_STEP_NUM_TASKS', '1')
  return int(tasks) if tasks.isdigit() else 1


def join(arguments: dict[str, Any], limit: float | None) -> None:
  """Calls JAX's `initialize`, in a thread: signals are heard meanwhile."""
  import jax  # A refusal of a command line does without.

  failures = []
  seconds = _SECONDS_TO_JOIN if limit is None else limit

  def call():
    try:
      jax.distributed.initialize(
        **arguments,
        initialization_timeout=round(seconds) + _SECONDS_MORE_FOR_JAX,
        heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
      )
    except Exception as error:
      failures.append(error)

  thread = threading.Thread(target=call, name='join', daemon=True)
  thread.start()
  start, spoken = time.monotonic(), False
  while thread.is_alive():
    thread.join(0.1)
    waited = time.monotonic() - start
    if waited > _SECONDS_OF_SILENCE and limit is None and not spoken:
      logging.info('waiting for the other processes: %s', _who_is_missing())
      spoken = True
    if waited > seconds and thread.is_alive():
      raise errors.InputError(
        f'the processes of this run have not met in {seconds:.0f} s:'
        f' {_who_is_missing()}; {START_AGAIN}'
      )
  if failures:
    found = state()
    raise errors.InputError(
      f'process {found.process_id} of {found.num_processes} cannot join the'
      f' coordinator at {found.coordinator_address}:'
      f' {errors.first_line(failures[0])}'
    ) from failures[0]


def _who_is_missing() -> str:
  found = state()
  address, count = found.coordinator_address, found.num_processes
  if address is None:
    return 'JAX has not found them yet'
  if found.process_id and not is_listening(address):
    return f'process 0 of {count} cannot be reached at {address}'
  if count == 2:
    return f'process {1 - found.process_id} of 2 has not come to {address}'
  return (
    f'of {count} processes some have not come to {address}, where process'
    f' {found.process_id} is'
  )


def is_listening(address: str) -> bool:
  host, _, port = address.rpartition(':')
  try:
    with socket.create_connection((host.strip('[]'), int(port)), timeout=2):
      return True
  except (OSError, ValueError):
    return False
