"""What the processes of a run tell one another before they work together.

All of it goes through the keys of JAX's coordination service. They need neither
devices nor a program of the same shape on every process, and who waits there
hears of another that fails.
"""

import json
import time
from typing import Any

from absl import logging
import jax

from inception_jax.runtime import cluster, errors, json_files

_KEY = 'inception_jax/agreement'
# How long a process waits for what another has to say; at first in silence.
_SECONDS = 1800.0
_SECONDS_OF_SILENCE = 10.0
_POLL_SECONDS = 1.0
_rounds: list[int] = []


def broadcast(value: Any) -> Any:
  """What process 0 has, on every process; anything JSON can hold.

  Raises:
    InputError: see `exchange`.
  """
  return exchange(value if cluster.is_main_process() else None)[0]


def agree(what: str, value: Any) -> None:
  """Checks that all processes have the same.

  Args:
    what: names it in messages, such as 'config'; may be empty for a dict.
    value: anything JSON can hold; of two dicts the first key that differs is
      named.

  Raises:
    InputError: on every process, if one has another value; and see `exchange`.
  """
  found = exchange({'what': what, 'value': value})
  for number, theirs in enumerate(found):
    if theirs != found[0]:
      name, one, other = _difference(what, found[0], theirs)
      raise errors.InputError(
        f'the processes of a run must have the same {name}: process 0 has'
        f' {one}, process {number} has {other}; start all of them by the same'
        ' command'
      )


def exchange(value: Any) -> list[Any]:
  """What each process gives, in their order, on every process.

  Args:
    value: anything JSON can hold.

  Raises:
    InputError: if one does not come in half an hour, or counts other processes
      than this one.
    OtherProcessError: if one has failed before it came here.
  """
  count = cluster.num_processes()
  if count == 1:
    return [value]
  number = _rounds[-1] + 1 if _rounds else 1
  _rounds.append(number)
  key = f'{_KEY}/{number}/{cluster.number_of_process()}'
  said = json_files.dumps({'value': value, 'count': count})
  cluster.client().key_value_set(key, said, allow_overwrite=True)
  found = []
  for process in range(count):
    theirs = _get(number, process)
    if theirs['count'] != count:
      raise errors.InputError(
        'the processes of a run must have the same JAX_NUM_PROCESSES: process'
        f' {process} has {theirs["count"]}, process'
        f' {cluster.number_of_process()} has {count}'
      )
    found.append(theirs['value'])
  return found


def _difference(what: str, first: Any, theirs: Any) -> tuple[str, str, str]:
  """Name and both values of the first thing in which two processes differ."""
  if first['what'] != theirs['what']:
    return 'command', first['what'], theirs['what']
  one, other = first['value'], theirs['value']
  if isinstance(one, dict) and isinstance(other, dict):
    for name in sorted(one.keys() | other.keys()):
      if one.get(name) != other.get(name):
        values = (
          json_files.dumps(one.get(name)),
          json_files.dumps(other.get(name)),
        )
        return '.'.join(filter(None, [what, name])), *values
  return what, json_files.dumps(one), json_files.dumps(other)


def _get(number: int, process: int) -> Any:
  start, spoken = time.monotonic(), False
  while True:
    try:
      # Not for long at a time: signals are heard in between.
      text = cluster.client().blocking_key_value_get(
        f'{_KEY}/{number}/{process}', round(1000 * _POLL_SECONDS)
      )
      return json.loads(text)
    except jax.errors.JaxRuntimeError as error:
      if 'DEADLINE_EXCEEDED' not in str(error):
        raise
    if failure := cluster.failure():
      raise failure
    waited = time.monotonic() - start
    if waited > _SECONDS:
      raise errors.InputError(
        f'process {process} of {cluster.num_processes()} did not come in'
        f' {_SECONDS:.0f} s; start all of them again by the same command'
      )
    if waited > _SECONDS_OF_SILENCE and not spoken:
      logging.info('waiting for process %d', process)
      spoken = True
