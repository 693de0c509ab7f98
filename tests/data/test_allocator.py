"""Tests of what the C library does with freed memory."""

import os
import platform
import subprocess
import sys

import pytest

from inception_jax.data import allocator

# Frees the memory of ten pictures and asks for it again, many times; prints how
# many pages the system had to clear.
_USE = """
import resource
from inception_jax.data import allocator
print(allocator.keep_freed_memory())

def use():
  for _ in range(50):
    pictures = [b'x' * 600_000 for _ in range(10)]
    del pictures

use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
needs_glibc = pytest.mark.skipif(
  platform.libc_ver()[0] != 'glibc', reason='needs glibc'
)


def run(**environment):
  clean = {k: v for k, v in os.environ.items() if not k.startswith('MALLOC_')}
  clean.pop('GLIBC_TUNABLES', None)
  found = subprocess.run(
    [sys.executable, '-c', _USE],
    env={**clean, **environment},
    capture_output=True,
    text=True,
    check=True,
  )
  was_set, num_faults = found.stdout.split()
  return was_set == 'True', int(num_faults)


@needs_glibc
def test_freed_memory_is_used_again():
  was_set, num_faults = run()
  # 50 times 1,465 pages if it is given back each time.
  assert was_set and num_faults < 5_000


@needs_glibc
def test_settings_of_the_user_are_left():
  was_set, num_faults = run(MALLOC_TRIM_THRESHOLD_='131072')
  assert not was_set and num_faults > 50_000


def test_another_c_library_is_left_as_it_is(monkeypatch):
  def no_library(name):
    raise OSError('none')

  monkeypatch.setattr(allocator.ctypes, 'CDLL', no_library)
  for name in allocator._OWN_SETTINGS:
    monkeypatch.delenv(name, raising=False)
  assert not allocator.keep_freed_memory.__wrapped__()
