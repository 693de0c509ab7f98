"""The config files that come with the package, by name.

They lie in `configs/` of the repository, and in the package once it is
installed. They import each other as `configs`, wherever that is.
"""

from collections.abc import Iterator, Sequence
import contextlib
import importlib.util
import pathlib
import re
import sys
import types
from typing import Any

from inception_jax.runtime import errors

_PACKAGE = pathlib.Path(__file__).parent.parent
_NAME = 'configs'


def folder() -> pathlib.Path:
  """Where the files are."""
  installed = _PACKAGE / _NAME
  return installed if installed.is_dir() else _PACKAGE.parent / _NAME


def names() -> list[str]:
  """Names of the files, sorted."""
  return sorted(x.stem for x in folder().glob('[a-z]*.py'))


def is_name(value: str) -> bool:
  """Whether `--config=value` names a config of the package, not a file.

  What follows a colon is an argument of the config.
  """
  return re.fullmatch(r'\w+(:.*)?', value) is not None


def path_of(value: str) -> str:
  """The file of a name, with the argument that follows it, if any.

  Raises:
    InputError: if there is none of this name.
  """
  name, colon, argument = value.partition(':')
  if name not in names():
    raise errors.InputError(
      f'--config={value} is no config of the package'
      f'{errors.suggestion(name, names())}; they are {", ".join(names())}; the'
      ' name of a file ends in .py'
    )
  return f'{folder() / name}.py{colon}{argument}'


def with_paths(arguments: Sequence[str]) -> tuple[list[str], bool]:
  """A command line with files instead of names of configs.

  Args:
    arguments: with `--config=VALUE` or `--config VALUE`, or neither.

  Returns:
    The arguments, and whether the last config is one of the package.

  Raises:
    InputError: if the package has none of a name.
  """
  result, is_packaged = list(arguments), False
  for place, argument in enumerate(arguments):
    if argument == '--':
      break
    found = re.fullmatch(r'(-{1,2}config)(?:=(.*))?', argument, re.DOTALL)
    if not found:
      continue
    has_value = found[2] is not None
    value = found[2] if has_value else ''.join(arguments[place + 1 : place + 2])
    is_packaged = is_name(value)
    if is_packaged and has_value:
      result[place] = f'{found[1]}={path_of(value)}'
    elif is_packaged:
      result[place + 1] = path_of(value)
  return result, is_packaged


@contextlib.contextmanager
def importable(is_packaged: bool) -> Iterator[None]:
  """Lets config files import those of the package as `configs`.

  Args:
    is_packaged: whether the file to load is the package's own. A user's file
      has a `configs` of its own, if there is one.
  """
  if not is_packaged and importlib.util.find_spec(_NAME):
    yield
    return
  module = types.ModuleType(_NAME)
  module.__path__ = [str(folder())]
  others = {
    name: sys.modules.pop(name)
    for name in list(sys.modules)
    if name == _NAME or name.startswith(f'{_NAME}.')
  }
  sys.modules[_NAME] = module
  try:
    yield
  finally:
    if others:
      for name in list(sys.modules):
        if name == _NAME or name.startswith(f'{_NAME}.'):
          del sys.modules[name]
      sys.modules.update(others)


def load(value: str) -> Any:
  """The config that `--config=value` means, as its file returns it.

  Raises:
    InputError: if there is no such config or file.
  """
  from absl import flags
  from ml_collections import config_flags

  is_packaged = is_name(value)
  path = path_of(value) if is_packaged else value
  alone = flags.FlagValues()
  argv = ['', f'--config={path}']
  config_flags.DEFINE_config_file('config', flag_values=alone, sys_argv=argv)
  try:
    with importable(is_packaged):
      alone(argv)
      _ = alone.config.keys  # Raises if the file cannot be read.
      return alone.config
  except Exception as error:  # Also whatever a config file raises.
    raise errors.InputError(
      f'--config={value} cannot be read ({errors.first_line(error)}); give a'
      f' file that ends in .py, or one of {", ".join(names())}'
    ) from error
