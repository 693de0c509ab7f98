"""Tests of the way from a signal to an exit status."""

import os
import signal

import pytest

from inception_jax.runtime import signals


@pytest.mark.parametrize('signum', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_becomes_an_error_with_its_status(signum):
  before = signal.getsignal(signum)
  with pytest.raises(KeyboardInterrupt) as caught:
    with signals.as_exceptions():
      os.kill(os.getpid(), signum)
  assert signal.getsignal(signum) is before
  assert signals.number_of(caught.value) == signum
  found = signals.interrupted(caught.value, 'do it again', 'work was ')
  assert found.exit_status == 128 + signum
  assert str(found) == (
    f'work was stopped by {signal.Signals(signum).name}; do it again'
  )


def test_an_interrupt_without_a_number_is_of_the_keyboard():
  assert signals.number_of(KeyboardInterrupt()) == signal.SIGINT


def test_collected_signals_interrupt_nothing():
  with signals.collected() as received:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
  assert received == [signal.SIGTERM, signal.SIGINT]
