"""Tests of sets with more files than a process may have open."""

import errno
import re
import resource
import subprocess
import sys

import numpy as np
from PIL import Image
import pytest

from inception_jax.data import open_files
from inception_jax.runtime import errors

# Prepares a folder, a file an image, and reads all of it at random, under a
# soft and a hard limit.
_PROGRAM = """
import resource, sys
import numpy as np
from tensorflow_datasets.core.utils import shard_utils
from inception_jax.data import crop_rules, open_files, pipeline, records
from inception_jax.data.preparation import prepare
from inception_jax.runtime import errors
source, data_dir, soft, hard, checks = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_NOFILE, (int(soft), int(hard)))
shard_utils.ShardConfig.get_number_shards = lambda self, size, number: number
if checks == 'no':
  open_files.check = lambda name, num_files: None
try:
  prepare.prepare('many', data_dir, source)
  opened = records.open_records('many', 'train', data_dir)
  batches = pipeline.train_batches(
    opened, seed=0, start_step=0, num_train_steps=8, batch_size=50,
    slots=np.arange(50), crop=crop_rules.EvaluationCrop(8, 'center_square'),
  )
  print(len(opened), sum(len(batch['label']) for batch in batches))
except errors.InputError as error:
  sys.exit(str(error))
"""
_NUM_PICTURES = 440


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
  root = tmp_path_factory.mktemp('pictures')
  for name in 'ab':
    (root / name).mkdir()
    for i in range(_NUM_PICTURES // 2):
      pixels = np.full((8, 8, 3), i, np.uint8)
      Image.fromarray(pixels).save(root / name / f'{i}.png')
  return root


def run(pictures, data_dir, soft, hard, checks):
  done = subprocess.run(
    [sys.executable, '-c', _PROGRAM, pictures, data_dir, soft, hard, checks],
    capture_output=True,
    text=True,
    check=False,
  )
  return done.returncode, done.stdout, done.stderr.strip().splitlines()


def test_a_low_limit_is_raised(pictures, tmp_path):
  _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  status, out, err = run(pictures, tmp_path / 'data', '300', str(hard), 'yes')
  assert status == 0, err[-5:]
  assert out.splitlines()[-1] == f'{_NUM_PICTURES * 9 // 10} 400'


@pytest.mark.parametrize(
  ('checks', 'message'),
  [
    ('yes', "'many' needs 396 files open at a time, .* have 300 here"),
    # If something else has more open than is counted on.
    ('no', 'its files are more than a process may have open here; raise that'),
  ],
)
def test_a_limit_that_cannot_be_raised(checks, message, pictures, tmp_path):
  status, _, err = run(pictures, tmp_path / 'data', '300', '300', checks)
  assert status == 1
  assert re.search(message, err[-1]), err[-3:]
  assert 'delete' not in err[-1]
  assert not list((tmp_path / 'data').iterdir())


def test_what_is_needed_is_named(monkeypatch):
  monkeypatch.setattr(resource, 'getrlimit', lambda which: (1024, 1024))
  monkeypatch.setattr(resource, 'setrlimit', lambda which, limits: None)
  open_files.check('a set', 100)
  with pytest.raises(
    errors.InputError,
    match=r'a set needs 1,024 files .* 1,024 here, .* \(`ulimit -n 1[1-9]\d\d`',
  ):
    open_files.check('a set', 1024)


def test_an_unlimited_number_may_be_less_than_that(monkeypatch):
  tried = []

  def set_limit(which, limits):
    tried.append(limits)
    if limits[0] == resource.RLIM_INFINITY or limits[0] > 20_000:
      raise ValueError('current limit exceeds maximum limit')

  unlimited = (256, resource.RLIM_INFINITY)
  monkeypatch.setattr(resource, 'getrlimit', lambda which: unlimited)
  monkeypatch.setattr(resource, 'setrlimit', set_limit)
  open_files.raise_limit()
  assert tried[-1] == (10_240, resource.RLIM_INFINITY)


@pytest.mark.parametrize(
  ('error', 'expected'),
  [
    (OSError(errno.EMFILE, 'x'), True),
    (RuntimeError('open: Too many open files; reading a'), True),
    (OSError(errno.EACCES, 'x'), False),
  ],
)
def test_errors_are_told_apart(error, expected):
  assert open_files.are_too_many(error) is expected
