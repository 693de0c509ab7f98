"""Tests of what the C library does with freed memory."""

import os
import platform
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from inception_jax.data import allocator, batch_decoding, crop_rules

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


@pytest.fixture
def clean_environment(monkeypatch):
  for name in list(os.environ):
    if name.startswith('MALLOC_') or name == 'GLIBC_TUNABLES':
      monkeypatch.delenv(name)
  return monkeypatch


def run():
  found = subprocess.run(
    [sys.executable, '-c', _USE], capture_output=True, text=True, check=True
  )
  was_set, num_faults = found.stdout.split()
  return was_set == 'True', int(num_faults)


@needs_glibc
def test_freed_memory_is_used_again(clean_environment):
  was_set, num_faults = run()
  # 50 times 1,465 pages if it is given back each time.
  assert was_set and num_faults < 5_000


@needs_glibc
@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('MALLOC_TRIM_THRESHOLD_', '131072'),
    ('MALLOC_MMAP_THRESHOLD_', '131072'),
    ('GLIBC_TUNABLES', 'glibc.malloc.trim_threshold=131072'),
  ],
)
def test_settings_of_the_user_are_left(name, value, clean_environment):
  clean_environment.setenv(name, value)
  was_set, num_faults = run()
  assert not was_set and num_faults > 50_000


@pytest.mark.parametrize(
  ('name', 'value', 'is_own'),
  [
    ('MALLOC_ARENA_MAX', '2', True),
    ('GLIBC_TUNABLES', 'glibc.cpu.x86_ibt=off:glibc.malloc.arena_max=2', True),
    ('GLIBC_TUNABLES', 'glibc.cpu.x86_ibt=off', False),
  ],
)
def test_what_counts_as_a_setting(name, value, is_own, clean_environment):
  clean_environment.setenv(name, value)
  assert allocator._has_own_settings() == is_own


def test_another_c_library_is_left_as_it_is(clean_environment):
  library = types.SimpleNamespace()
  clean_environment.setattr(allocator.ctypes, 'CDLL', lambda name: library)
  assert not allocator.keep_freed_memory.__wrapped__()


def test_decoding_keeps_memory(monkeypatch):
  calls = []
  monkeypatch.setattr(allocator, 'keep_freed_memory', lambda: calls.append(1))
  png = tf.io.encode_png(np.zeros((9, 9, 3), np.uint8))[tf.newaxis]
  batch_decoding.decode_batch(
    png,
    np.zeros((1, 1), np.float32),
    crop_rules.EvaluationCrop(8, 'center_square'),
    num_threads=1,
  )
  assert calls
