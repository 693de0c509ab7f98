"""Runs that fit the classifier, alone or before they train all."""

import json
import types

from etils import epath
import fitted_runs
import jax
import numpy as np
import pytest
import random_runs

from inception_jax.ensemble import folder as ensemble_folder
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.runs import (
  announcement,
  checkpoint,
  features,
  last_layer,
  named_arrays,
  resume,
  run,
  train,
  two_steps,
)
from inception_jax.runtime import errors


def log(said):
  return lambda text, *values: said.append(text % values)


@pytest.fixture(scope='module')
def fitted(tmp_path_factory):
  """A source, and a run whose classifier was fitted to its features."""
  folder = tmp_path_factory.mktemp('last_layer')
  made = fitted_runs.create_source()
  source = random_runs.write(made, folder / 'source')
  said = []
  with pytest.MonkeyPatch.context() as patch:
    for module in (last_layer, announcement):
      # With a `logging` of its own, since all modules share absl's.
      patch.setattr(module, 'logging', types.SimpleNamespace(info=log(said)))
    result = train.train(fitted_runs.get_config(source), folder / 'run')
  return made, folder, result, said


def test_only_the_classifier_is_new_and_it_is_right(fitted):
  made, folder, result, said = fitted
  loaded = run.load_run(folder / 'run')
  before, after = (named_arrays.flatten(x.variables) for x in (made, loaded))
  for name, value in before.items():
    if 'classifier' not in name:
      np.testing.assert_array_equal(after[name], value, name)
  # A random network's features tell digits well; by chance it is 0.1.
  assert result['step'] == loaded.step == 0 and loaded.weights == 'raw'
  assert result['evaluation']['raw']['top1'] > 0.5
  assert len(loaded.labels) == 10
  report = json.loads((folder / 'run' / last_layer.FILE).read_text())
  assert report['num_images'] == 240 and report['folds'] == 5
  (line,) = [x for x in said if 'last layer: ' in x]
  assert (
    'by 5 folds: top-1 of what was left out' in line
    and '95 % confidence' in line
  )
  assert any('no step: the classifier is fitted exactly' in x for x in said)
  stored = json.loads((folder / 'run' / 'training.json').read_text())
  assert stored == {'num_train_steps': 0}


def test_the_same_command_again_does_nothing(fitted, monkeypatch):
  _, folder, result, _ = fitted
  monkeypatch.setattr(last_layer, 'fit', None)
  monkeypatch.setattr(experiment_lib.Experiment, 'evaluate', None)
  config = fitted_runs.get_config(folder / 'source')
  assert train.train(config, folder / 'run') == result


def test_features_are_computed_once(fitted, tmp_path, monkeypatch):
  _, folder, result, _ = fitted
  kept = list((folder / 'source' / 'features').iterdir())
  assert len(kept) == 1
  asked = fitted_runs.record_missing(monkeypatch)
  again = train.train(
    fitted_runs.get_config(folder / 'source'), tmp_path / 'again'
  )
  assert again['evaluation'] == result['evaluation'] and not asked
  balanced = fitted_runs.get_config(
    folder / 'source', class_weights='balanced', folds=3
  )
  train.train(balanced, tmp_path / 'balanced')
  assert not asked
  # Another set of images has features of its own.
  other = fitted_runs.get_config(folder / 'source')
  other.data.train_split = 'train[:120]'
  train.train(other, tmp_path / 'other')
  assert asked == [(0, 120)]


def test_a_source_that_cannot_be_written_to(fitted, tmp_path, monkeypatch):
  _, folder, _, _ = fitted
  create = features.answers_lib.Answers

  def refuse(place, *rest, **more):
    if str(place).startswith(str(folder / 'source')):
      raise errors.InputError('read-only')
    return create(place, *rest, **more)

  monkeypatch.setattr(features.answers_lib, 'Answers', refuse)
  config = fitted_runs.get_config(folder / 'source')
  config.data.train_split = 'train[:120]'
  train.train(config, tmp_path / 'run')
  assert list((tmp_path / 'run' / 'features').iterdir())


def start_of(config, workdir):
  """The classifier that a run starts training with, and its experiment."""
  experiment = experiment_lib.create_experiment(config)
  source = resume.load_source(experiment, epath.Path(workdir))
  checkpoints = checkpoint.Checkpoints(workdir / 'checkpoints')
  state, _ = resume.restore_or_init(experiment, checkpoints, source)
  checkpoints.close()
  return jax.device_get(state.params['classifier']), experiment


@pytest.fixture(scope='module')
def tuned(fitted, tmp_path_factory):
  """A run that fits the classifier first, and then trains all."""
  _, folder, _, _ = fitted
  workdir = tmp_path_factory.mktemp('two_steps') / 'run'
  config = fitted_runs.get_config(folder / 'source', freeze=None, fit=True)
  return config, workdir, train.train(config, workdir)


def test_all_of_the_network_starts_at_the_fitted_classifier(fitted, tuned):
  _, folder, alone, _ = fitted
  _, workdir, result = tuned
  expected = run.load_run(folder / 'run').variables
  first = run.load_run(workdir / 'last_layer')
  jax.tree.map(np.testing.assert_array_equal, first.variables, expected)
  assert result['step'] == 4
  assert result['used'] == str(workdir / 'last_layer')
  after = run.load_run(workdir, 'raw').variables['params']['classifier']
  for name, value in after.items():  # The rate is almost nothing.
    np.testing.assert_allclose(
      value, expected['params']['classifier'][name], atol=1e-5
    )
  # A few steps move the statistics of a random network's batch norm.
  stored = json.loads((workdir / 'used.json').read_text())
  assert stored['run'] == 'last_layer'
  top1 = alone['evaluation']['raw']['top1']
  assert stored['top1'] == {
    '.': result['evaluation']['ema']['top1'],
    'last_layer': top1,
  }


def test_the_better_of_the_two_is_used(tuned, monkeypatch):
  config, workdir, result = tuned
  built = experiment_lib.create_experiment(config)
  first = run.load_run(workdir / 'last_layer')
  for top1, expected in ((0.01, 'last_layer'), (0.99, '.')):
    scores = {**result['evaluation']['ema'], 'top1': top1}
    evaluation = {'raw': {**scores, 'top1': 0.5}, 'ema': scores}
    two_steps.choose(built, epath.Path(workdir), evaluation)
    stored = json.loads((workdir / 'used.json').read_text())
    assert stored['run'] == expected and stored['top1']['.'] == top1
    used = run.load_run(workdir)
    assert (used.digest == first.digest) == (expected == 'last_layer')
    assert run.load_run(workdir, 'ema').digest != first.digest
  (workdir / 'used.json').unlink()
  two_steps.choose(built, epath.Path(workdir), {})
  metrics = workdir / 'last_layer' / 'metrics.jsonl'
  before = metrics.read_bytes()
  metrics.unlink()
  two_steps.choose(built, epath.Path(workdir), evaluation)
  assert not (workdir / 'used.json').exists()
  metrics.write_bytes(before)
  # The same command again, with nothing left to do, says the same.
  monkeypatch.setattr(last_layer, 'fit', None)
  assert train.train(config, workdir) == result
  (tmp,) = ensemble_folder.used([epath.Path(workdir)], None)
  assert str(tmp) == result['used']
  assert ensemble_folder.used([workdir], 'raw') == [workdir]


@pytest.mark.parametrize(
  'freeze, options',
  [
    (fitted_runs.ALONE, {'fit': False}),
    (fitted_runs.ALONE[:1], {}),
    (None, {}),
  ],
)
def test_else_it_is_trained_from_zero(
  fitted, tmp_path, monkeypatch, freeze, options
):
  _, folder, _, _ = fitted
  monkeypatch.setattr(last_layer, 'fit', None)
  config = fitted_runs.get_config(folder / 'source', freeze, **options)
  start, experiment = start_of(config, tmp_path)
  assert not last_layer.is_all(experiment, epath.Path(tmp_path))
  assert start['kernel'].shape == (50, 10)
  assert not start['kernel'].any() and not start['bias'].any()


def test_weights_that_are_replaced_are_not_drawn(fitted, tmp_path, monkeypatch):
  _, folder, _, _ = fitted
  config = fitted_runs.get_config(folder / 'source', None)
  config.optimizer.name = 'rmsprop'  # Its state does not begin at zero.
  experiment = experiment_lib.create_experiment(config)
  asked, states = [], []
  create = experiment_lib.Experiment.create_state

  def create_state(self, is_blank=False):
    asked.append(is_blank)
    return create(self, is_blank)

  monkeypatch.setattr(experiment_lib.Experiment, 'create_state', create_state)
  for name in ('blank', 'drawn'):
    source = resume.load_source(experiment, epath.Path(tmp_path / name))
    checkpoints = checkpoint.Checkpoints(tmp_path / name / 'checkpoints')
    states.append(resume.restore_or_init(experiment, checkpoints, source)[0])
    checkpoints.close()
    assert asked[-1] == (name == 'blank')
    monkeypatch.setattr(resume, '_is_replaced', lambda *_: False)
  jax.tree.map(np.testing.assert_array_equal, *map(jax.device_get, states))


def test_a_run_that_has_begun_to_train_it_goes_on_so(fitted, monkeypatch):
  _, folder, _, _ = fitted
  experiment = experiment_lib.create_experiment(
    fitted_runs.get_config(folder / 'source')
  )
  workdir = epath.Path(folder / 'run')
  assert last_layer.is_all(experiment, workdir)
  monkeypatch.setattr(checkpoint.Checkpoints, 'steps', lambda self: [4])
  assert not last_layer.is_all(experiment, workdir)


def test_what_does_not_fit_is_a_sentence(fitted, tmp_path, monkeypatch):
  _, folder, _, _ = fitted
  config = fitted_runs.get_config(folder / 'source')
  with monkeypatch.context() as patch:
    patch.setattr(last_layer, '_MAX_NUMBERS', 1000)
    with pytest.raises(errors.InputError, match='too many .*fit=False'):
      train.train(config, tmp_path / 'run')
  monkeypatch.setattr(last_layer.cluster, 'num_processes', lambda: 2)
  with pytest.raises(errors.InputError, match='in one process'):
    last_layer.check_size(10, 1, 10)
