"""Files of JSON, written whole or line by line."""

from collections.abc import Iterator
import contextlib
import json
from typing import Any
import uuid

from etils import epath

from inception_jax.runtime import durable, errors


class JsonLines:
  """A file of JSON lines, all of which stay in memory.

  New lines are appended to a local file; a remote one, which cannot be
  appended to, is replaced whole, and so is one whose lines were dropped. The
  half line that a kill can leave at the end is dropped when reading.

  Args:
    path: the file; read if it exists.

  Raises:
    InputError: if a line before the last cannot be read.
  """

  def __init__(self, path: epath.Path):
    self._path = path
    self._is_local = '://' not in str(path)
    self._lines: list[dict[str, Any]] = []
    self._num_written = 0  # Lines in the file; -1 if it must be replaced.
    if not path.exists():
      return
    texts = path.read_text().splitlines()
    for number, text in enumerate(texts, 1):
      try:
        self._lines.append(json.loads(text))
      except ValueError as error:
        if number < len(texts):
          raise errors.InputError(
            f'{path} is damaged in line {number} ({error}); delete it to go on'
            ' without it'
          ) from error
    self._num_written = -1

  def __iter__(self) -> Iterator[dict[str, Any]]:
    return iter(self._lines)

  def append(self, line: dict[str, Any]) -> None:
    """Adds a line; `flush` writes it."""
    self._lines.append(line)

  def drop_after(self, step: int) -> None:
    """Forgets the lines of later steps than `step`."""
    self._lines = [line for line in self._lines if line['step'] <= step]
    self._num_written = -1

  def flush(self) -> None:
    """Brings the file up to date.

    Raises:
      TrainingError: if it cannot be written.
    """
    appends = self._is_local and self._num_written >= 0
    new = self._lines[self._num_written :] if appends else self._lines
    text = ''.join(json.dumps(line) + '\n' for line in new)
    if appends:
      try:
        with self._path.open('a') as file:
          file.write(text)
      except OSError as error:
        self._num_written = -1  # Half of it may be there.
        raise _cannot_write(self._path, error) from error
    else:
      write_atomically(self._path, text)
    self._num_written = len(self._lines)


def write_json(path: epath.Path, value: Any) -> None:
  """Writes a file that `json` can read, atomically."""
  write_atomically(path, json.dumps(value, indent=2, sort_keys=True) + '\n')


def write_atomically(path: epath.Path, contents: str | bytes) -> None:
  """Writes a file so that neither a kill nor a loss of power leaves half of it.

  Raises:
    TrainingError: if it cannot be written; an earlier file is as it was.
  """
  # Others may be writing the same file.
  temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex[:8]}.tmp')
  try:
    if isinstance(contents, bytes):
      temporary.write_bytes(contents)
    else:
      temporary.write_text(contents)
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


def read_json(path: epath.Path) -> Any:
  """Contents of a JSON file.

  Raises:
    InputError: if it cannot be read, or is no JSON.
  """
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError, RecursionError) as error:
    raise errors.InputError(
      f'{path} cannot be read: {errors.first_line(error)}'
    ) from error
