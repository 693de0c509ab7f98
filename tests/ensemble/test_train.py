"""Tests of the training of several runs."""

import shlex

from etils import epath
import jax
import numpy as np
import pytest
import tiny_config

from configs import ensemble as paper_config
from inception_jax.ensemble import folder as ensemble_folder
from inception_jax.ensemble import train as train_ensemble
from inception_jax.experiment import config as config_lib
from inception_jax.experiment import experiment, overrides
from inception_jax.runs import not_finite, train
from inception_jax.runtime import errors, locks


def config(**section):
  result = tiny_config.get_config()
  result.ensemble = {
    'members': {'m1': {}, 'm2': {}, 'wide': {'model': {'width': 0.08}}},
    **section,
  }
  return result


def initial(member):
  state = experiment.create_experiment(member).create_state()
  return jax.tree.leaves(state.params)


def test_members_share_weights_but_not_sampling():
  _, members = train_ensemble.member_configs(config())
  seeds = [member['train']['seed'] for member in members.values()]
  assert len(set(seeds)) == 3
  first, second = initial(members['m1']), initial(members['m2'])
  for one, other in zip(first, second, strict=True):
    np.testing.assert_array_equal(one, other)
  keys = [
    jax.random.key_data(experiment.create_experiment(member).keys[1])
    for member in members.values()
  ]
  assert not np.array_equal(keys[0], keys[1])
  wide = experiment.create_experiment(members['wide'])
  assert wide.model.width == 0.08


def test_or_weights_of_their_own():
  _, members = train_ensemble.member_configs(config(same_initial_weights=False))
  pairs = zip(initial(members['m1']), initial(members['m2']), strict=True)
  assert any(not np.array_equal(*pair) for pair in pairs)


def test_members_are_trained_one_after_the_other(tmp_path, monkeypatch):
  trained = []

  def fake(member, workdir):
    trained.append((workdir.name, member['train']['seed']))
    return {'workdir': str(workdir)}

  monkeypatch.setattr(train, 'train', fake)
  result = train_ensemble.train_ensemble(config(), tmp_path / 'e')
  assert trained == [('m1', 0), ('m2', 1), ('wide', 2)]
  assert [x['workdir'] for x in result['members']] == [
    str(tmp_path / 'e' / name) for name in ('m1', 'm2', 'wide')
  ]
  trained.clear()
  train_ensemble.train_ensemble(config(only=('wide',)), tmp_path / 'e')
  assert trained == [('wide', 2)]  # With the seed that it has among all.
  trained.clear()  # As a flag gives it.
  train_ensemble.train_ensemble(config(only=('m1, wide',)), tmp_path / 'e')
  assert trained == [('m1', 0), ('wide', 2)]
  other = config()
  del other.ensemble.members.m2
  with pytest.raises(errors.InputError, match='ensemble of other members'):
    train_ensemble.train_ensemble(other, tmp_path / 'e')


@pytest.mark.parametrize('ends', [False, True])
def test_members_of_other_commands_are_left_to_them(
  ends, tmp_path, monkeypatch
):
  trained, held = [], ['m2']

  def fake(member, workdir):
    if workdir.name in held:
      raise locks.HeldError('process 7 of host box-1 trains in m2', 'wait')
    trained.append(workdir.name)
    if ends and workdir.name == 'wide':
      held.clear()
    return {'workdir': str(workdir)}

  monkeypatch.setattr(train, 'train', fake)
  if ends:  # By the time that the others are trained.
    result = train_ensemble.train_ensemble(config(), tmp_path / 'e')
    assert trained == ['m1', 'wide', 'm2']
    assert [x['workdir'] for x in result['members']] == [
      str(tmp_path / 'e' / name) for name in ('m1', 'm2', 'wide')
    ]
    return
  with pytest.raises(
    errors.PartialError,
    match=r'^1 of 3 members .* others \(process 7 of host box-1 trains in m2\)',
  ):
    train_ensemble.train_ensemble(config(), tmp_path / 'e')
  assert trained == ['m1', 'wide']


@pytest.mark.parametrize(
  'section, message',
  [
    ({'members': {}}, 'members must name at least one'),
    ({'members': {'a/b': {}}}, "'a/b' cannot be the name of a folder"),
    ({'only': ('wied',)}, 'no member; there are .*wide'),
    (
      {'members': {'m': {'modle': {}}}},
      'm.modle is no section of fields; did you mean',
    ),
    (
      {'members': {'m': {'model': {'widht': 1.0}}}},
      "member 'm': unknown field config.model.widht; .* did you mean 'width'",
    ),
    ({'member': {}}, 'unknown field config.ensemble.member'),
    ({'num_parallel': 0}, 'config.ensemble.num_parallel=0 must be .* from 1'),
    ({'num_parallel': 1.5}, 'config.ensemble.num_parallel=1.5 is of the wrong'),
  ],
)
def test_bad_sections(section, message, tmp_path):
  bad = config().to_dict()
  bad['ensemble'].update(section)
  with pytest.raises(errors.InputError, match=message):
    train_ensemble.train_ensemble(bad, tmp_path / 'e')
  assert not (tmp_path / 'e').exists()


def test_other_modes_leave_the_section_out():
  assert config_lib.sections(config()) == config_lib.sections(
    tiny_config.get_config()
  )


def test_the_papers_seven():
  _, members = train_ensemble.member_configs(paper_config.get_config())
  assert len(members) == 7
  widths = [member['model']['width'] for member in members.values()]
  assert sorted(widths)[:6] == [1.0] * 6 and max(widths) > 1
  assert {m['train']['init_seed'] for m in members.values()} == {0}


def test_the_remedy_of_a_member_that_diverges_is_for_it_alone(tmp_path):
  _, members = train_ensemble.member_configs(config())
  folder = epath.Path(tmp_path)
  ensemble_folder.describe(folder, list(members))
  built = experiment.create_experiment(members['wide'])
  text = not_finite.remedy(built, folder / 'wide', 3)
  assert text.startswith(f'move {tmp_path}/wide away, and add --config.')
  change = next(x for x in shlex.split(text) if x.startswith('--config'))
  changed = overrides.apply(config(), overrides.take([change])[1])
  _, after = train_ensemble.member_configs(changed)
  rates = {k: x['learning_rate']['init_value'] for k, x in after.items()}
  rate = members['wide']['learning_rate']['init_value']
  assert rates == {'m1': rate, 'm2': rate, 'wide': rate / 2}
