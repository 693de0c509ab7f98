"""Tests of what the processes of a run tell one another, in threads."""

import concurrent.futures
import threading
import time

import jax
import pytest

from inception_jax.runtime import agreement, cluster, errors


class Keys:
  """The keys of a coordination service."""

  def __init__(self):
    self._values, self._changed = {}, threading.Condition()

  def key_value_set(self, key, value, allow_overwrite=False):
    with self._changed:
      assert allow_overwrite or key not in self._values
      self._values[key] = value
      self._changed.notify_all()

  def blocking_key_value_get(self, key, milliseconds):
    with self._changed:
      if self._changed.wait_for(
        lambda: key in self._values, milliseconds / 1000
      ):
        return self._values[key]
    raise jax.errors.JaxRuntimeError('DEADLINE_EXCEEDED: timed out')


@pytest.fixture
def run_all(monkeypatch):
  """Runs a function of each process's number in a thread of its own."""
  here = threading.local()

  class Rounds:
    def append(self, number):
      here.rounds = number

    def __bool__(self):
      return bool(here.rounds)

    def __getitem__(self, place):
      return here.rounds

  monkeypatch.setattr(agreement, '_rounds', Rounds())
  monkeypatch.setattr(agreement, '_POLL_SECONDS', 0.1)
  monkeypatch.setattr(cluster, 'number_of_process', lambda: here.process)

  def run(functions):
    keys = Keys()
    failures = {}
    monkeypatch.setattr(cluster, 'client', lambda: keys)
    monkeypatch.setattr(cluster, 'num_processes', lambda: here.count)
    monkeypatch.setattr(
      cluster,
      'failure',
      lambda: next((x for k, x in failures.items() if k != here.process), None),
    )

    def called(process, function):
      here.process, here.rounds = process, 0
      here.count = len(functions)
      try:
        return function()
      except errors.UserFacingError as error:
        failures[process] = error
        return f'error: {error}'

    with concurrent.futures.ThreadPoolExecutor(len(functions)) as pool:
      return list(pool.map(called, range(len(functions)), functions))

  run.here = here
  return run


def test_process_0_is_heard_by_all(run_all):
  found = run_all([lambda x=x: agreement.broadcast({'a': x}) for x in range(3)])
  assert found == [{'a': 0}] * 3


def test_the_same_is_agreed_on_and_a_difference_is_one_sentence(run_all):
  agree = lambda value: lambda: agreement.agree('config', value)
  assert run_all([agree({'a': 1, 'b': [2]})] * 2) == [None, None]
  found = run_all([agree({'a': 1, 'b': 2}), agree({'a': 1, 'b': 3})])
  assert found[0] == found[1]
  assert 'the same config.b: process 0 has 2, process 1 has 3; ' in found[0]
  found = run_all([agree({'a': 1}), agree({})])
  assert 'config.a: process 0 has 1, process 1 has null' in found[0]


def test_other_steps_of_a_command_do_not_meet(run_all):
  found = run_all(
    [lambda: agreement.agree('config', 1), lambda: agreement.agree('data', 1)]
  )
  assert found[0] == found[1] and 'process 1 has data' in found[0]


def test_a_failure_ends_those_who_wait(run_all):
  def failing():
    agreement.agree('mode', 'train')
    raise errors.InputError('the folder is gone')  # See `peers`.

  def waiting():
    agreement.agree('mode', 'train')
    agreement.agree('config', {})

  found = run_all([waiting, failing, waiting])
  assert found == ['error: the folder is gone'] * 3


def test_processes_that_count_others_are_told_so(run_all):
  def of_three():
    run_all.here.count = 3
    return agreement.exchange(1)

  found = run_all([lambda: agreement.exchange(0), of_three])
  assert any(
    'the same JAX_NUM_PROCESSES: process 0 has 2, process 1 has 3' in x
    for x in found
  )


def test_a_late_process_is_waited_for_and_named(run_all, monkeypatch):
  said = []
  monkeypatch.setattr(
    agreement.logging, 'info', lambda text, *values: said.append(text % values)
  )
  monkeypatch.setattr(agreement, '_SECONDS_OF_SILENCE', 0.1)
  monkeypatch.setattr(agreement, '_POLL_SECONDS', 0.05)

  def late():
    time.sleep(0.5)
    return agreement.exchange(1)

  assert run_all([lambda: agreement.exchange(0), late]) == [[0, 1]] * 2
  assert said == ['waiting for process 1']
  monkeypatch.setattr(agreement, '_SECONDS', 0.3)
  found = run_all([lambda: agreement.exchange(0), lambda: None])
  assert 'process 1 of 2 did not come' in found[0]


def test_one_process_needs_no_service():
  assert agreement.exchange('x') == ['x'] and agreement.broadcast('x') == 'x'
  agreement.agree('config', {})
