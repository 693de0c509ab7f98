"""Damaged files, of a few hundred seeds that no run has had before.

`benchmarks/import_fuzz.py` makes them, and reads many more.
"""

import time

from benchmarks import import_fuzz

NUM_FILES = 150


def assert_read_or_refused(source, folder):
  """Every damaged file of a source is read, or refused with one line."""
  first = time.time_ns() // 1000
  print(f'{source}: seeds from {first}')
  counts = {'read': 0, 'refused': 0}
  with import_fuzz.small_networks():
    for seed in range(first, first + NUM_FILES):
      files = import_fuzz.mutant(source, seed)
      found = import_fuzz.outcome(source, files, folder)
      assert found in counts, f'{source}, seed {seed}: {found}'
      counts[found] += 1
  assert counts['refused'] > NUM_FILES // 3
