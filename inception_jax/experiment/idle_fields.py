"""Fields of a config that nothing reads, since another field is as it is."""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

from flax import traverse_util

from inception_jax.data import dataset
from inception_jax.experiment import field_table
from inception_jax.models import architectures
from inception_jax.runtime import ranges


@dataclasses.dataclass(frozen=True)
class _Rule:
  """When fields have no effect.

  Attributes:
    paths: of the fields.
    other: path of the field that decides.
    is_idle: of the value of that; whether the fields have no effect.
    value: the only value of the fields that is meant; None is all.
    unless: path of a field that does as well as `other`, if it is set.
  """

  paths: tuple[str, ...]
  other: str
  is_idle: Callable[[Any], bool]
  value: Any = None
  unless: str | None = None


def _is_none(value: Any) -> bool:
  return value is None


def _is_not(wanted: Any) -> Callable[[Any], bool]:
  return lambda value: value != wanted


def _lacks(feature: str) -> Callable[[str], bool]:
  """Tells by its name whether a network has no such thing."""
  return lambda name: not getattr(architectures.architecture_of(name), feature)


_DISTORTED = tuple(
  f'data.{name}'
  for name in (
    'area_range',
    'aspect_ratio_range',
    'aspect_ratio_law',
    'interpolations',
  )
)
_OF_FILES = tuple(
  f'data.{name}'
  for name in (
    'train_split',
    'eval_split',
    'data_dir',
    'train_crop',
    'num_threads',
    'on_bad_image',
  )
)
_STAIRCASE = ('learning_rate.decay_rate', 'learning_rate.decay_epochs')
_HEADS = ('train.aux_weight',)
_LAST_LAYER = tuple(
  f'last_layer.{x}' for x in field_table.in_section('last_layer')
)

_RULES = (
  _Rule(('init_weights', *_LAST_LAYER), 'init_from', _is_none),
  _Rule(
    ('averaging.inference_weights',),
    'averaging.ema_decay',
    _is_none,
    'ema',
    unless='averaging.ema_horizon',
  ),
  _Rule(
    ('averaging.inference_weights',),
    'averaging.polyak_start_epoch',
    _is_none,
    'polyak',
  ),
  _Rule(_STAIRCASE, 'learning_rate.schedule', _is_not('staircase')),
  _Rule(
    ('learning_rate.power',), 'learning_rate.schedule', _is_not('polynomial')
  ),
  _Rule(
    ('optimizer.rms_decay', 'optimizer.epsilon'),
    'optimizer.name',
    _is_not('rmsprop'),
  ),
  _Rule(
    ('optimizer.decay_biases',),
    'optimizer.weight_decay',
    lambda value: not value,
  ),
  _Rule(_DISTORTED, 'data.train_crop', _is_not('distorted')),
  _Rule((*_OF_FILES, *_DISTORTED), 'data.name', lambda x: x == dataset.FAKE),
  _Rule(_HEADS, 'model.use_aux', lambda value: not value),
  _Rule(('model.use_aux', *_HEADS), 'model.name', _lacks('head_taps')),
  _Rule(
    ('model.batch_norm_momentum',), 'model.name', _lacks('batch_norm_epsilon')
  ),
)


def sentences(config: Mapping[str, Any]) -> list[str]:
  """A sentence on each field that is set and has no effect.

  A field that has its default is as if it were not set. `train.num_epochs` and
  `train.min_train_steps` are left to what a run says of its length, since most
  configs give it.

  Args:
    config: with all its sections; see `config.sections`.
  """
  known = field_table.fields()
  values = {path: field.default for path, field in known.items()}
  flat = traverse_util.flatten_dict(dict(config), sep='.')
  values |= {path: x for path, x in flat.items() if x is not None}
  found = {}
  for rule in _RULES:
    other = values[rule.other]
    if not rule.is_idle(other) or values.get(rule.unless) is not None:
      continue
    for path in rule.paths:
      value = values[path]
      is_set = not _same(value, known[path].default)
      if is_set and rule.value in (None, value):
        found.setdefault(path, _sentence(path, value, rule.other, other))
  return list(found.values())


def _same(one: Any, other: Any) -> bool:
  """Whether two values are equal, tuples and lists alike."""
  as_tuple = lambda x: tuple(x) if isinstance(x, list) else x
  return as_tuple(one) == as_tuple(other)


def _sentence(path: str, value: Any, other_path: str, other: Any) -> str:
  why = f'without config.{other_path}'
  remedy = 'give that too'
  if other is not None:
    why = f'with config.{other_path}={ranges.show(other)}'
    remedy = 'change that'
  return (
    f'config.{path}={ranges.show(value)} has no effect {why}; {remedy}, or'
    f' leave config.{path} out'
  )
