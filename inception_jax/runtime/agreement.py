"""What the processes of a run tell one another before they work together.

All of it goes through the keys of JAX's coordination service. They need neither
devices nor a program of the same shape on every process, and a process that has
failed can say so there, so that the others end with its sentence.
"""

import contextlib
import json
import time
from typing import Any

from absl import logging
import jax

from inception_jax.runtime import errors

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
  return exchange(value if jax.process_index() == 0 else None)[0]


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
    InputError: on every process, if one has failed before it came here
      (`tell_failure`), or does not come in half an hour.
  """
  if jax.process_count() == 1:
    return [value]
  number = _round() + 1
  _rounds.append(number)
  _set(number, {'value': value})
  found = [_get(number, process) for process in range(jax.process_count())]
  for process, theirs in enumerate(found):
    if 'failed' in theirs:
      raise errors.InputError(
        f'process {process} of {len(found)} has ended: {theirs["failed"]}'
      )
  return [theirs['value'] for theirs in found]


def tell_failure(message: str) -> None:
  """Lets the others end, when they next `exchange`, with what ended this one.

  Args:
    message: the sentence of this process.
  """
  if jax.distributed.is_initialized() and jax.process_count() > 1:
    with contextlib.suppress(Exception):  # They may be gone.
      _set(_round() + 1, {'failed': message})


def _difference(what: str, first: Any, theirs: Any) -> tuple[str, str, str]:
  """Name and both values of the first thing in which two processes differ."""
  if first['what'] != theirs['what']:
    return 'command', first['what'], theirs['what']
  one, other = first['value'], theirs['value']
  if isinstance(one, dict) and isinstance(other, dict):
    for name in sorted(one.keys() | other.keys()):
      if one.get(name) != other.get(name):
        values = json.dumps(one.get(name)), json.dumps(other.get(name))
        return '.'.join(filter(None, [what, name])), *values
  return what, json.dumps(one), json.dumps(other)


def _round() -> int:
  return _rounds[-1] if _rounds else 0


def _set(number: int, value: Any) -> None:
  key = f'{_KEY}/{number}/{jax.process_index()}'
  _client().key_value_set(key, json.dumps(value), allow_overwrite=True)


def _get(number: int, process: int) -> Any:
  start, spoken = time.monotonic(), False
  while True:
    try:
      # Not for long at a time: signals are heard in between.
      text = _client().blocking_key_value_get(
        f'{_KEY}/{number}/{process}', round(1000 * _POLL_SECONDS)
      )
      return json.loads(text)
    except jax.errors.JaxRuntimeError as error:
      if 'DEADLINE_EXCEEDED' not in str(error):
        raise
    waited = time.monotonic() - start
    if waited > _SECONDS:
      raise errors.InputError(
        f'process {process} of {jax.process_count()} did not come in'
        f' {_SECONDS:.0f} s; start all of them again by the same command'
      )
    if waited > _SECONDS_OF_SILENCE and not spoken:
      logging.info('waiting for process %d', process)
      spoken = True


def _client() -> Any:
  # There is no public way to the service's keys.
  from jax._src import distributed

  return distributed.global_state.client
