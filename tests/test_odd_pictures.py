"""From a folder of oddly encoded photographs to an evaluation of all of it."""

import pathlib

import launch
import pytest
from sklearn import datasets

from benchmarks import odd_pictures

pytestmark = pytest.mark.slow

_NUM_PICTURES = 2 * 2 * len(odd_pictures.KINDS)


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """The data directory, what prepare said, and what can be no picture."""
  root = tmp_path_factory.mktemp('odd')
  images = pathlib.Path(datasets.__file__).parent / 'images'
  photographs = [path.read_bytes() for path in sorted(images.glob('*.jpg'))]
  damaged = odd_pictures.write(photographs, root / 'pictures', _NUM_PICTURES)
  result = launch.called(
    '--mode=prepare',
    '--config=configs/folder.py',
    '--config.data.name=odd',
    f'--config.data.data_dir={root / "data"}',
    f'--input={root / "pictures"}',
  )
  return root / 'data', result, damaged


def test_every_picture_becomes_a_record(prepared):
  _, result, damaged = prepared
  assert {x['file'] for x in result['left_out']} == set(damaged)
  splits = result['splits'].values()
  assert sum(split['num_images'] for split in splits) == _NUM_PICTURES
  assert not any(split['unreadable'] for split in splits)
  train = result['splits']['train']
  assert sum(train['class_counts'].values()) == train['num_images']
  assert train['smallest']['width'] == train['smallest']['height'] == 1


def test_trained_on_and_evaluated_once_each(prepared, tmp_path):
  data_dir, result, _ = prepared
  trained = launch.called(
    f'--config={launch.TINY}',
    f'--workdir={tmp_path / "run"}',
    '--config.data.name=odd',
    f'--config.data.data_dir={data_dir}',
    '--config.data.eval_split=train+validation',
    '--config.train.num_train_steps=20',
    '--config.train.eval_every_steps=20',
    '--config.train.checkpoint_every_steps=20',
    '--config.averaging.polyak_start_epoch=0.0',
    '--config.train.eval_batch_size=16',
  )
  assert trained['step'] == 20
  for found in trained['evaluation'].values():
    assert found['num_images'] == _NUM_PICTURES
    assert 'num_skipped' not in found
