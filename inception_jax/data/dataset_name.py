"""What datasets are called, and the sentence about a name that none has."""

from collections.abc import Iterable
import os
import re
import shlex

from inception_jax.runtime import errors, ranges

# Hundreds of names are known, so that only a slip makes two alike.
_CLOSE = 0.8


def prepare_command(
  name: str,
  data_dir: str | os.PathLike[str] | None = None,
  source: str | None = None,
) -> str:
  """The command that prepares a dataset, for messages.

  Args:
    name: of the dataset.
    data_dir: TFDS data directory, if it is not TFDS's default.
    source: the folder of pictures, if it is one.
  """
  arguments = [f'--config.data.name={name}']
  if data_dir:
    arguments.append(f'--config.data.data_dir={os.fspath(data_dir)}')
  if source:
    arguments.append(f'--input={source}')
  return (
    f'python main.py --mode=prepare --config=CONFIG {shlex.join(arguments)}'
  )


def unknown(
  name: str, data_dir: str | None, known: Iterable[str]
) -> errors.InputError:
  """The error for a name under which there is no dataset.

  Args:
    name: what the user gave, perhaps a path.
    data_dir: TFDS data directory; None is TFDS's default.
    known: names of all datasets that can be downloaded.
  """
  suggested = _from_path(name)
  then = '' if suggested == name else f', and then set data.name={suggested}'
  if os.path.isdir(os.path.expanduser(name)):
    command = prepare_command(suggested, data_dir, name)
    return errors.InputError(
      f'data.name={name!r} is a folder and no prepared dataset; run'
      f' `{command}`{then}'
    )
  if looks_like_path(name):
    command = f'{prepare_command(suggested, data_dir)} --input=FOLDER'
    return errors.InputError(
      f'data.name={ranges.show(name)} looks like a path, and there is no such'
      f' folder; run `{command}` with one that is there{then}'
    )
  where = data_dir or "TFDS's default data_dir"
  command = f'{prepare_command(name, data_dir)} --input=FOLDER'
  return errors.InputError(
    f'data.name={name!r} is no TFDS dataset; no folder of pictures is'
    f' prepared under that name in {where} either; run `{command}` to prepare'
    f' one{_suggestion(name, known)}'
  )


def check_spelling(name: str, known: str) -> None:
  """Raises InputError for a spelling, such as 'MNIST', that only TFDS takes.

  Runs and answers know their dataset by its name.

  Args:
    name: what the user gave.
    known: what TFDS calls the dataset that it found.
  """
  base = re.split('[:/]', name)[0]
  if base != known and _plain(base) == _plain(known):
    raise errors.InputError(
      f'data.name={name!r} is called {known!r}; write it so'
    )


def _plain(name: str) -> str:
  """A name without case and underscores: CIFAR10 and cifar_10 are alike."""
  return name.lower().replace('_', '')


def _suggestion(name: str, known: Iterable[str]) -> str:
  by_plain_name = {_plain(x): x for x in known}
  if found := by_plain_name.get(_plain(name)):
    return f'; did you mean {found!r}?'
  return errors.suggestion(name, by_plain_name.values(), _CLOSE)


def looks_like_path(name: str) -> bool:
  """Whether it is a path and no name that TFDS takes, as x/y:1.0.0 is."""
  if re.fullmatch(r'[a-z][a-z0-9_]*([:/][\w.*-]+)*', name):
    return False
  is_folder = os.path.isdir(os.path.expanduser(name))
  return is_folder or '/' in name or name.startswith('~')


def _from_path(path: str) -> str:
  """A name for the dataset of a folder: small letters and underscores."""
  last = os.path.basename(os.path.abspath(os.path.expanduser(path)))
  name = re.sub('[^a-z0-9]+', '_', last.lower()).strip('_')[:60]
  return name if re.match('[a-z]', name) else f'photos_{name}'.strip('_')
