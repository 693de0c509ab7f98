"""Tests of how processes find each other, with a service that never answers."""

import os
import signal
import socket
import threading
import time

import jax
import pytest

from inception_jax.runtime import errors, joining, launchers, signals


@pytest.fixture
def initialize(monkeypatch):
  """Replaces JAX's, which waits for an event; returns that."""
  come = threading.Event()

  def wait(coordinator_address, num_processes, process_id, **unused):
    found = joining.state()
    monkeypatch.setattr(found, 'coordinator_address', coordinator_address)
    monkeypatch.setattr(found, 'num_processes', num_processes)
    monkeypatch.setattr(found, 'process_id', process_id)
    come.wait(10)

  monkeypatch.setattr(jax.distributed, 'initialize', wait)
  yield come
  come.set()


@pytest.fixture
def port():
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]


@pytest.fixture
def launch(monkeypatch, port):
  """A function that sets the variables of one process, and says so."""

  def start(count=2, number=0, port=port, method='variables'):
    values = (f'127.0.0.1:{port}', str(count), str(number))
    for name, value in zip(launchers.VARIABLES, values, strict=True):
      monkeypatch.setenv(name, value)
    return launchers.Launch(method, count, number)

  return start


@pytest.mark.parametrize(
  'count, number, who',
  [
    (2, 0, 'process 1 of 2 has not come to 127.0.0.1:PORT'),
    (2, 1, 'process 0 of 2 cannot be reached at 127.0.0.1:PORT'),
    (5, 0, 'of 5 processes some have not come to 127.0.0.1:PORT, where'),
  ],
)
def test_who_does_not_come_is_named(
  initialize, launch, port, count, number, who
):
  with pytest.raises(errors.InputError) as caught:
    joining.join(launch(count, number), 0.2)
  assert 'have not met in 0 s: ' + who.replace('PORT', str(port)) in str(
    caught.value
  )


def test_coordinator_that_listens_is_not_the_one_missing(initialize, launch):
  with socket.create_server(('127.0.0.1', 0)) as server:
    port = server.getsockname()[1]
    with pytest.raises(errors.InputError, match='process 0 of 2 has not come'):
      joining.join(launch(number=1, port=port), 0.2)


def test_a_late_one_is_waited_for_and_said(initialize, launch, monkeypatch):
  said = []
  monkeypatch.setattr(joining, '_SECONDS_OF_SILENCE', 0.1)
  monkeypatch.setattr(
    joining.logging,
    'info',
    lambda text, *values: (said.append(text % values), initialize.set()),
  )
  joining.join(launch(), 60)
  assert 'waiting for the other processes since ' in said[0]
  assert '(0 s): process 1 of 2 has not come' in said[0]


def test_a_signal_is_heard_while_waiting(initialize, launch):
  timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
  start = time.monotonic()
  with pytest.raises(KeyboardInterrupt) as caught, signals.as_exceptions():
    timer.start()
    joining.join(launch(), 60)
  assert signals.number_of(caught.value) == signal.SIGTERM
  assert time.monotonic() - start < 8


def test_what_jax_refuses_is_one_line(monkeypatch, launch):
  def refuse(**unused):
    raise RuntimeError('the port is taken\nand more')

  monkeypatch.setattr(jax.distributed, 'initialize', refuse)
  with pytest.raises(errors.InputError, match='cannot join .* port is taken$'):
    joining.join(launch(), 60)


def test_the_trap_of_the_firewall_is_named(initialize, launch):
  started = launch(count=4, number=2, method='gcetpu')
  with pytest.raises(errors.InputError) as caught:
    joining.join(started, 0.2)
  for words in ('--join_seconds', '8482 since', '--coordinator_port=8476'):
    assert words in str(caught.value)
  with pytest.raises(errors.InputError) as caught:
    joining.join(started._replace(method='slurm'), 0.2)
  assert '8482' not in str(caught.value)
