"""Predictions by folds of runs that fit their last layer."""

import json
import shutil
import types

from etils import epath
import fitted_runs
import numpy as np
import pytest
import random_runs

from inception_jax.commands import evaluate, report
from inception_jax.ensemble import out_of_fold
from inception_jax.evaluation import protocol as protocol_lib
from inception_jax.evaluation import scores
from inception_jax.runs import last_layer, run, train
from inception_jax.runtime import errors

SINGLE = protocol_lib.Protocol()


@pytest.fixture(scope='module')
def fitted(tmp_path_factory):
  """A run that fits its last layer to 120 digits, and has 40 to evaluate on."""
  folder = tmp_path_factory.mktemp('folds')
  source = random_runs.write(fitted_runs.create_source(), folder / 'source')
  config = fitted_runs.get_config(source)
  config.data.train_split = 'train[:120]'
  config.data.eval_split = 'test[:40]'
  train.train(config, folder / 'run')
  return folder


def say(said):
  return types.SimpleNamespace(
    info=lambda text, *values: said.append(text % values)
  )


def test_few_images_are_predicted_by_folds(fitted, monkeypatch):
  said = []
  monkeypatch.setattr(out_of_fold, 'logging', say(said))
  result = evaluate.evaluate(fitted / 'run', SINGLE)
  assert result['num_images'] == 160 and result['folds'] == 5
  low, high = result['top1_interval']
  assert 0.2 < low < result['top1'] < high < 1
  assert '40 images to evaluate on, fewer than 100' in said[0]
  # What was predicted once is kept.
  monkeypatch.setattr(out_of_fold, 'left_out', None)
  assert evaluate.evaluate(fitted / 'run', SINGLE) == result
  assert evaluate.evaluate(fitted / 'run', SINGLE, folds=5) == result


def test_the_validation_part_alone_on_request(fitted):
  result = evaluate.evaluate(fitted / 'run', SINGLE, folds=0)
  assert result['num_images'] == 40 and 'folds' not in result
  lines = (fitted / 'run' / 'metrics.jsonl').read_text().splitlines()
  trained = json.loads(lines[-1])['evaluation']['raw']
  assert result['top1'] == trained['top1']
  # A config says what to evaluate on.
  config = fitted_runs.get_config(fitted / 'source')
  config.data.eval_split = 'test[:40]'
  assert evaluate.evaluate(fitted / 'run', SINGLE, config=config) == result


def test_enough_images_are_evaluated_as_ever(fitted, monkeypatch):
  monkeypatch.setattr(scores, 'FEW_IMAGES', 40)
  assert evaluate.evaluate(fitted / 'run', SINGLE)['num_images'] == 40
  assert evaluate.evaluate(fitted / 'run', SINGLE, folds=3)['folds'] == 3


def test_the_report_is_of_all_images(fitted, tmp_path):
  result = report.report(fitted / 'run', SINGLE, tmp_path / 'report')
  assert result['folds'] == 5 and result['num_images'] == 160
  text = (tmp_path / 'report' / 'report.md').read_text()
  assert 'fitted without it and the others of its fold, of 5' in text
  assert (tmp_path / 'report' / 'mistakes.png').exists()


def test_each_image_is_predicted_by_a_layer_without_it(fitted, tmp_path):
  predictions = out_of_fold.predict_set(
    [epath.Path(fitted / 'run')], SINGLE, answers=tmp_path, folds=4
  )
  (batch,) = predictions.ensemble.read(None, 'mean_probability')
  loaded = run.load_run(fitted / 'run')
  by_run = loaded.predict(
    list(
      out_of_fold.dataset_lib.eval_images(
        predictions.dataset, np.arange(120), loaded.eval_crop
      )
    ),
    top_k=1,
  )
  own = np.array([x[0]['index'] for x in by_run])
  left_out = batch.log_probs[0, :120].argmax(1)
  labels = batch.labels[:120]
  # The run was fitted to these.
  assert (own == labels).mean() > (left_out == labels).mean()


@pytest.mark.parametrize(
  'more, sentence',
  [
    ({'folds': 1}, '--folds=1 must be 2 to 20'),
    ({'folds': 21}, '--folds=21 must be 2 to 20'),
    ({'folds': 5, 'weights': 'raw'}, '--weights is of no use with --folds=5'),
    ({'folds': 5, 'config': {}}, '--config is of no use with --folds=5'),
  ],
)
def test_what_does_not_go_with_folds(fitted, more, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    out_of_fold.predict_set([fitted / 'run'], SINGLE, **more)
  many = protocol_lib.Protocol('ten_crop')
  with pytest.raises(errors.InputError, match='--protocol is of no use'):
    out_of_fold.predict_set([fitted / 'run'], many, folds=5)


def test_a_run_without_a_fitted_layer(fitted, tmp_path):
  with pytest.raises(errors.InputError, match='source is none; leave --folds'):
    out_of_fold.predict_set([epath.Path(fitted / 'source')], SINGLE, folds=5)
  first = tmp_path / 'last_layer'
  first.mkdir()
  (first / last_layer.FILE).write_text('{}')
  config = (fitted / 'run' / 'config.json').read_text()
  (tmp_path / 'config.json').write_text(config)
  with pytest.raises(errors.InputError, match=f'give --workdir={first}'):
    out_of_fold.predict_set([epath.Path(tmp_path)], SINGLE, folds=5)


@pytest.mark.parametrize(
  'train_split, eval_split, expected',
  [
    ('train', 'validation', 'train+validation'),
    (None, None, 'train+validation'),
    ('train+validation', 'test', 'train+validation+test'),
    ('train + validation', 'validation', 'train+validation'),
    ('train', 'train', 'train'),
  ],
)
def test_all_images_that_a_config_names(train_split, eval_split, expected):
  data = {'train_split': train_split, 'eval_split': eval_split, 'name': 'x'}
  found = out_of_fold.all_images(data)
  assert found == {**data, 'eval_split': expected}


def test_features_of_a_run_are_computed_once(fitted, tmp_path, monkeypatch):
  out_of_fold.predict_set(
    [epath.Path(fitted / 'run')], SINGLE, answers=tmp_path / 'a', folds=2
  )
  asked = fitted_runs.record_missing(monkeypatch)
  out_of_fold.predict_set(
    [epath.Path(fitted / 'run')], SINGLE, answers=tmp_path / 'b', folds=3
  )
  assert not asked


def test_runs_of_other_images_are_not_predicted_together(fitted, tmp_path):
  config = fitted_runs.get_config(fitted / 'source')
  config.data.train_split = 'train[:60]'
  config.data.eval_split = 'test[:40]'
  train.train(config, tmp_path / 'other')
  workdirs = [epath.Path(fitted / 'run'), epath.Path(tmp_path / 'other')]
  with pytest.raises(errors.InputError, match=r'other is of .*train\[:60\]'):
    out_of_fold.predict_set(workdirs, SINGLE, folds=2)


def test_data_that_are_gone_are_said_as_ever(fitted, tmp_path):
  shutil.copytree(fitted / 'run', tmp_path / 'run')
  path = tmp_path / 'run' / 'config.json'
  config = json.loads(path.read_text())
  config['data']['name'] = 'gone'
  path.write_text(json.dumps(config))
  with pytest.raises(errors.InputError, match='data that lie elsewhere, add'):
    evaluate.evaluate(tmp_path / 'run', SINGLE)
