"""The config files that come with the package, by name.

They lie in `configs/` of the repository, and in the package once it is
installed. They import each other as `configs`, wherever that is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import importlib.machinery
import importlib.util
import inspect
import os
import pathlib
import re
import sys
import traceback
import types
from typing import Any

from etils import epath
import ml_collections

from inception_jax.runtime import errors, text_files, words

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
      f'--config={value} is no config of the package, which has'
      f' {words.join(names())}; the name of a file ends in .py'
      f'{errors.suggestion(name, names())}'
    )
  return f'{folder() / name}.py{colon}{argument}'


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
  module.__spec__ = importlib.machinery.ModuleSpec(_NAME, None, is_package=True)
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
  """The config that `--config=value` means.

  Args:
    value: a name or the path of a file, and after a colon the argument of its
      `get_config`, if it has one.

  Returns:
    A mapping, as the file returns it; a ConfigDict is locked.

  Raises:
    InputError: if there is no such config, or its file fails.
  """
  is_packaged = is_name(value)
  path, colon, argument = (path_of(value) if is_packaged else value).partition(
    ':'
  )
  path = os.path.expanduser(path)
  _check_file(value, path)
  with importable(is_packaged):
    with _named(value, path):
      get_config = getattr(_import(path), 'get_config', None)
    if not callable(get_config):
      raise errors.InputError(
        f'--config={value} has no function get_config(), which returns the'
        f' config; write one, as in {folder() / "digits.py"}'
      )
    arguments = [argument] if colon else []
    _check_arguments(value, get_config, arguments)
    with _named(value, path):
      config = get_config(*arguments)
  if not isinstance(config, Mapping | ml_collections.ConfigDict):
    raise errors.InputError(
      f'get_config() of --config={value} must return a ConfigDict or a dict,'
      f' not {type(config).__name__}; mend the file'
    )
  if isinstance(config, ml_collections.ConfigDict):
    config.lock()
  return config


def _check_file(value: str, path: str) -> None:
  """Raises InputError unless there is a file that Python can read."""
  try:
    with open(path, 'rb'):
      pass
  except (OSError, ValueError) as error:
    beside = {
      x.stem: str(x) for x in pathlib.Path(path).parent.glob('[!_]*.py')
    }
    known = {**{name: name for name in names()}, **beside}
    near = errors.nearest(pathlib.Path(path).stem, known)
    reason = errors.system_reason(error) or errors.first_line(error)
    raise errors.InputError(
      f'--config={value} cannot be read ({reason}); give a file that ends in'
      f' .py, or {words.join(names(), "or")}'
      + (f'; did you mean {known[near]!r}?' if near else '')
    ) from error
  try:
    text_files.check_source(epath.Path(path))
  except ValueError as error:
    raise errors.InputError(f'--config={value}: {error}') from error


def _import(path: str) -> types.ModuleType:
  """The module of a file, whatever its name ends in."""
  name = 'config_config'
  loader = importlib.machinery.SourceFileLoader(name, path)
  module = importlib.util.module_from_spec(
    importlib.util.spec_from_loader(name, loader)
  )
  sys.modules[name] = module  # As dataclasses in it need.
  loader.exec_module(module)
  return module


def _check_arguments(
  value: str, get_config: Callable[..., Any], arguments: Sequence[str]
) -> None:
  """Raises InputError if an argument is missing, or one too much."""
  try:
    inspect.signature(get_config).bind(*arguments)
  except TypeError as error:
    remedy = f'give --config={value}:ARGUMENT'
    if arguments:
      remedy = f'leave out :{arguments[0]}'
    raise errors.InputError(
      f'--config={value} does not fit get_config() of the file'
      f' ({errors.first_line(error)}); {remedy}'
    ) from error


@contextlib.contextmanager
def _named(value: str, path: str) -> Iterator[None]:
  """Names the config's file and its line in whatever the file raises."""
  try:
    yield
  # A file may try to end the program, too.
  except (Exception, SystemExit) as error:
    raise _failure(value, path, error) from error


def _failure(value: str, path: str, error: BaseException) -> errors.InputError:
  """The error of a file that raises one, with the last of its own lines."""
  lines = [
    frame.lineno
    for frame in traceback.extract_tb(error.__traceback__)
    if os.path.abspath(frame.filename) == os.path.abspath(path)
  ]
  if isinstance(error, SyntaxError) and error.filename == path:
    lines, reason = [error.lineno], error.msg
  else:
    reason = errors.first_line(error)
  where = f' in line {lines[-1]}' if lines and lines[-1] else ''
  return errors.InputError(
    f'--config={value} fails{where} ({type(error).__name__}: {reason[:300]});'
    ' mend the file, or give another'
  )
