"""Tests of the importers on damaged files."""

import pytest

pytest.importorskip('tensorflow')

import damaged_files

from benchmarks import import_fuzz
from inception_jax.runtime import errors
from inception_jax.weights import tf_slim

# Of TensorFlow a few take long; those that need PyTorch are in tests/parity.
SOURCES = [
  source
  for source in import_fuzz.SOURCES
  if not source.startswith(('tf_', 'torchvision_pth'))
]


@pytest.mark.parametrize('source', SOURCES)
def test_damaged_files_are_read_or_refused(source, tmp_path):
  damaged_files.assert_read_or_refused(source, tmp_path)


def test_checkpoint_that_ends_tensorflow_is_refused(tmp_path):
  """One of its entries is no message, and the checksum fits."""
  files = import_fuzz.files_of('tf_slim')
  (index,) = (x for x in files if x.endswith('.index'))
  files = {**files, index: import_fuzz.with_broken_entry(files[index])}
  for name, data in files.items():
    (tmp_path / name).write_bytes(data)
  with pytest.raises(errors.InputError, match='gives up on it: .* ended with'):
    tf_slim.read(tmp_path / 'x.ckpt')
