"""Tests of fields of a config on the command line."""

import importlib
import pathlib
import re

import ml_collections
import pytest

from inception_jax.experiment import config as config_lib
from inception_jax.experiment import field_table, fields, overrides
from inception_jax.runtime import errors, ranges

FIELDS = field_table.fields()
CONFIGS = sorted(
  x.stem
  for x in (pathlib.Path(__file__).parents[2] / 'configs').glob('*.py')
  if x.stem != '__init__'
)


def get_config(name):
  return importlib.import_module(f'configs.{name}').get_config().lock()


def changed(config, *arguments):
  rest, found = overrides.take(arguments)
  assert not rest
  return overrides.apply(config, found)


def value_of(config, path):
  *sections, name = path.split('.')
  for section in sections:
    config = config[section]
  return config.get(name)


def another(field):
  """A value that the field can have, and how it is written."""
  annotation = ranges.strip(field.declared)
  if field.type is bool:
    return not field.default, str(not field.default).lower()
  if field.type is dict:
    return {'a': {}}, "{'a': {}}"
  if field.path == 'data.area_range':
    return (0.25, 0.5), '(0.25, 0.5)'
  if field.path == 'data.aspect_ratio_range':
    return (0.25, 0.5), '0.25,0.5'
  if field.path == 'train.profile_steps':
    return (2, 3), '2,3'
  if field.type is tuple:
    name = 'bilinear' if 'interpol' in field.path else 'conv1'
    return (name,), name
  if field.type is str:
    # The last of a few, or any.
    shown = ranges.describe(field.declared).removesuffix(', or None')
    word = re.split(', | or ', shown)[-1]
    word = 'x' if word.startswith('a text') else word
    return word, word
  assert annotation in (int, float)
  value = 2 if annotation is int else 0.5
  return value, str(value)


@pytest.mark.parametrize('name', CONFIGS)
def test_every_field_of_every_config_is_set_and_unset(name):
  for path, field in FIELDS.items():
    value, text = another(field)
    config = changed(get_config(name), f'--config.{path}={text}')
    assert value_of(fields.plain(config), path) == fields.plain(value), path
    for nothing in ('None', '', ' '):
      for before in ((), (f'--config.{path}={text}',)):
        config = changed(get_config(name), *before)
        config = changed(config, f'--config.{path}={nothing}')
        plain = fields.plain(config)
        if '.' in path and path.split('.')[0] not in plain:
          continue  # There is nothing to unset.
        assert value_of(plain, path) is None, path
        config_lib.sections(config)


@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    (('--config.train.batch_size', '8'), 8),
    (('-config.train.batch_size=8',), 8),
    (('--config.train.batch_size=4', '--config.train.batch_size=8'), 8),
    (('--config.averaging.polyak_start_epoch=5',), 5.0),
    (('--config.train.polyak_start_epoch=5.0',), 5.0),
    (('--config.model.use_aux',), True),
    (('--noconfig.model.use_aux',), False),
    (('--config.model.use_aux', 'True'), True),
    (('--config.model.use_aux', 'false'), False),
    (('--config.model.use_aux=No',), False),
    (('--config.data.interpolations=bilinear,area',), ('bilinear', 'area')),
    (
      (
        '--config.data.interpolations=bilinear',
        '--config.data.interpolations=area',
      ),
      ('bilinear', 'area'),
    ),
    (
      (
        '--config.data.area_range=(0.1, 0.2)',
        '--config.data.area_range=(0.3, 0.4)',
      ),
      (0.3, 0.4),
    ),
    (("--config.freeze=('conv*', 'inception_[34]*')",), None),
    (('--config.freeze=inception_[34]*',), ('inception_[34]*',)),
    (('--config.init_from=runs/my run',), 'runs/my run'),
  ],
  ids=str,
)
def test_forms(arguments, expected):
  (override,) = overrides.take(arguments)[1]
  if expected is None:
    expected = ('conv*', 'inception_[34]*')
  config = changed(ml_collections.ConfigDict(), *arguments)
  found = value_of(config, '.'.join(override.path))
  assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
  ('argument', 'message'),
  [
    (
      'train.bach_size=8',
      'unknown field config.train.bach_size; config.train has batch_size,.* and'
      " debug_nans; did you mean 'batch_size'",
    ),
    ('train.lr=8', "debug_nans; did you mean 'learning_rate.init_value'"),
    ('train.zzzz=8', 'train has batch_size, .* and debug_nans$'),
    ('seed=8', 'field config.seed; config has .*, and the sections model, .*'),
    ('seed=8', "did you mean 'train.seed'"),
    ('trian.seed=8', "field config.trian.seed; .* did you mean 'train.seed'"),
    ('learningrate=8', "did you mean 'learning_rate'"),
    ('train:seed=8', "did you mean 'train.seed'"),
    ('=8', '--config. names no field; write'),
    ('train.=8', 'unknown field config.train.; config.train has'),
    ('train.batch_size=many', "batch_size='many' must be a whole number"),
    ('train.batch_size=1e3', 'must be a whole number'),
    ('train.batch_size=' + '9' * 5000, 'must be a whole number'),
    ('train.seed=18446744073709551616', 'must be a whole number from -2'),
    ('train.num_epochs=inf', 'num_epochs=inf must be a number above 0'),
    ('averaging.polyak_start_epoch=nan', 'start_epoch=nan must be a number'),
    ('optimizer.weight_decay=-inf', 'weight_decay=-inf must be'),
    ('model.use_aux=maybe', "use_aux='maybe' must be true or false"),
    ('model.dtype=float64', 'must be one of float32, bfloat16 or float16'),
    (
      'data.area_range=0.5',
      'range=\\(0.5,\\) must be a tuple of 2, each a num',
    ),
    ('data.area_range=(0.5, "x")', 'must be a tuple of 2'),
    ('data.area_range=' + '(' * 9999, 'must be a tuple of 2'),
    ('data.area_range={}', 'must be a tuple of 2'),
    ('train=3', "must be a dict.* mean '--config.train.batch_size=3'"),
    (
      'train=x',
      'must be a dict.*, or set one of its fields, batch_size, .* or',
    ),
    ('learning_rate=.1', "mean '--config.learning_rate.init_value=.1'"),
    ('model=inception_v1', "did you mean '--config.model.name=inception_v1'"),
    (
      'train=None',
      'train=None takes away batch_size and eval_batch_size, which',
    ),
    ('model=', 'config.model=None takes away name, .* as --config.model.name='),
    ('train={1: 2}', 'must be a dict'),
    ('train={"seed": -1e99}', None),
    ('ensemble.members=m1', 'must be a dict'),
    ('ensemble.members.m1.model.widht=1', "model.widht; .* mean 'width'"),
    ('ensemble.members.m1.train=3', "'--config.*.m1.train.batch_size=3'"),
    ('ensemble.members.m1.model.width=inf', 'm1.model.width=inf must be'),
    ('ensemble.members.m1=3', 'must be a dict'),
    ('ensemble.members.m1.modle.width=1', "modle is no .*'model.width'"),
    ('ensemble.members.m1.seed=1', "no section .*; did you mean 'train.seed'"),
    ('ensemble.members={"a.b": {}}', 'members cannot be set: .* dots'),
  ],
  ids=lambda x: str(x)[:40],
)
def test_a_wrong_override_is_one_sentence(argument, message):
  with pytest.raises(errors.InputError, match=message) as found:
    config_lib.sections(changed(get_config('digits'), f'--config.{argument}'))
  assert len(str(found.value)) < 600


@pytest.mark.parametrize('number', ['-inf', '-1', '-.5', '-nan'])
def test_a_negative_number_is_a_value_and_no_flag(number):
  for name, reason in (
    ('model.use_aux', f'model.use_aux={number!r} must be true or false'),
    ('train.num_epochs', 'train.num_epochs=.* must be a number above 0'),
  ):
    with pytest.raises(errors.InputError, match=reason):
      changed(get_config('digits'), f'--config.{name}', number)


@pytest.mark.parametrize(
  'argument',
  [
    '--noconfig.train.seed',
    '--noconfig.model.use_aux=1',
    '--config.train.seed',
  ],
)
def test_a_flag_without_or_with_a_value_too_much(argument):
  with pytest.raises(errors.InputError, match='value'):
    overrides.take([argument])


def test_a_flag_is_no_value_of_the_one_before_it():
  with pytest.raises(errors.InputError, match='init_from needs a value'):
    overrides.take(['--config.init_from', '--config.train.seed=3'])
  (found,) = overrides.take(['--config.train.seed', '-1'])[1]
  assert found.values == ('-1',)


def test_a_switch_takes_the_next_word_but_no_flag():
  config = changed(
    get_config('digits'), '--config.model.use_aux', '--config.train.seed=3'
  )
  assert config.model.use_aux is True and config.train.seed == 3
  with pytest.raises(errors.InputError, match="aux='x' must be true or false"):
    changed(get_config('digits'), '--config.model.use_aux', 'x')
  assert overrides.take(['--config.model.use_aux', '--', 'x'])[0] == ['--', 'x']


def test_sections_are_replaced_and_emptied():
  config = changed(
    get_config('googlenet_imagenet'),
    "--config.learning_rate={'schedule': 'constant', 'init_value': 0.1}",
    '--config.averaging=None',
  )
  assert config.learning_rate.to_dict() == {
    'schedule': 'constant',
    'init_value': 0.1,
  }
  assert config.averaging.to_dict() == {}
  config_lib.sections(config)


def test_members_of_an_ensemble():
  config = changed(
    get_config('digits_ensemble'),
    '--config.ensemble.members.wide.model.width=0.3',
    '--config.ensemble.members.b.train.polyak_start_epoch=2',
    '--config.ensemble.members.m1=None',
    "--config.ensemble.members.m2={'train': {'seed': 5}}",
    '--config.ensemble.only=wide,m2',
  )
  assert config.ensemble.members.to_dict() == {
    'm2': {'train': {'seed': 5}},
    'wide': {'model': {'width': 0.3}},
    'b': {'averaging': {'polyak_start_epoch': 2.0}},
  }
  assert config.ensemble.only == ('wide', 'm2')
  config = changed(config, '--config.ensemble=None')
  assert 'ensemble' not in config


def test_a_field_that_others_refer_to_changes_them_too():
  config = ml_collections.ConfigDict({'train': {'batch_size': 32}})
  config.train.eval_batch_size = config.train.get_ref('batch_size') * 2
  changed(config.lock(), '--config.train.batch_size=8')
  assert config.train.eval_batch_size == 16
  with pytest.raises((KeyError, AttributeError)):
    config.train.new = 3  # It is locked again.
