"""Fields of a config that the command line sets and unsets.

`--config.train.seed=3` sets a field, whether the config's file has it or not;
`--config.train.seed=None`, or nothing after the `=`, unsets it, so that it has
its default. The type is the one of `field_table`. Beside fields there are
`--config.learning_rate={...}`, which replaces a section, fields of members,
`--config.ensemble.members.NAME.SECTION.FIELD=...`, and
`--config.ensemble=None`, which makes one run of an ensemble's config.
"""

import collections
from collections.abc import Mapping, Sequence
import dataclasses
import re
from typing import Any

import ml_collections

from inception_jax.experiment import config as config_lib
from inception_jax.experiment import field_table, field_values
from inception_jax.runtime import errors, words

_FLAG = re.compile(r'-{1,2}(no)?config\.([^=]*)(?:=(.*))?', re.DOTALL)
_MEMBERS = ('ensemble', 'members')


@dataclasses.dataclass(frozen=True)
class Override:
  """What the command line says of a field.

  Attributes:
    path: names of dicts within each other, the last one's value is meant.
    field: it; None is a dict as a whole, of a section or member.
    values: texts, in their order; None is a flag without one.
  """

  path: tuple[str, ...]
  field: field_table.Field | None
  values: tuple[str | None, ...]

  @property
  def name(self) -> str:
    return f'config.{".".join(self.path)}'


def take(arguments: Sequence[str]) -> tuple[list[str], list[Override]]:
  """Divides a command line.

  Args:
    arguments: after the name of the program.

  Returns:
    All other arguments, and the overrides, one for each field.

  Raises:
    InputError: if a field is unknown, or a value is missing.
  """
  rest, found = [], {}
  remaining = collections.deque(arguments)
  while remaining:
    argument = remaining.popleft()
    flag = _FLAG.fullmatch(argument)
    if argument == '--':
      rest += [argument, *remaining]
      remaining.clear()
    elif not flag:
      rest.append(argument)
    else:
      path, field = _resolve(flag[2])
      value = _value(flag, field, remaining)
      # The order is that of the last ones.
      earlier = found.pop(path, None)
      values = earlier.values if earlier else ()
      found[path] = Override(path, field, (*values, value))
  return rest, list(found.values())


def _value(
  flag: re.Match[str],
  field: field_table.Field | None,
  remaining: collections.deque[str],
) -> str | None:
  """The text of a flag's value, which may be the next argument."""
  is_switch = field is not None and field.type is bool
  if is_switch and remaining and words.is_number(remaining[0]):
    if flag[3] is None and not flag[1]:
      return remaining.popleft()  # No flag, and neither true nor false.
  if flag[1]:
    if not is_switch or flag[3] is not None:
      raise errors.InputError(
        f'--noconfig.{flag[2]} is for fields that are true or false, and takes'
        ' no value'
      )
    return 'false'
  if flag[3] is not None:
    return flag[3]
  # The commands that have a config take no files.
  if is_switch and (not remaining or remaining[0].startswith('-')):
    return 'true'
  if not remaining or remaining[0].startswith('--'):
    raise errors.InputError(f'--config.{flag[2]} needs a value after a =')
  return remaining.popleft()


def meant(name: str, text: str) -> tuple[str | None, bool]:
  """The field that is meant by a flag that there is not.

  Args:
    name: of the flag, such as 'batch_size', 'lr' or 'config:train.seed'.
    text: its value, which tells the fields of a section apart.

  Returns:
    The path of the field, or None if none is near; and whether the name is that
    of a field or section but for what stands before it.
  """
  name = re.sub(r'^(no)?conf\w{0,3}[\W_]+', '', name)
  path = re.sub(r'\W+', '.', name).strip('.')
  last_parts = {x.rpartition('.')[2] for x in field_table.fields()}
  if path in field_table.fields():
    return path, True
  if path not in last_parts:
    path = errors.nearest(path, field_table.SOURCES, cutoff=0.85) or path
  if path and path in field_table.SOURCES:
    names = field_table.in_section(path)
    return (
      f'{path}.{field_values.fitting(path, text) or next(iter(names))}',
      True,
    )
  return field_table.nearest(path), path in last_parts


def _resolve(name: str) -> tuple[tuple[str, ...], field_table.Field | None]:
  """Path and field, if it is one, that a flag names."""
  if not name:
    raise errors.InputError(
      '--config. names no field; write --config.SECTION.FIELD=VALUE, such as'
      ' --config.train.seed=3'
    )
  name = config_lib.RENAMED.get(name, name)
  path = tuple(name.split('.'))
  if path[:2] == _MEMBERS and len(path) > 2:
    return _resolve_member(path)
  if len(path) == 1 and name in field_table.SOURCES:
    return path, None
  section, _, field = name.rpartition('.')
  if section and section not in field_table.SOURCES:
    near = field_table.nearest(name)
    has = field_table.contents('', field_table.in_section(''))
    raise errors.InputError(
      f'unknown field config.{name[:200]}; {has}'
      + (f'; did you mean {near!r}?' if near else '')
    )
  return path, field_table.find(section, field)


def _resolve_member(
  path: tuple[str, ...],
) -> tuple[tuple[str, ...], field_table.Field | None]:
  """As `_resolve`, of what a member differs in: NAME, and SECTION and FIELD."""
  name, *rest = path[2:]
  if rest and rest[0] not in config_lib.SECTIONS:
    near = field_table.nearest('.'.join(rest), config_lib.SECTIONS)
    raise errors.InputError(
      f'config.ensemble.members.{name}.{rest[0]} is no section of fields; the'
      f' sections are {words.join(config_lib.SECTIONS)}'
      + (f'; did you mean {near!r}?' if near else '')
    )
  if len(rest) < 2:
    return (*_MEMBERS, name, *rest), None
  section, _, field = config_lib.RENAMED.get(
    '.'.join(rest), '.'.join(rest)
  ).partition('.')
  return (*_MEMBERS, name, section, field), field_table.find(section, field)


def apply(
  config: ml_collections.ConfigDict | Mapping[str, Any],
  overrides: Sequence[Override],
) -> ml_collections.ConfigDict:
  """Sets and unsets fields in a config.

  Args:
    config: of a file; changed where it is a ConfigDict.
    overrides: see `take`.

  Returns:
    The config.

  Raises:
    InputError: if a value cannot be the field's, or a section is emptied of
      what it must give.
  """
  if not isinstance(config, ml_collections.ConfigDict):
    config = ml_collections.ConfigDict(config)
  with config.unlocked(), config.ignore_type():
    for override in overrides:
      value = _parse(override)
      _drop_earlier_name(config, override.path)
      try:
        _put(config, override.path, value, override.field)
      except (KeyError, ValueError, TypeError, AttributeError) as error:
        # Such as a name with a dot.
        raise errors.InputError(
          f'{override.name} cannot be set: {errors.first_line(error)}'
        ) from error
  _check_emptied(config, overrides)
  return config


def _check_emptied(
  config: ml_collections.ConfigDict, overrides: Sequence[Override]
) -> None:
  """Raises InputError for a None that leaves a section without its needs."""
  for override in overrides:
    (section, *inner), (*_, text) = override.path, override.values
    if (
      inner
      or section not in config_lib.SECTIONS
      or not field_values.is_nothing(text)
    ):
      continue
    needed = [
      name
      for name, field in field_table.in_section(section).items()
      if field.is_required and config[section].get(name) is None
    ]
    if needed:
      raise errors.InputError(
        f'--config.{section}=None takes away {words.join(needed)}, which every'
        f' config must give; set single fields, such as'
        f' --config.{section}.{needed[0]}=VALUE'
      )


def _drop_earlier_name(
  config: ml_collections.ConfigDict, path: tuple[str, ...]
) -> None:
  """Of an overridden field the value under the name that it once had."""
  for old, new in config_lib.RENAMED.items():
    section, name = old.split('.')
    if new == '.'.join(path[-2:]):
      holder = config
      for part in (*path[:-2], section):
        if isinstance(holder, ml_collections.ConfigDict):
          holder = holder.get(part)
      if isinstance(holder, ml_collections.ConfigDict) and name in holder:
        del holder[name]


def _put(
  holder: ml_collections.ConfigDict,
  path: tuple[str, ...],
  value: Any,
  field: field_table.Field | None,
) -> None:
  for part in path[:-1]:
    inner = holder.get(part)
    if not isinstance(inner, ml_collections.ConfigDict):
      if value is None:
        return  # There is nothing to unset.
      holder[part] = {}
    holder = holder[part]
  name = path[-1]
  if value is None and field is None and name in config_lib.SECTIONS:
    holder[name] = {}  # All of its fields have their defaults.
  elif value is None and (field is None or not field.allows_none):
    if name in holder:
      del holder[name]
  else:
    if name in holder and isinstance(value, dict):
      del holder[name]  # Else the two were merged.
    holder[name] = value


def _parse(override: Override) -> Any:
  """The value of a field; None if it is unset."""
  field, name = override.field, override.name
  if field is None:
    *outer, section = override.path
    is_section = section in field_table.SOURCES and (
      not outer or tuple(outer[:2]) == _MEMBERS
    )
    return field_values.parse_dict(
      name, override.values[-1], section if is_section else None
    )
  values = [field_values.parse(name, field, x) for x in override.values]
  value = values[-1]
  if field.type is tuple and all(x and len(x) == 1 for x in values):
    value = sum(values, ())  # One element at a time.
  if value is not None:
    dataclasses.replace(field, path='.'.join(override.path)).check(value)
  return value
