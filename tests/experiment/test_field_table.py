"""Tests of what is known of every field of a config."""

import importlib
import math
import pathlib
import re

import pytest
import tiny_config

from inception_jax.experiment import config as config_lib
from inception_jax.experiment import experiment, field_table, fields
from inception_jax.runs import directory
from inception_jax.runtime import errors

FIELDS = field_table.fields()
CONFIGS = sorted(
  x.stem
  for x in (pathlib.Path(__file__).parents[2] / 'configs').glob('*.py')
  if x.stem != '__init__'
)
NUMBERS = [name for name, x in FIELDS.items() if x.type in (int, float)]


@pytest.mark.parametrize('name', CONFIGS)
def test_every_config_lists_fields_that_there_are(name):
  config = importlib.import_module(f'configs.{name}').get_config()
  config_lib.check_required(config_lib.sections(config))
  listed = [
    f'{section}.{field}'
    for section, values in fields.plain(config).items()
    if isinstance(values, dict)
    for field in values
  ]
  assert set(listed) < set(FIELDS)


@pytest.mark.parametrize('path', FIELDS)
def test_every_field_is_declared_and_explained(path):
  field = FIELDS[path]
  assert field.type in (bool, int, float, str, tuple, dict)
  assert len(field.help) > 10, 'the docstring says nothing of it'
  if field.default is not None:
    field.check(field.default)
  # Names alone, and truth, need no range.
  assert field.type in (bool, dict) or 'Annotated' in repr(field.declared)


def test_sections_are_those_of_a_config():
  assert set(field_table.SOURCES) == {
    '',
    *config_lib.SECTIONS,
    config_lib.ENSEMBLE,
  }
  assert set(config_lib.FIELDS) == set(field_table.in_section(''))
  assert directory.FREE_FIELDS < set(FIELDS)


def test_the_readme_lists_what_may_change_when_a_run_goes_on():
  # Those of `train` by their last part.
  text = (pathlib.Path(__file__).parents[2] / 'README.md').read_text()
  text = text.partition('Free are the fields')[2].partition('each change')[0]
  start, _, of_train = text.partition('of `train`')
  listed = re.findall(r'`(\S+)`', start)
  listed += [f'train.{x}' for x in re.findall(r'`(\S+)`', of_train)]
  assert sorted(listed) == sorted(directory.FREE_FIELDS)


@pytest.mark.parametrize('path', NUMBERS)
@pytest.mark.parametrize(
  'value', [math.nan, math.inf, -math.inf, 1e300, 10**30, -1e-300, 2**63]
)
def test_no_number_is_unbounded(path, value):
  if FIELDS[path].type is int and isinstance(value, float):
    value = int(value) if math.isfinite(value) else value
  if value == 0 and 'seed' in path:
    return
  with pytest.raises(errors.InputError, match=f'^config.{path}=.* must be '):
    FIELDS[path].check(value)


@pytest.mark.parametrize(
  ('path', 'value'),
  [
    ('model.width', 1e-9),
    ('model.dtype', 'float64'),
    ('data.image_size', 100_000),
    ('train.batch_size', 2_147_483_648),
    ('train.num_train_steps', 3_000_000_000),
    ('train.seed', 2**32),  # To JAX it is 0.
    ('train.seed', 2**64),
    ('learning_rate.decay_epochs', 4294967295.0),
    ('averaging.ema_decay', 1 - 1e-9),  # To float32 it is 1.
    ('data.area_range', (0.1, math.nan)),
    ('data.area_range', (0.1, 0.5, 0.9)),
    ('data.interpolations', ('lanczos',)),
    ('freeze', 'conv1'),
    ('init_weights', 'mean'),
    ('train.num_epochs', True),
  ],
)
def test_what_cannot_be_is_refused(path, value):
  section, _, name = path.rpartition('.')
  config = fields.plain(tiny_config.get_config())
  (config[section] if section else config)[name] = value
  with pytest.raises(errors.InputError, match=f'^config.{path}=.* must be '):
    config_lib.sections(config)


@pytest.mark.parametrize(
  'path', [name for name, x in FIELDS.items() if x.is_required]
)
def test_a_required_field_that_is_missing_is_named(path):
  section, name = path.split('.')
  if section == config_lib.ENSEMBLE:
    return  # See the tests of ensembles.
  config = fields.plain(tiny_config.get_config())
  for missing in ({}, {name: None}):
    config[section].pop(name, None)
    config[section].update(missing)
    with pytest.raises(errors.InputError, match=f'config.{path} is missing;'):
      experiment.create_experiment(config)


def test_none_that_cannot_be_is_left_out():
  config = fields.plain(tiny_config.get_config())
  config['optimizer']['momentum'] = None
  config['averaging']['ema_decay'] = None
  found = config_lib.sections(config)
  assert 'momentum' not in found['optimizer']
  assert found['averaging']['ema_decay'] is None


@pytest.mark.parametrize(
  ('section', 'name', 'near'),
  [
    ('train', 'bach_size', 'batch_size'),
    ('train', 'momentum', 'optimizer.momentum'),
    ('model', 'axis_name', None),  # It is the program's.
    ('', 'freze', 'freeze'),
    ('model', 'profile', 'model.name'),
    ('train', 'learning_rate', 'learning_rate.init_value'),
    ('learning_rate', 'base', 'learning_rate.init_value'),
  ],
)
def test_an_unknown_field_has_the_nearest_name(section, name, near):
  with pytest.raises(errors.InputError, match='^unknown field config') as found:
    field_table.find(section, name)
  assert near is None or f'did you mean {near!r}?' in str(found.value)
