"""How the processes of a run find each other."""

import socket
import threading
import time
from typing import Any

from absl import logging

from inception_jax.runtime import errors, launchers

START_AGAIN = 'start all of them again by the same command'
# JAX ends all when one has not been heard of for so long.
_HEARTBEAT_SECONDS = 30
# JAX itself would abort with a trace of the stack.
_SECONDS_MORE_FOR_JAX = 60
_SECONDS_OF_SILENCE = 10.0


def state() -> Any:
  """JAX's knowledge of the processes; there is no public way to its client."""
  from jax._src import distributed

  return distributed.global_state


def join(
  launch: launchers.Launch, seconds: float, is_silent: bool = False
) -> None:
  """Calls JAX's `initialize`, in a thread: signals are heard meanwhile.

  Args:
    launch: how this process was started.
    seconds: for all to be there.
    is_silent: whether nothing is logged meanwhile.

  Raises:
    InputError: if the others do not come, or JAX refuses.
  """
  import jax  # A refusal of a command line does without.

  failures = []

  def call():
    try:
      jax.distributed.initialize(
        **(launchers.read_variables() or {}),
        initialization_timeout=round(seconds) + _SECONDS_MORE_FOR_JAX,
        heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
      )
    except Exception as error:
      failures.append(error)

  thread = threading.Thread(target=call, name='join', daemon=True)
  thread.start()
  start, spoken = time.monotonic(), 0
  since = time.strftime('%H:%M:%S')
  while thread.is_alive():
    thread.join(0.1)
    waited = time.monotonic() - start
    if waited > _SECONDS_OF_SILENCE * (spoken + 1) and not is_silent:
      logging.info(
        'waiting for the other processes since %s (%.0f s): %s',
        since,
        waited,
        _who_is_missing(launch),
      )
      # After 10, 30, 70, ... seconds.
      spoken = 2 * (spoken + 1)
    if waited > seconds and thread.is_alive():
      raise errors.InputError(
        f'the processes of this run have not met in {seconds:.0f} s:'
        f' {_who_is_missing(launch)}; {_remedy(launch)}'
      )
  if failures:
    raise errors.InputError(
      f'process {launch.process_id} of {launch.num_processes} cannot join the'
      f' coordinator at {state().coordinator_address}:'
      f' {errors.first_line(failures[0])}'
    ) from failures[0]


def _remedy(launch: launchers.Launch) -> str:
  """What to do when some do not come."""
  remedy = f'{START_AGAIN}, or give them longer with --join_seconds'
  if not launch.is_on_google_cloud:
    return remedy
  return (
    f'{remedy}; if process 0 runs, open its port in the firewall: JAX takes'
    ' 8482 since version 0.8.1, and the rules that Google Cloud makes may open'
    ' 8476 alone, which --coordinator_port=8476 takes'
  )


def _who_is_missing(launch: launchers.Launch) -> str:
  address, count = state().coordinator_address, launch.num_processes
  number = launch.process_id
  if address is None:
    return (
      f'process {number} of {count} ({launch.launcher}) is still looking for'
      ' the address of process 0'
    )
  if number and not is_listening(address):
    return f'process 0 of {count} cannot be reached at {address}'
  if count == 2:
    return f'process {1 - number} of 2 has not come to {address}'
  return (
    f'of {count} processes some have not come to {address}, where process'
    f' {number} is'
  )


def is_listening(address: str) -> bool:
  host, _, port = address.rpartition(':')
  try:
    with socket.create_connection((host.strip('[]'), int(port)), timeout=2):
      return True
  except (OSError, ValueError):
    return False
