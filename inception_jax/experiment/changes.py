"""Which fields the command line changes of a config's file, for people."""

from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections
from ml_collections import config_dict

from inception_jax.experiment import config as config_lib
from inception_jax.experiment import field_table, fields
from inception_jax.runtime import ranges


def values(
  config: ml_collections.ConfigDict | Mapping[str, Any],
) -> dict[str, Any]:
  """All fields of a config by path, with the defaults of those not given.

  Args:
    config: of a file, with whatever the command line has set so far. Nothing
      is checked; a required placeholder without a value is None.
  """
  found = {
    name: field.default
    for name, field in field_table.fields().items()
    if not name.startswith(config_lib.ENSEMBLE)
  }
  for path, value in _leaves(config):
    if value is not None:
      found[config_lib.RENAMED.get(path, path)] = fields.plain(value)
  return {
    name: list(value) if isinstance(value, tuple) else value
    for name, value in found.items()
  }


def _leaves(
  config: ml_collections.ConfigDict | Mapping[str, Any], prefix: str = ''
) -> Iterator[tuple[str, Any]]:
  is_config = isinstance(config, ml_collections.ConfigDict)
  options = {'preserve_field_references': True} if is_config else {}
  for name, value in config.items(**options):
    if isinstance(value, config_dict.FieldReference):
      try:
        value = value.get()
      except config_dict.RequiredValueError:
        value = None
    path = f'{prefix}{name}'
    if isinstance(value, ml_collections.ConfigDict | Mapping):
      yield from _leaves(value, f'{path}.')
    else:
      yield path, value


def lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
  """What the command line changes.

  Args:
    before: `values` of the file.
    after: `values` with what the command line sets.

  Returns:
    `path: value of the file → value` of each field whose value is another, by
    path. An ensemble that is taken away is one field.
  """
  prefix = f'{config_lib.ENSEMBLE}.'
  if not any(name.startswith(prefix) for name in after):
    rest = {k: v for k, v in before.items() if not k.startswith(prefix)}
    if len(rest) < len(before):
      before = {**rest, config_lib.ENSEMBLE: 'several runs'}
  return [
    f'{name}: {_shown(before.get(name))} → {_shown(after.get(name))}'
    for name in sorted({*before, *after})
    if _differ(before.get(name), after.get(name))
  ]


def _differ(one: Any, other: Any) -> bool:
  try:
    return bool(one != other)
  except ValueError:  # Such as an array, which no field can be.
    return True


def _shown(value: Any) -> str:
  return ranges.show(tuple(value) if isinstance(value, list) else value)
