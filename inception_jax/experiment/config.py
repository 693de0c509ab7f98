"""The sections of a config: which there are, and the names they once had."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from inception_jax.experiment import field_table, fields
from inception_jax.runtime import errors, paths, words

SECTIONS = (
  'model',
  'data',
  'augmentation',
  'learning_rate',
  'optimizer',
  'averaging',
  'last_layer',
  'train',
)
# Those that a config of an earlier version does not have.
_OPTIONAL = ('last_layer',)
# Beside the sections; None where they are not given.
ENSEMBLE = 'ensemble'
FIELDS = ('init_from', 'init_weights', 'freeze')
# Names of earlier versions, which are still read.
RENAMED = {'train.polyak_start_epoch': 'averaging.polyak_start_epoch'}


def with_current_names(config: Mapping[str, Any]) -> dict[str, Any]:
  """A config, or a part of one, with fields of earlier versions renamed.

  Args:
    config: plain data, as `fields.plain` returns it.

  Returns:
    A copy.

  Raises:
    InputError: if a field has different values under its two names.
  """
  result = dict(config)
  for old, new in RENAMED.items():
    (section, name), (new_section, new_name) = old.split('.'), new.split('.')
    values, others = result.get(section), result.get(new_section, {})
    if not isinstance(values, Mapping) or name not in values:
      continue
    if not isinstance(others, Mapping):
      continue  # An error that `sections` names.
    value = values[name]
    if others.get(new_name) not in (None, value):
      raise errors.InputError(
        f'config.{old} is the earlier name of config.{new}, and their values'
        ' differ; give the latter only'
      )
    result[section] = {k: v for k, v in values.items() if k != name}
    result[new_section] = {**others, new_name: value}
  return result


def sections(
  config: ml_collections.ConfigDict | Mapping[str, Any],
) -> dict[str, Any]:
  """The config as plain data, with all its sections and no others.

  That of an ensemble is left out: what it says of members matters to training
  only (`ensemble.train`). A field that is None, and cannot be, is left out too.

  Raises:
    InputError: if a field is unknown, or not among its values. Those that must
      be given are not looked for: see `check_required`.
  """
  config = with_current_names({**dict.fromkeys(FIELDS), **fields.plain(config)})
  for name in _OPTIONAL:
    config.setdefault(name, {})
  config.pop(ENSEMBLE, None)
  known = (*SECTIONS, *FIELDS)
  for name in config:
    if name not in known:
      raise errors.InputError(
        f'unknown section config.{name}; config has'
        f' {words.join((*known, ENSEMBLE))}{errors.suggestion(name, known)}'
      )
  for name in SECTIONS:
    if not isinstance(config.get(name), dict):
      raise errors.InputError(f'section config.{name} is missing')
  field_table.check_section('', {name: config[name] for name in FIELDS})
  for name in SECTIONS:
    field_table.check_section(name, config[name])
    config[name] = field_table.given(config[name], field_table.in_section(name))
  _expand_paths(config)
  return config


def check_required(config: Mapping[str, Any]) -> None:
  """Raises InputError if a run cannot be made of a config: a field is missing.

  Args:
    config: see `sections`.
  """
  for name in SECTIONS:
    field_table.check_required(config[name], field_table.in_section(name))


def _expand_paths(config: dict[str, Any]) -> None:
  """Expands the fields that name folders: `init_from` and `data.data_dir`."""
  if config['init_from'] is not None:
    config['init_from'] = paths.expand(config['init_from'], 'config.init_from')
  data_dir = config['data'].get('data_dir')
  if data_dir is not None:
    data_dir = paths.expand(data_dir, 'config.data.data_dir')
    paths.check_folder(data_dir, 'config.data.data_dir')
    config['data'] = {**config['data'], 'data_dir': data_dir}
