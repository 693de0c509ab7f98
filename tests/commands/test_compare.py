"""Which of several networks suits a set of images best."""

import fitted_runs
import pytest
import random_runs

from inception_jax.commands import compare
from inception_jax.runs import features
from inception_jax.runtime import errors


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
  """A network, the same again, and one whose features are all the same."""
  folder = tmp_path_factory.mktemp('sources')
  made = fitted_runs.create_source(width=0.1)
  random_runs.write(made, folder / 'a')
  random_runs.write(made, folder / 'twin')
  made.variables['params']['conv1']['kernel'][:] = 0
  random_runs.write(made, folder / 'blind')
  return folder


def config_of_digits():
  config = fitted_runs.get_config(None)
  config.data.train_split = 'train[:120]'
  config.data.eval_split = 'test[:40]'
  return config


def test_the_best_comes_first_and_the_others_beside_it(sources):
  names = ('blind', 'a', 'twin')
  workdir = ','.join(str(sources / name) for name in names)
  result = compare.compare(workdir, config_of_digits(), folds=3)
  assert result['num_images'] == 160 and result['folds'] == 3
  first, twin, blind = result['sources']
  assert {first['workdir'], twin['workdir']} == {
    str(sources / 'a'),
    str(sources / 'twin'),
  }
  assert first['network'] == fitted_runs.NAME
  assert first['difference'] == twin['difference'] == 0
  assert twin['difference_interval'] == [0, 0]
  assert first['top1'] == twin['top1'] > 0.4 > blind['top1']
  low, high = blind['difference_interval']
  assert (
    low < blind['difference'] == pytest.approx(blind['top1'] - first['top1'])
  )
  assert high < 0
  # Their features are kept with them.
  assert (sources / 'blind' / 'features').exists()
  again = compare.compare(workdir, config_of_digits(), folds=3)
  without_times = [
    [{k: v for k, v in x.items() if k != 'seconds'} for x in y['sources']]
    for y in (result, again)
  ]
  assert without_times[0] == without_times[1]


def test_what_cannot_be_compared(sources, tmp_path):
  with pytest.raises(errors.InputError, match='--folds=0 must be 2 to 20'):
    compare.compare(sources / 'a', config_of_digits(), folds=0)
  with pytest.raises(errors.InputError, match=f'--workdir: .*{tmp_path}'):
    compare.compare(tmp_path, config_of_digits())


def test_features_of_a_run_that_cannot_be_written_to(sources, monkeypatch):
  create = features.answers_lib.Answers
  used = []

  def refuse(place, *rest, **more):
    if str(place).startswith(str(sources)):
      raise errors.InputError('read-only')
    used.append(place)
    return create(place, *rest, **more)

  monkeypatch.setattr(features.answers_lib, 'Answers', refuse)
  config = config_of_digits()
  config.data.train_split = 'train[:60]'
  result = compare.compare(sources / 'a', config, folds=2)
  assert result['num_images'] == 100 and not used[0].exists()
