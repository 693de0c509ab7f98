"""Sections of a config as arguments of functions."""

from collections.abc import Callable, Mapping
import inspect
import types
import typing
from typing import Any

import ml_collections

from inception_jax.runtime import errors


def call_with_section(
  function: Callable[..., Any],
  section: str,
  fields: Mapping[str, Any],
  **more: Any,
) -> Any:
  """Calls `function(**fields, **more)` and blames the config for what fails.

  Args:
    function: function or dataclass with annotated arguments.
    section: name of the section, for messages.
    fields: fields of the section.
    **more: arguments that do not come from the config.

  Returns:
    What the function returns.

  Raises:
    InputError: if a field is unknown (with the nearest name), missing, of the
      wrong type, or refused by the function with a ValueError.
  """
  known = typing.get_type_hints(
    function if inspect.isfunction(function) else function.__init__
  )
  parameters = inspect.signature(function).parameters
  names = [name for name in parameters if name not in more]
  for name, value in fields.items():
    if name not in names:
      raise errors.InputError(
        f'unknown field config.{section}.{name}{errors.suggestion(name, names)}'
      )
    if name in known and not _fits(value, known[name]):
      raise errors.InputError(
        f'config.{section}.{name}={value!r} is of the wrong type'
        f' {type(value).__name__}; it must be'
        f' {inspect.formatannotation(known[name])}'
      )
  for name in names:
    if parameters[name].default is parameters[name].empty:
      if name not in fields:
        raise errors.InputError(f'field config.{section}.{name} is missing')
  try:
    return function(**fields, **more)
  except errors.InputError:
    raise
  except (ValueError, TypeError) as error:
    raise errors.InputError(f'config.{section}: {error}') from error


def _fits(value: Any, annotation: Any) -> bool:
  """Whether a config value can stand where `annotation` is asked for."""
  if typing.get_origin(annotation) in (types.UnionType, typing.Union):
    return any(_fits(value, arg) for arg in typing.get_args(annotation))
  if typing.get_origin(annotation) is tuple:
    args = typing.get_args(annotation)
    if args[-1] is Ellipsis and isinstance(value, (tuple, list)):
      args = args[:1] * len(value)
    return (
      isinstance(value, (tuple, list))
      and len(value) == len(args)
      and all(map(_fits, value, args))
    )
  if annotation is float:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
  if annotation is int:
    return isinstance(value, int) and not isinstance(value, bool)
  if isinstance(annotation, type):
    return isinstance(value, annotation)
  return True


def plain(config: ml_collections.ConfigDict | Mapping[str, Any]) -> Any:
  """A config as JSON-like data: dicts, lists, strings, numbers, None."""
  if isinstance(config, ml_collections.ConfigDict):
    config = config.to_dict()
  if isinstance(config, Mapping):
    return {str(k): plain(v) for k, v in config.items()}
  if isinstance(config, (tuple, list)):
    return [plain(v) for v in config]
  return config
