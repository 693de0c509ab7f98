"""Preparing through the command line, and killed on the way."""

import json
import pathlib
import time

import launch
import numpy as np
from PIL import Image
import pytest

from inception_jax.data import records
from inception_jax.data.preparation import prepare


@pytest.fixture
def pictures(tmp_path):
  """Three hundred noisy pictures of two classes."""
  for i in range(300):
    pixels = np.random.RandomState(i).randint(0, 256, (64, 64, 3))
    path = tmp_path / 'pictures' / f'class{i % 2}' / f'{i}.bmp'
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
  (tmp_path / 'pictures' / 'class0' / 'empty.jpg').touch()
  return tmp_path / 'pictures'


def arguments(tmp_path, pictures=None):
  chosen = [
    '--mode=prepare',
    '--config=configs/folder.py',
    f'--config.data.data_dir={tmp_path / "data"}',
  ]
  return chosen + ([f'--input={pictures}'] if pictures else [])


def test_prepare_mode(tmp_path, pictures):
  status, out, err = launch.run(*arguments(tmp_path, pictures))
  assert status == 0, err[-3000:]
  (line,) = out.splitlines()  # Reports and progress are elsewhere.
  result = json.loads(line)
  assert result['name'] == 'folder'
  assert result['splits']['train']['num_images'] == 271
  assert result['splits']['validation']['num_images'] == 29
  assert result['left_out'] == [
    {'file': 'class0/empty.jpg', 'reason': 'the file is empty'}
  ]
  for text in ('Checking folder train: 100%', 'class0/empty.jpg: the file is'):
    assert text in err
  # What the config then trains on, without the folder.
  opened = records.open_records('folder', 'train', tmp_path / 'data')
  assert opened.class_names == ('class0', 'class1') and len(opened) == 271


@pytest.mark.slow
def test_killed_in_the_middle_and_prepared_again(tmp_path, pictures):
  process = launch.start(*arguments(tmp_path, pictures))
  staged = tmp_path / 'data' / '.preparing_folder' / 'folder'
  deadline = time.monotonic() + 120
  while not staged.exists() and time.monotonic() < deadline:
    time.sleep(0.01)
    assert process.poll() is None, launch.finish(process)
  process.kill()
  launch.finish(process)
  assert sorted(p.name for p in (tmp_path / 'data').iterdir()) == [
    '.preparing_folder',
    '.preparing_folder.lock',
  ]
  result = prepare.prepare('folder', tmp_path / 'data', str(pictures))
  assert result['splits']['train']['num_images'] == 271
  assert [p.name for p in (tmp_path / 'data').iterdir()] == ['folder']


def test_bad_input_gets_a_sentence(tmp_path):
  status, out, err = launch.call(*arguments(tmp_path, '/nowhere/at/all'))
  assert status == 1 and not out and 'Traceback' not in err
  assert err.splitlines()[-1].startswith(
    'error: --input=/nowhere/at/all does not exist'
  )
  assert not pathlib.Path(tmp_path / 'data').exists()


def test_records_are_not_written_to_buckets(any_bucket):
  status, _, said = launch.call(
    '--mode=prepare',
    '--config=configs/digits.py',
    '--config.data.data_dir=gs://bucket/data',
  )
  assert status == 1
  assert 'give one, and --copy_to=gs://bucket/data' in said
