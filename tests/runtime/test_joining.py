"""Tests of how processes find each other, with a service that never answers."""

import os
import signal
import socket
import threading
import time

import jax
import pytest

from inception_jax.runtime import errors, joining, signals


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


def arguments(port, count=2, number=0):
  return {
    'coordinator_address': f'127.0.0.1:{port}',
    'num_processes': count,
    'process_id': number,
  }


@pytest.mark.parametrize(
  'count, number, who',
  [
    (2, 0, 'process 1 of 2 has not come to 127.0.0.1:PORT'),
    (2, 1, 'process 0 of 2 cannot be reached at 127.0.0.1:PORT'),
    (5, 0, 'of 5 processes some have not come to 127.0.0.1:PORT, where'),
  ],
)
def test_who_does_not_come_is_named(initialize, port, count, number, who):
  with pytest.raises(errors.InputError) as caught:
    joining.join(arguments(port, count, number), 0.2)
  assert 'have not met in 0 s: ' + who.replace('PORT', str(port)) in str(
    caught.value
  )


def test_coordinator_that_listens_is_not_the_one_missing(initialize):
  with socket.create_server(('127.0.0.1', 0)) as server:
    port = server.getsockname()[1]
    with pytest.raises(errors.InputError, match='process 0 of 2 has not come'):
      joining.join(arguments(port, number=1), 0.2)


def test_a_late_one_is_waited_for_and_said(initialize, port, monkeypatch):
  said = []
  monkeypatch.setattr(joining, '_SECONDS_OF_SILENCE', 0.1)
  monkeypatch.setattr(
    joining.logging,
    'info',
    lambda text, *values: (said.append(text % values), initialize.set()),
  )
  joining.join(arguments(port), None)
  (sentence,) = said
  assert 'waiting for the other processes: process 1 of 2' in sentence


def test_a_signal_is_heard_while_waiting(initialize, port):
  timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
  start = time.monotonic()
  with pytest.raises(KeyboardInterrupt) as caught, signals.as_exceptions():
    timer.start()
    joining.join(arguments(port), None)
  assert signals.number_of(caught.value) == signal.SIGTERM
  assert time.monotonic() - start < 8


def test_what_jax_refuses_is_one_line(monkeypatch, port):
  def refuse(**unused):
    raise RuntimeError('the port is taken\nand more')

  monkeypatch.setattr(jax.distributed, 'initialize', refuse)
  with pytest.raises(errors.InputError, match='cannot join .* port is taken$'):
    joining.join(arguments(port), None)


@pytest.mark.parametrize(
  'values, message',
  [
    (('host:1', '', '0'), 'JAX_NUM_PROCESSES is not set, though'),
    (('host:1', 'two', '0'), "whole numbers, not 'two' and '0'"),
    (('host:1', '2', '2'), 'JAX_PROCESS_ID=2 must be from 0 to'),
  ],
)
def test_variables_that_do_not_fit(monkeypatch, values, message):
  for name, value in zip(joining.VARIABLES, values, strict=True):
    monkeypatch.setenv(name, value)
  with pytest.raises(errors.InputError, match=message):
    joining.read_variables()
  assert not joining.is_one_of_several()
