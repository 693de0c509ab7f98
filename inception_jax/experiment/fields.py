"""Sections of a config as arguments of functions."""

from collections.abc import Callable, Mapping
from typing import Any

import ml_collections
from ml_collections import config_dict

from inception_jax.experiment import field_table
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
    fields: fields of the section; None where None is not allowed is as if it
      were not given.
    **more: arguments that do not come from the config.

  Returns:
    What the function returns.

  Raises:
    InputError: if a field is unknown (with the nearest name), missing, of the
      wrong type, out of its range, or refused by the function with a
      ValueError.
  """
  known = {
    name: field
    for name, field in field_table.declared(section, function).items()
    if name not in more
  }
  field_table.check_section(section, fields, known)
  field_table.check_required(fields, known)
  fields = field_table.given(fields, known)
  try:
    return function(**fields, **more)
  except errors.InputError:
    raise
  except (ValueError, TypeError) as error:
    raise errors.InputError(f'config.{section}: {error}') from error


def plain(config: ml_collections.ConfigDict | Mapping[str, Any]) -> Any:
  """A config as JSON-like data: dicts, lists, strings, numbers, None.

  Raises:
    InputError: if a placeholder that is required has no value.
  """
  if isinstance(config, ml_collections.ConfigDict):
    try:
      config = config.to_dict()
    except config_dict.RequiredValueError as error:
      raise errors.InputError(
        f'a required field of the config has no value ({error}); give it one'
      ) from error
  if isinstance(config, Mapping):
    return {str(k): plain(v) for k, v in config.items()}
  if isinstance(config, (tuple, list)):
    return [plain(v) for v in config]
  return config
