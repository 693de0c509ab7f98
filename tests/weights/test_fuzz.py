"""Damaged files, of a few hundred seeds that no run has had before.

`benchmarks/import_fuzz.py` makes them, and reads many more.
"""

import time

import pytest

pytest.importorskip('tensorflow')
pytest.importorskip('safetensors')

from benchmarks import import_fuzz
from inception_jax import errors
from inception_jax.weights import tf_slim

NUM_FILES = 150


@pytest.mark.parametrize(
  'source', [x for x in import_fuzz.SOURCES if not x.startswith('tf_')]
)
def test_damaged_files_are_read_or_refused(source, tmp_path):
  if source.startswith('torchvision_pth'):
    pytest.importorskip('torch')
  first = time.time_ns() // 1000
  print(f'{source}: seeds from {first}')
  counts = {'read': 0, 'refused': 0}
  with import_fuzz.small_networks():
    for seed in range(first, first + NUM_FILES):
      files = import_fuzz.mutant(source, seed)
      found = import_fuzz.outcome(source, files, tmp_path)
      assert found in counts, f'{source}, seed {seed}: {found}'
      counts[found] += 1
  assert counts['refused'] > NUM_FILES // 3


def test_checkpoint_that_ends_tensorflow_is_refused(tmp_path):
  """One of its entries is no message, and the checksum fits."""
  files = import_fuzz.files_of('tf_slim')
  (index,) = (x for x in files if x.endswith('.index'))
  files = {**files, index: import_fuzz.with_broken_entry(files[index])}
  for name, data in files.items():
    (tmp_path / name).write_bytes(data)
  with pytest.raises(errors.InputError, match='gives up on it: .* ended with'):
    tf_slim.read(tmp_path / 'x.ckpt')
