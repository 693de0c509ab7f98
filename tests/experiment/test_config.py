"""Tests of the sections of a config and of names that fields once had."""

import pytest
import tiny_config

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


def test_none_under_an_earlier_name_is_absent():
  _, new = old_and_new()
  new['train']['polyak_start_epoch'] = None
  assert 'polyak_start_epoch' not in config_lib.sections(new)['train']


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
