"""Tests of the inspect mode."""

import csv
import json

import launch
import numpy as np
from PIL import Image
import pytest
import tiny_config

from inception_jax.commands import inspection
from inception_jax.data import ahead
from inception_jax.experiment import experiment
from inception_jax.runtime import errors


def test_inspect_mode(tmp_path, monkeypatch, caplog):
  monkeypatch.setattr(inspection, '_MEASURED_SECONDS', 0.2)
  output = tmp_path / 'new' / 'folder'
  with caplog.at_level('INFO'):
    status, out, err = launch.call(
      '--mode=inspect',
      f'--config={launch.TINY}',
      f'--output={output}',
      '--config.data.num_threads=1000',
    )
  assert status == 0, err[-3000:]
  result = json.loads(out.splitlines()[-1])
  assert result['output'] == str(output)
  assert result['images_per_second'] > 0
  assert result['num_threads'] == ahead.num_cores()  # No more are of use.
  assert result['splits']['train']['num_images'] == 1437
  assert result['splits']['test']['smallest']['width'] == 8
  assert 'train: 1,437 images of 10 classes' in out
  assert 'input alone: ' in caplog.text
  rows = list(csv.DictReader((output / 'classes.csv').open()))
  assert [row['class'] for row in rows] == list('0123456789')
  assert sum(int(row['train']) for row in rows) == 1437
  assert sum(int(row['test']) for row in rows) == 360
  for name in ('training_crops', 'evaluation_crops', 'augmentations'):
    with Image.open(output / f'{name}.png') as picture:
      pixels = np.asarray(picture.convert('L'))
    assert pixels.shape[1] > 800 and pixels.std() > 20


def test_fake_data_has_no_census(tmp_path):
  config = tiny_config.get_config()
  config.data.name = 'fake'
  config.train.num_train_steps = 8
  result = inspection.inspect(config, tmp_path)
  assert result['splits'] == {}
  assert not (tmp_path / 'classes.csv').exists()


def test_too_few_steps_to_measure():
  config = tiny_config.get_config()
  config.train.num_train_steps = 3
  with pytest.raises(errors.InputError, match='num_train_steps to 6'):
    inspection.measure_input(experiment.create_experiment(config))


def test_output_that_cannot_be_made(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.InputError, match='--output=.*file/x cannot be w'):
    inspection.inspect(tiny_config.get_config(), tmp_path / 'file' / 'x')
