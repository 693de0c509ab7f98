"""A process that holds a lock, for tests of what others then do."""

import contextlib
import pathlib
import subprocess
import sys

_PROGRAM = """
import sys
from inception_jax.runtime import locks
with locks.hold(sys.argv[1], '', ''):
  print('held', flush=True)
  sys.stdin.read()
"""


@contextlib.contextmanager
def held(path):
  """Another process holds the lock; yields the process, which is killed."""
  process = subprocess.Popen(
    [sys.executable, '-c', _PROGRAM, str(path)],
    cwd=pathlib.Path(__file__).parent.parent,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  with process:
    try:
      assert process.stdout.readline() == 'held\n'
      yield process
    finally:
      process.kill()
