"""Overrides of config fields, drawn at random for `random_overrides.py`.

The fields are the arguments of the functions that the sections of a config
become, so that those which no config lists are among them; beside these whole
sections, fields of members of an ensemble, and names that there are not.
"""

from collections.abc import Iterator
import dataclasses
import inspect
import pathlib
import random
from typing import Any

from inception_jax import models
from inception_jax.data import crop_rules, dataset
from inception_jax.ensemble import train as train_ensemble
from inception_jax.training import (
  augment,
  averaging,
  last_layer,
  learning_rate,
  optimizer,
  options,
)

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / 'configs'
# What each section becomes, and the arguments that are not of the config.
SECTIONS = {
  'model': (models.create_model, ('axis_name',)),
  'data': (dataset.open_dataset, ()),
  'augmentation': (augment.Augmentation, ()),
  'learning_rate': (
    learning_rate.create_learning_rate_fn,
    ('steps_per_epoch', 'num_train_steps'),
  ),
  'optimizer': (optimizer.create_optimizer, ('learning_rate_fn',)),
  'averaging': (
    averaging.create_averaging,
    ('steps_per_epoch', 'num_train_steps'),
  ),
  'last_layer': (last_layer.LastLayerOptions, ()),
  'train': (options.TrainOptions, ()),
  'ensemble': (train_ensemble.EnsembleOptions, ('members',)),
}
# Data that is there wherever this runs.
PRESENT = ('digits', 'fake')

ODD_VALUES = (
  *('None', '', 'none', 'nan', 'NaN', 'inf', '-inf', '0', '-1', '-0.5', '0.0'),
  *('1', '2', '1.5', '1e-9', '1e-300', '1e300', '100000', str(2**31)),
  *(str(2**32), '3000000000', str(2**63), str(2**64), str(10**30)),
  *('9' * 5000, '1e999', 'true', 'false', 'x', 'a b', "it's", 'ü', '\x1b[31mx'),
  *('two\nlines', 'x' * 5000, '()', '[]', '{}', '(0.1, 0.9)', '(nan, 1.0)'),
  *("('a', 1)", '((1, 2), (3,))', "{'a': {'b': 1}}", '[[1, [2]]]', '(' * 300),
  *('1,2', 'a,b', '(1', '__import__("os")', '1 + 1', 'float64', '0x10', '١'),
)
# What works in every config; of a type, and of a field.
RIGHT_VALUES = {
  bool: ('true', 'false', 'True', 'False'),
  int: ('1', '2', '64'),
  float: ('0.5', '0.25', '0.1'),
}
RIGHT_TEXTS = {
  'freeze': ("('conv*',)", 'conv*', 'None', ''),
  'init_from': ('weights/google', 'a folder', 'None', ''),
  'init_weights': ('raw', 'ema', 'polyak', 'None', ''),
  'model.dtype': ('float32', 'bfloat16'),
  'model.module_form': ('reduced', 'naive', 'naive_as_drawn'),
  'model.name': ('inception_v1_bn', 'inception_v1_bn_shallow'),
  'model.num_classes': ('1000', '2000', 'None', ''),
  'data.name': ('fake',),
  'data.image_size': ('96', '224'),
  'data.train_split': ('train', 'train[:50%]'),
  'data.eval_split': ('test',),
  'data.data_dir': ('data', 'None', ''),
  'data.train_crop': ('distorted', *crop_rules.EVALUATION_CROPS),
  'data.area_range': ('(0.5, 1.0)', '(0.1, 0.1)', '0.2,0.4'),
  'data.aspect_ratio_range': ('(0.5, 2.0)', '1,1'),
  'data.aspect_ratio_law': crop_rules.ASPECT_RATIO_LAWS,
  'data.interpolations': ("('bilinear', 'area')", 'nearest'),
  'data.eval_crop': (*crop_rules.EVALUATION_CROPS, 'None', ''),
  'data.num_threads': ('1', '2', 'None', ''),
  'data.on_bad_image': ('fail', 'skip'),
  'learning_rate.schedule': learning_rate.SCHEDULES,
  'optimizer.head_learning_rate_multiplier': ('10.0', '0.5', 'None', ''),
  'averaging.inference_weights': ('raw', 'None', ''),
  'averaging.ema_decay': ('0.5', 'None', ''),
  'averaging.ema_horizon': ('None', ''),
  'averaging.polyak_start_epoch': ('0.0', '5.0', '2', 'None', ''),
  'last_layer.class_weights': last_layer.CLASS_WEIGHTS,
  'last_layer.fit': ('true', 'false', 'None', ''),
  'last_layer.folds': ('2', '10'),
  'last_layer.views': ('1', '2'),
  'optimizer.name': ('sgd', 'rmsprop'),
  'train.init_seed': ('0', '3', 'None', ''),
  'train.num_epochs': ('0.5', '2'),
  'train.num_microbatches': ('1', '2'),
  'train.profile_steps': ('(1, 2)', '5,10', 'None', ''),
  'train.num_train_steps': ('1', '100', 'None', ''),
}
# Where there is an ensemble; one of the right values of both.
RIGHT_OF_ENSEMBLES = {
  'ensemble.only': ('m1', 'm1,wide', "('m2',)", '()'),
  'ensemble.num_parallel': ('1', '2'),
  'ensemble.same_initial_weights': ('true', 'false'),
}


@dataclasses.dataclass(frozen=True)
class Draw:
  """Overrides of a config.

  Attributes:
    config: name of a file of configs/.
    fields: dotted names, in order.
    values: their texts; None where the form has none.
    arguments: of the command line.
    must_work: whether it is one right value.
  """

  config: str
  fields: tuple[str, ...]
  values: tuple[str | None, ...]
  arguments: tuple[str, ...]
  must_work: bool


def all_configs() -> list[str]:
  """Names of the files of configs/."""
  files = CONFIGS.glob('*.py')
  return sorted(x.stem for x in files if x.stem != '__init__')


def all_fields() -> dict[str, Any]:
  """The default of each field that a config can have; empty if it has none."""
  found = dict.fromkeys(('init_from', 'init_weights', 'freeze'))
  for section, (function, others) in SECTIONS.items():
    for name, parameter in inspect.signature(function).parameters.items():
      if name not in others:
        found[f'{section}.{name}'] = parameter.default
  return found


def draws(num: int, seed: int) -> Iterator[Draw]:
  """Overrides drawn at random, the same for the same seed."""
  rng = random.Random(seed)
  known, configs = all_fields(), all_configs()
  for _ in range(num):
    config = rng.choice(configs)
    fields, values, arguments, all_right = [], [], [], True
    for _ in range(rng.choice((1, 1, 1, 1, 2))):
      field = _draw_field(rng, known, config)
      right = _right_values(field, known, config)
      value = rng.choice(right if right and rng.random() < 0.5 else ODD_VALUES)
      given, value = _draw_form(rng, field, value)
      all_right = all_right and value in right
      fields.append(field)
      values.append(value)
      arguments += given
    must_work = all_right and len(fields) == 1
    yield Draw(
      config, tuple(fields), tuple(values), tuple(arguments), must_work
    )


def _draw_field(rng: random.Random, known: dict[str, Any], config: str) -> str:
  field = rng.choice(list(known))
  kind = rng.random()
  if kind < 0.05:
    return rng.choice(list(SECTIONS))
  if kind < 0.1:  # A slip of the pen, or the wrong section.
    place = rng.randrange(len(field))
    slips = (field[:place] + field[place + 1 :], f'{field}s', field[::-1])
    return rng.choice((*slips, field.split('.')[-1], f'model.{field}', 'x.y'))
  if kind < 0.15 and 'ensemble' in config:
    return f'ensemble.members.{rng.choice(("m1", "wide", "m9"))}.{field}'
  return field


def _right_values(
  field: str, known: dict[str, Any], config: str
) -> tuple[str, ...]:
  """Values of a field that work in a config."""
  if field in RIGHT_OF_ENSEMBLES:
    return RIGHT_OF_ENSEMBLES[field] if 'ensemble' in config else ()
  if field in RIGHT_TEXTS:
    return RIGHT_TEXTS[field]
  default = known.get(field)
  kind = type(default)
  if default is inspect.Parameter.empty:
    kind = float if field.endswith('value') else int
  return RIGHT_VALUES.get(kind, ()) if field in known else ()


def _draw_form(
  rng: random.Random, field: str, value: str
) -> tuple[list[str], str | None]:
  """Arguments of the command line, and the value that they have."""
  kind = rng.random()
  if kind < 0.82:
    return [f'--config.{field}={value}'], value
  if kind < 0.95:
    return [f'--config.{field}', value], value
  return [f'--{rng.choice(("", "no"))}config.{field}'], None
