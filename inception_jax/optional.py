"""Packages that only some formats need."""

import importlib
import importlib.metadata
import types

from inception_jax import errors


def import_package(name: str, purpose: str) -> types.ModuleType:
  """Imports a package of the extra `export`.

  Args:
    name: of the package.
    purpose: what needs it, for the message.

  Raises:
    InputError: if it is not installed, or cannot be imported.
  """
  try:
    return importlib.import_module(name)
  except ImportError as error:
    raise errors.InputError(
      f'{purpose} needs the package {name}, which cannot be imported'
      f" ({errors.first_line(error)}); pip install 'inception_jax[export]'"
    ) from error


def version_of(name: str) -> str:
  """Version of a package; 'unknown' of a clone that is not installed."""
  try:
    return importlib.metadata.version(name)
  except importlib.metadata.PackageNotFoundError:
    return 'unknown'
