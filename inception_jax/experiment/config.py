"""The sections of a config: which there are, and the names they once had."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from inception_jax.experiment import fields
from inception_jax.runtime import errors, paths

SECTIONS = (
  'model',
  'data',
  'augmentation',
  'learning_rate',
  'optimizer',
  'averaging',
  'train',
)
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
  only (`ensemble.train`).
  """
  config = with_current_names({**dict.fromkeys(FIELDS), **fields.plain(config)})
  config.pop(ENSEMBLE, None)
  known = (*SECTIONS, *FIELDS)
  for name in config:
    if name not in known:
      raise errors.InputError(
        f'unknown section config.{name}{errors.suggestion(name, known)}'
      )
  for name in SECTIONS:
    if not isinstance(config.get(name), dict):
      raise errors.InputError(f'section config.{name} is missing')
  for name in ('init_from', 'init_weights'):
    if not isinstance(config[name], str | None):
      raise errors.InputError(f'config.{name} must be a text, or None')
  _expand_paths(config)
  globs = config['freeze']
  if globs is not None and not (
    isinstance(globs, list) and all(isinstance(x, str) for x in globs)
  ):
    raise errors.InputError(
      f'config.freeze must be a tuple of globs, not {globs!r}'
    )
  return config


def _expand_paths(config: dict[str, Any]) -> None:
  """Expands the fields that name folders: `init_from` and `data.data_dir`."""
  if config['init_from'] is not None:
    config['init_from'] = paths.expand(config['init_from'], 'config.init_from')
  data_dir = config['data'].get('data_dir')
  if data_dir is not None:
    data_dir = paths.expand(data_dir, 'config.data.data_dir')
    paths.check_folder(data_dir, 'config.data.data_dir')
    config['data'] = {**config['data'], 'data_dir': data_dir}
