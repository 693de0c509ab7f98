"""Signals that come while a library keeps Python from them."""

import os
import signal
import subprocess
import sys
import time

import launch
import pytest

from inception_jax.runtime import signal_watch

BEGIN = """
import contextlib, hashlib, sys, time
from inception_jax.runtime import signal_watch, signals

signal_watch._SECONDS_TO_ANSWER = 1.0

def busy():
  # Minutes in C, without the lock of the interpreter: as a compiler.
  hashlib.pbkdf2_hmac('sha256', b'x', b'y', 10**9)

print('ready', flush=True)
"""


def ended(code, signum=signal.SIGTERM, wait=60):
  """Status and last words of a program that gets a signal, and seconds."""
  process = subprocess.Popen(
    [sys.executable, '-c', BEGIN + code],
    cwd=launch.ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == 'ready\n'
  time.sleep(0.5)
  start = time.monotonic()
  process.send_signal(signum)
  try:
    _, said = process.communicate(timeout=wait)
  except subprocess.TimeoutExpired:
    process.kill()
    process.communicate()
    return None, '', wait
  return process.returncode, said, time.monotonic() - start


@pytest.mark.parametrize('signum', [signal.SIGTERM, signal.SIGINT])
def test_a_busy_library_is_not_waited_for(signum):
  status, said, _ = ended(
    'with signal_watch.watched(), signals.as_exceptions():\n  busy()', signum
  )
  assert status == signal_watch.STATUS == 75
  (sentence,) = said.split('\n')[1:-1]
  assert sentence == (
    f'error: stopped by {signal.Signals(signum).name} while a library was busy;'
    ' nothing is lost: run the same command again'
  )


def test_without_it_a_busy_library_is_waited_for():
  code = 'with signals.as_exceptions():\n  busy()'
  assert ended(code, wait=4)[0] is None


def test_unsaved_work_is_waited_for():
  code = (
    'with signal_watch.watched(), signals.as_exceptions():\n'
    '  with signal_watch.unsaved_work():\n    busy()'
  )
  assert ended(code, wait=4)[0] is None


def test_python_that_answers_ends_as_ever():
  code = (
    'with signal_watch.watched(), signals.as_exceptions():\n'
    '  try:\n    time.sleep(60)\n'
    '  except KeyboardInterrupt:\n    time.sleep(2); sys.exit(3)'
  )
  assert ended(code)[0] == 3


def test_what_was_there_before_is_there_again():
  reading, writing = os.pipe()
  os.set_blocking(writing, False)
  before = signal.set_wakeup_fd(writing)
  try:
    with signal_watch.watched():
      pass
    assert signal.set_wakeup_fd(writing) == writing
  finally:
    signal.set_wakeup_fd(before)
    os.close(reading)
    os.close(writing)
