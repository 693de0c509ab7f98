"""Values of a config's fields as texts of the command line."""

import ast
from typing import Any

from inception_jax.experiment import field_table, fields
from inception_jax.runtime import errors, ranges, words

_NOTHING = ('', 'None')
_TRUE = ('true', 't', 'yes', 'y', '1')
_FALSE = ('false', 'f', 'no', 'n', '0')


def is_nothing(text: str | None) -> bool:
  """Whether a text unsets what it is given to."""
  return text is None or text.strip() in _NOTHING


def parse(name: str, field: field_table.Field, text: str) -> Any:
  """The value of a field, of its type.

  Args:
    name: of the field, for messages.
    field: whose type counts; whether the value is among its own does not.
    text: what stands after the `=`.

  Returns:
    The value; None if the text unsets the field.

  Raises:
    InputError: if the text is none of the type.
  """
  if is_nothing(text):
    return None
  if field.type is dict:
    return parse_dict(name, text)
  try:
    return _PARSERS[field.type](text)
  except ValueError as error:
    raise errors.InputError(
      f'{name}={ranges.show(text)} must be {ranges.describe(field.declared)}'
    ) from error


def parse_dict(
  name: str, text: str | None, section: str | None = None
) -> dict[str, Any] | None:
  """The value of a dict.

  Args:
    name: of the dict, for messages.
    text: what stands after the `=`.
    section: of the config, if the dict is one.

  Returns:
    Plain data; None if the text unsets the dict.

  Raises:
    InputError: if the text is no dict with texts as keys.
  """
  if is_nothing(text):
    return None
  try:
    value = _literal(text)
  except ValueError:
    value = None
  if not isinstance(value, dict) or not all(isinstance(x, str) for x in value):
    example = "{'FIELD': value}"
    if '.members' in name and section is None:
      example = "{'model': {'width': 1.25}}"
    remedy = '' if section is None else _field_of_section(name, text, section)
    raise errors.InputError(
      f'{name}={ranges.show(text)} must be a dict, such as {example}, or'
      f' None{remedy}'
    )
  return fields.plain(value)


def fitting(section: str, text: str) -> str | None:
  """Name of the first field of a section that takes a text as its value."""
  for name, field in field_table.in_section(section).items():
    try:
      value = parse(name, field, text)
      field.check(value)
    except errors.InputError:
      continue
    if value is not None:
      return name
  return None


def _field_of_section(name: str, text: str, section: str) -> str:
  """What was probably meant by one value for a whole section."""
  if text.strip().startswith('{'):
    return ''
  if field := fitting(section, text):
    return f'; did you mean {ranges.show(f"--{name}.{field}={text}")}?'
  known = words.join(field_table.in_section(section), 'or')
  return f', or set one of its fields, {known}'


def _parse_bool(text: str) -> bool:
  word = text.strip().lower()
  if word not in (*_TRUE, *_FALSE):
    raise ValueError('neither true nor false')
  return word in _TRUE


def _parse_tuple(text: str) -> tuple[Any, ...]:
  """A tuple as Python writes it, or texts with commas between them."""
  try:
    value = _literal(text)
  except ValueError:
    if text.strip()[0] in '({':
      raise  # Meant as Python.
    value = [x.strip() for x in text.split(',')]
  return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _literal(text: str) -> Any:
  """What Python makes of a text without running it."""
  try:
    return ast.literal_eval(text.strip())
  except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
    raise ValueError(errors.first_line(error)) from error


_PARSERS = {
  bool: _parse_bool,
  int: int,
  float: float,
  str: str,
  tuple: _parse_tuple,
}
