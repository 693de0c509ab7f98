"""Tests of config sections as arguments, above all of bad ones."""

import dataclasses
import functools

import ml_collections
from ml_collections import config_dict
import pytest

from inception_jax.experiment import fields
from inception_jax.runtime import errors


@dataclasses.dataclass(frozen=True)
class Section:
  """Stands for `TrainOptions` and the like."""

  batch_size: int
  learning_rate: float = 0.1
  num_epochs: float | None = None
  num_steps: int | None = None
  name: str = 'x'
  mirror: bool = True
  area: tuple[float, float] = (0.08, 1.0)

  def __post_init__(self):
    if self.batch_size < 1:
      raise ValueError(f'batch_size must be positive, not {self.batch_size}')


def as_function(
  batch_size: int, *, learning_rate: float = 0.1, source: object = None
) -> tuple:
  return batch_size, learning_rate, source


call = functools.partial(fields.call_with_section, Section, 'train')


def refused(values, *words):
  with pytest.raises(errors.InputError) as caught:
    call(values)
  for word in words:
    assert word in str(caught.value)
  return caught.value


def test_fields_become_arguments():
  result = call({'batch_size': 32, 'learning_rate': 0.5, 'name': 'y'})
  assert result == Section(32, 0.5, name='y')
  assert call(ml_collections.ConfigDict({'batch_size': 32})) == Section(32)


def test_functions_are_called_too():
  result = fields.call_with_section(
    as_function, 'data', {'batch_size': 3}, source='here'
  )
  assert result == (3, 0.1, 'here')


@pytest.mark.parametrize(
  'written, meant',
  [('batchsize', 'batch_size'), ('mirorr', 'mirror'), ('epochs', 'num_epochs')],
)
def test_an_unknown_field_gives_the_nearest_name(written, meant):
  refused(
    {'batch_size': 1, written: 1},
    f'config.train.{written}',
    f'did you mean {meant!r}?',
  )


def test_a_field_like_no_other_gives_no_name():
  error = refused({'batch_size': 1, 'zzzzqqq': 1}, 'config.train.zzzzqqq')
  assert 'did you mean' not in str(error)


def test_what_the_caller_gives_is_no_field():
  with pytest.raises(errors.InputError, match='unknown field config.data.sour'):
    fields.call_with_section(
      as_function, 'data', {'batch_size': 1, 'source': 'there'}, source='here'
    )


def test_a_missing_field_is_named():
  refused({'learning_rate': 0.5}, 'config.train.batch_size', 'missing')


@pytest.mark.parametrize(
  'value',
  [
    {'learning_rate': 1},  # An int for a float.
    {'num_epochs': None},
    {'num_epochs': 3},
    {'num_steps': None},
    {'area': [0.1, 1]},  # A list for a tuple, as JSON gives it.
    {'area': (0.1, 1.0)},
    {'mirror': False},
  ],
  ids=str,
)
def test_fitting_types_pass(value):
  (name,) = value
  assert getattr(call({'batch_size': 1, **value}), name) == value[name]


@pytest.mark.parametrize(
  'value',
  [
    {'batch_size': 1.0},
    {'batch_size': True},  # A bool is an int to Python.
    {'batch_size': '32'},
    {'learning_rate': True},
    {'learning_rate': '0.1'},
    {'num_epochs': 'three'},
    {'num_steps': 1.5},
    {'num_steps': True},
    {'name': 3},
    {'mirror': 1},
    {'area': 0.5},
    {'area': '01'},
  ],
  ids=str,
)
def test_wrong_types_are_named(value):
  (name,) = value
  refused(
    {'batch_size': 1, **value},
    f'config.train.{name}=',
    repr(value[name]),
    f'wrong type {type(value[name]).__name__}',
  )


@pytest.mark.parametrize(
  'value', [[0.1], [0.1, 0.2, 0.3], [0.1, '1'], [0.1, True], [0.1, None]]
)
def test_elements_of_a_tuple_are_named(value):
  refused(
    {'batch_size': 1, 'area': value},
    f'config.train.area={value!r} must be a tuple of 2, each a number',
  )


def test_the_wanted_type_is_in_the_message():
  refused({'batch_size': 1, 'num_epochs': 'x'}, 'must be a number, or None')
  refused({'batch_size': 'x'}, 'must be a whole number')


def test_none_is_as_if_a_field_were_not_given():
  assert call({'batch_size': 1, 'learning_rate': None}) == Section(1)
  assert call({'batch_size': 1, 'mirror': None}).mirror
  refused({'batch_size': None}, 'config.train.batch_size is missing')


def test_a_refusal_of_the_function_names_the_section():
  error = refused(
    {'batch_size': -1}, 'config.train: batch_size must be positive, not -1'
  )
  assert isinstance(error.__cause__, ValueError)


def test_an_input_error_of_the_function_passes_as_it_is():
  def function(path: str):
    raise errors.InputError(f'{path} is not there')

  with pytest.raises(errors.InputError, match=r'^a/b is not there$'):
    fields.call_with_section(function, 'data', {'path': 'a/b'})


def test_other_errors_are_not_blamed_on_the_config():
  def function(count: int):
    raise KeyError(count)

  with pytest.raises(KeyError):
    fields.call_with_section(function, 'data', {'count': 1})


def test_plain_is_json_like():
  config = ml_collections.ConfigDict()
  config.area = (0.08, 1.0)
  config.section = ml_collections.ConfigDict({'list': [1, (2, 3)], 'no': None})
  config.steps = config_dict.placeholder(int)
  result = fields.plain(config)
  assert result == {
    'area': [0.08, 1.0],
    'section': {'list': [1, [2, 3]], 'no': None},
    'steps': None,
  }
  assert type(result) is dict and type(result['section']) is dict


def test_plain_resolves_placeholders_and_references():
  config = ml_collections.ConfigDict()
  config.steps = config_dict.placeholder(int)
  config.half = config.get_ref('steps') * 2
  config.steps = 7
  assert fields.plain(config) == {'steps': 7, 'half': 14}


def test_plain_leaves_its_argument_alone():
  config = ml_collections.ConfigDict({'a': {'b': [1]}})
  result = fields.plain(config)
  result['a']['b'].append(2)
  assert config.a.b == [1]
  assert fields.plain({'a': {1: (2,)}}) == {'a': {'1': [2]}}


@pytest.mark.parametrize(
  'word, expected',
  [('botch_size', "; did you mean 'batch_size'?"), ('qqqq', '')],
)
def test_suggestion(word, expected):
  assert errors.suggestion(word, ['batch_size', 'mirror']) == expected
