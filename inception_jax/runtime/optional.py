"""Packages that only some commands need: TensorFlow, and those of formats."""

import importlib
import importlib.metadata
import importlib.util
import types

from inception_jax.runtime import errors


def import_package(
  name: str, purpose: str, extra: str = 'export'
) -> types.ModuleType:
  """Imports a package of an extra, or a module of ours that needs one.

  Args:
    name: of the package or module.
    purpose: what needs it, for the message.
    extra: of `pyproject.toml`.

  Raises:
    InputError: if it is not installed, or cannot be imported.
  """
  try:
    return importlib.import_module(name)
  except ImportError as error:
    raise errors.InputError(
      f'{purpose} needs the package {error.name or name}, which cannot be'
      f' imported ({errors.first_line(error)}); pip install'
      f" 'inception_jax[{extra}]'"
    ) from error


def find_package(name: str, purpose: str, extra: str = 'export') -> None:
  """As `import_package`, without importing it.

  Raises:
    InputError: if it is not installed.
  """
  if importlib.util.find_spec(name) is None:
    raise errors.InputError(
      f'{purpose} needs the package {name}, which is not installed; pip install'
      f" 'inception_jax[{extra}]'"
    )


def version_of(name: str) -> str:
  """Version of a package; 'unknown' of a clone that is not installed."""
  try:
    return importlib.metadata.version(name)
  except importlib.metadata.PackageNotFoundError:
    return 'unknown'
