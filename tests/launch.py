"""Runs the command line, in this process or in processes of their own."""

import contextlib
import io
import json
import os
import pathlib
import socket
import subprocess
import sys
from unittest import mock

from absl.testing import flagsaver

ROOT = pathlib.Path(__file__).parent.parent
TINY = 'tests/tiny_config.py'


def call(*arguments):
  """Runs a command in this process, which spares the start of another.

  What it logs is not part of standard error: that is set up once a process.

  Args:
    *arguments: of the command line.

  Returns:
    Exit status, standard output and standard error.
  """
  # Flags that are defined below, `flagsaver` would take away again.
  from inception_jax.commands import flags  # noqa: F401

  with contextlib.suppress(ImportError):
    from array_record.python import array_record_data_source  # noqa: F401
  import main

  argv = ['main.py', *map(str, arguments)]
  out, err = io.StringIO(), io.StringIO()
  with (
    flagsaver.flagsaver(),
    mock.patch.object(sys, 'argv', list(argv)),
    mock.patch('inception_jax.runtime.log.configure'),
    contextlib.chdir(ROOT),
    contextlib.redirect_stdout(out),
    contextlib.redirect_stderr(err),
  ):
    try:
      status = main.main(main.parse_flags(argv))
    except SystemExit as error:
      status = error.code
      if isinstance(status, str):  # As the interpreter does at its end.
        print(status, file=sys.stderr)
        status = 1
  return status, out.getvalue(), err.getvalue()


def called(*arguments):
  """As `result`, in this process."""
  return _result(*call(*arguments))


def environment(num_devices=1, **more):
  """The tests' environment with this many CPU devices."""
  env = {**os.environ, **more}
  if num_devices > 1:
    env['XLA_FLAGS'] += f' --xla_force_host_platform_device_count={num_devices}'
  return env


def start(*arguments, num_devices=1, program='main.py', **more):
  """Starts a program of the repository without waiting for it."""
  return subprocess.Popen(
    [sys.executable, program, *map(str, arguments)],
    cwd=ROOT,
    env=environment(num_devices, **more),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(process, timeout=300):
  """Waits; returns exit status, standard output and standard error."""
  try:
    out, err = process.communicate(timeout=timeout)
  except subprocess.TimeoutExpired:
    process.kill()
    out, err = process.communicate()
    raise AssertionError(f'timed out\n{out}\n{err[-3000:]}') from None
  return process.returncode, out, err


def run(*arguments, **options):
  """Runs to the end in a process of its own; see `start` and `finish`."""
  return finish(start(*arguments, **options))


def result(*arguments, **options):
  """The JSON object on the last line of a run that must succeed."""
  return _result(*run(*arguments, **options))


def _result(status, out, err):
  assert status == 0, err[-3000:]
  return json.loads(out.splitlines()[-1])


def free_port():
  """A port that nothing listens on just now."""
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]


def start_cluster(num_processes, *arguments, of_each=None, **options):
  """Starts several processes that find each other on loopback.

  Args:
    num_processes: how many.
    *arguments: of all.
    of_each: more arguments of each; None is none.
    **options: see `start`.
  """
  port = free_port()
  return [
    start(
      *arguments,
      *(of_each[i] if of_each else ()),
      JAX_COORDINATOR_ADDRESS=f'127.0.0.1:{port}',
      JAX_NUM_PROCESSES=str(num_processes),
      JAX_PROCESS_ID=str(i),
      **options,
    )
    for i in range(num_processes)
  ]
