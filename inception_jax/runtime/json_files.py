"""Files of JSON, written whole or line by line."""

from collections.abc import Callable, Iterator
import contextlib
import json
import math
from typing import Any
import uuid

from absl import logging
from etils import epath

from inception_jax.runtime import durable, errors, read_failures, words


class JsonLines:
  """A file of JSON lines, all of which stay in memory.

  Each line is a dict with a whole number `step`. New lines are appended to a
  local file. A remote file cannot be appended to, so it is replaced whole, and
  only by a `flush` that syncs; so is a file whose lines were dropped. The half
  line, without its end, that a kill can leave is dropped when reading.

  Args:
    path: the file.
    known: the text that it must begin with; its lines are taken instead of
      those of the file, which is written anew, with a warning, if it differs.
      None is the lines of the file, if it exists.
    skips_damage: with `known=None`, whether a damaged line is left out with a
      warning and not an error.
    is_valid: whether a line is one of this file; what is not is damaged.

  Raises:
    InputError: if the file cannot be read, or a line is damaged.
  """

  def __init__(
    self,
    path: epath.Path,
    known: str | None = None,
    skips_damage: bool = False,
    is_valid: Callable[[dict[str, Any]], bool] = lambda line: True,
  ):
    self._path = path
    self._is_local = durable.is_local(path)
    self._num_written = -1  # Lines in the file; -1 if it must be replaced.
    contents = _read(path)
    if known is not None and not contents.startswith(known.encode()):
      logging.warning(
        '%s is missing, damaged or changed; it is written anew, with %s, from'
        ' the checkpoint',
        path,
        words.count(known.count('\n'), 'line'),
      )
    if known is not None:
      contents = known.encode()
    self._lines = _parse(path, contents, skips_damage, is_valid)
    # Encoded once, however often all of them are wanted.
    self._texts = [_to_text(line) for line in self._lines]

  def __iter__(self) -> Iterator[dict[str, Any]]:
    return iter(self._lines)

  @property
  def text(self) -> str:
    """What the file holds after the next `flush`."""
    return ''.join(self._texts)

  def append(self, line: dict[str, Any]) -> None:
    """Adds a line; `flush` writes it."""
    self._lines.append(line)
    self._texts.append(_to_text(line))

  def drop_after(self, step: int) -> None:
    """Forgets the lines of later steps than `step`."""
    self._lines = [line for line in self._lines if line['step'] <= step]
    self._texts = [_to_text(line) for line in self._lines]
    self._num_written = -1

  def flush(self, sync: bool = False) -> None:
    """Brings the file up to date.

    Args:
      sync: also on the disk, or in the object store.

    Raises:
      TrainingError: if it cannot be written.
    """
    if not self._is_local and not sync:
      return
    appends = self._is_local and self._num_written >= 0
    try:
      if appends:
        with self._path.open('a') as file:
          file.write(''.join(self._texts[self._num_written :]))
        if sync:
          durable.sync_file(self._path)
    except OSError as error:
      self._num_written = -1  # Half of it may be there.
      raise _cannot_write(self._path, error) from error
    if not appends:
      write_atomically(self._path, self.text)
    self._num_written = len(self._lines)


def dumps(value: Any, **options: Any) -> str:
  """As `json.dumps`, with null in place of numbers that JSON does not have.

  Python writes NaN and infinity as words, which most other programs refuse.

  Args:
    value: what JSON can hold.
    **options: of `json.dumps`.
  """
  try:
    return json.dumps(value, allow_nan=False, **options)
  except ValueError:
    return json.dumps(_with_nulls(value), allow_nan=False, **options)


def _with_nulls(value: Any) -> Any:
  if isinstance(value, dict):
    return {name: _with_nulls(x) for name, x in value.items()}
  if isinstance(value, list | tuple):
    return [_with_nulls(x) for x in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def _to_text(line: dict[str, Any]) -> str:
  return dumps(line) + '\n'


def _read(path: epath.Path) -> bytes:
  try:
    return path.read_bytes() if read_failures.exists(path) else b''
  except OSError as error:
    raise errors.InputError(
      f'{path} cannot be read ({errors.first_line(error)}); mend that and run'
      ' the same command again'
    ) from error


def _parse(
  path: epath.Path,
  contents: bytes,
  skips_damage: bool,
  is_valid: Callable[[dict[str, Any]], bool],
) -> list[dict[str, Any]]:
  lines, texts = [], contents.splitlines()
  for number, text in enumerate(texts, 1):
    try:
      line = json.loads(text)
      if not isinstance(line, dict) or type(line.get('step')) is not int:
        raise ValueError('it has no step')
      if not is_valid(line):
        raise ValueError('it is no such line')
      lines.append(line)
    except (ValueError, RecursionError) as error:
      if skips_damage:
        logging.warning('line %d of %s is damaged; left out', number, path)
      elif number < len(texts) or contents.endswith(b'\n'):
        raise errors.InputError(
          f'{path} is damaged in line {number} ({errors.first_line(error)});'
          ' delete it to go on without it'
        ) from error
  return lines


def write_json(path: epath.Path, value: Any) -> None:
  """Writes a file that `json` can read, atomically."""
  write_atomically(path, to_text(value))


def to_text(value: Any) -> str:
  """The text of a JSON file, for people too."""
  return dumps(value, indent=2, sort_keys=True) + '\n'


def write_atomically(path: epath.Path, contents: str | bytes) -> None:
  """Writes a file so that neither a kill nor a loss of power leaves half of it.

  A bucket does so by itself, and cannot rename.

  Raises:
    TrainingError: if it cannot be written; an earlier file is as it was.
  """
  # Others may be writing the same file.
  temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex[:8]}.tmp')
  is_local = durable.is_local(path)
  target = temporary if is_local else path
  try:
    if isinstance(contents, bytes):
      target.write_bytes(contents)
    else:
      target.write_text(contents)
    if is_local:
      durable.replace(temporary, path)
  except OSError as error:
    with contextlib.suppress(OSError):
      temporary.unlink(missing_ok=True)
    raise _cannot_write(path, error) from error


def _cannot_write(path: epath.Path, error: OSError) -> errors.TrainingError:
  return errors.cannot_write(
    path,
    error,
    f'{errors.remedy_of_writing(error)} and run the same command again',
    errors.TrainingError,
  )


def read_json(path: epath.Path, remedy: str) -> Any:
  """Contents of a JSON file.

  Args:
    path: the file.
    remedy: what the user can do if it is missing or damaged.

  Raises:
    InputError: if it cannot be read, or is no JSON.
  """
  try:
    # Bytes, in whichever form of Unicode an editor has left them.
    return json.loads(path.read_bytes())
  except FileNotFoundError as error:
    raise errors.InputError(f'{path} is missing; {remedy}') from error
  except OSError as error:
    raise errors.InputError(
      f'{path} cannot be read ({error.strerror or errors.first_line(error)});'
      ' mend that and run the same command again'
    ) from error
  except (ValueError, RecursionError) as error:
    raise errors.InputError(
      f'{path} is damaged ({errors.first_line(error)}); {remedy}'
    ) from error


def read_or_none(path: epath.Path) -> Any:
  """Contents of a JSON file; None if it does not exist or is damaged.

  Raises:
    InputError: if the system cannot read it.
  """
  contents = _read(path)  # Whose errors are of ValueError's kind too.
  try:
    return json.loads(contents)
  except (ValueError, RecursionError):
    return None


def read_dict_or_none(path: epath.Path) -> dict[str, Any] | None:
  """As `read_or_none`, where anything but a dict is damage too."""
  found = read_or_none(path)
  return found if isinstance(found, dict) else None
