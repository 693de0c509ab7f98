"""Tests of the sections of a config and of names that fields once had."""

import pytest
import tiny_config

from inception_jax.ensemble import train as train_ensemble
from inception_jax.experiment import config as config_lib
from inception_jax.experiment import fields
from inception_jax.runtime import errors


def old_and_new():
  """The same config with an earlier name of a field and with its own."""
  new = fields.plain(tiny_config.get_config())
  old = fields.plain(tiny_config.get_config())
  old['train']['polyak_start_epoch'] = old['averaging'].pop(
    'polyak_start_epoch'
  )
  assert old != new
  return old, new


def test_earlier_names_are_read():
  old, new = old_and_new()
  assert config_lib.sections(old) == config_lib.sections(new)
  assert 'polyak_start_epoch' in config_lib.sections(old)['averaging']


def test_none_under_an_earlier_name_is_none():
  old, new = old_and_new()
  old['train']['polyak_start_epoch'] = None
  found = config_lib.sections(old)
  assert found['averaging']['polyak_start_epoch'] is None
  assert 'polyak_start_epoch' not in found['train']
  # It says that there is to be no such average, so it is not overruled.
  new['train']['polyak_start_epoch'] = None
  with pytest.raises(errors.InputError, match='their values differ'):
    config_lib.sections(new)


def test_a_member_of_an_ensemble_may_use_the_earlier_name():
  config = tiny_config.get_config('pair')
  config.ensemble.members.m2 = {'train': {'polyak_start_epoch': None}}
  _, members = train_ensemble.member_configs(config)
  assert members['m1']['averaging']['polyak_start_epoch'] is not None
  assert members['m2']['averaging']['polyak_start_epoch'] is None


@pytest.mark.parametrize('section', [None, 3, 'x'])
def test_a_section_that_is_none_is_named(section):
  old, _ = old_and_new()
  old['averaging'] = section
  with pytest.raises(errors.InputError, match='config.averaging is missing'):
    config_lib.sections(old)


def test_both_names_must_agree():
  _, new = old_and_new()
  same = new['averaging']['polyak_start_epoch']
  new['train']['polyak_start_epoch'] = same
  assert config_lib.sections(new)['averaging']['polyak_start_epoch'] == same
  new['train']['polyak_start_epoch'] = same + 1
  with pytest.raises(
    errors.InputError, match='train.polyak_start_epoch is the'
  ):
    config_lib.sections(new)


def test_the_argument_is_left_alone():
  old, _ = old_and_new()
  config_lib.with_current_names(old)
  assert 'polyak_start_epoch' in old['train']


def test_folders_are_expanded_and_checked(monkeypatch, tmp_path):
  monkeypatch.setenv('HOME', str(tmp_path))
  given = tiny_config.get_config()
  given.init_from = '~/a'
  given.data.data_dir = '~/b'
  found = config_lib.sections(given)
  assert found['init_from'] == f'{tmp_path}/a'
  assert found['data']['data_dir'] == f'{tmp_path}/b'
  assert given.data.data_dir == '~/b'
  for name, path in (
    ('data_dir', str(tmp_path / '[x]')),
    ('data_dir', 's3://x'),
    ('init_from', 'https://x.org'),
    ('init_from', ''),
  ):
    wrong = tiny_config.get_config()
    with wrong.unlocked():
      (wrong if name == 'init_from' else wrong.data)[name] = path
    with pytest.raises(errors.InputError, match=name):
      config_lib.sections(wrong)
