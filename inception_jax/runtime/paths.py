"""Names of files and folders as users give them, in flags and config fields.

A leading `~` is the home folder. Remote places are `gs://BUCKET/…`; other
addresses are not supported. Folders in which checkpoints or records are written
must not have characters that a library below takes for a pattern or for a
separator: what was written there could not be read again.
"""

import os
import re
import unicodedata

from etils import epath

from inception_jax.runtime import durable, errors, remote

_SCHEME = re.compile(r'^([a-zA-Z][a-zA-Z0-9+.-]*)://')
_REMOTE = ('gs',)
_NOT_IN_FOLDERS = '*?[]\\'
# TensorStore takes it for a slash, when it reads too.
_NOT_TO_READ = '\\'
_MAX_BYTES_OF_NAME = 255
_MAX_BYTES = 4096


def unsupported(path: epath.PathLike) -> str | None:
  """Why an address cannot be used, with the remedy; None if it is a path."""
  found = _SCHEME.match(os.fspath(path))
  if not found or found[1] in _REMOTE:
    return None
  if found[1].lower() in ('http', 'https', 'ftp'):
    return 'web addresses are not supported; download it first'
  return (
    f'addresses of {found[1]}:// are not supported; give a local path, or'
    ' gs://BUCKET/PATH'
  )


def expand(path: epath.PathLike, name: str) -> str:
  """A path with its `~` expanded.

  Args:
    path: what the user gave.
    name: the flag or field, for messages.

  Raises:
    InputError: if it is empty, no text, an address that is not supported,
      nothing that a file system takes, or in a bucket that cannot be used.
  """
  if not isinstance(path, str | os.PathLike) or not os.fspath(path):
    raise errors.InputError(f'{name} must name a file or folder, not {path!r}')
  if reason := unsupported(path):
    raise errors.InputError(f'{name}={os.fspath(path)}: {reason}')
  expanded = os.path.expanduser(os.fspath(path))
  if expanded.startswith('~'):
    user = expanded.split('/')[0]
    if user != '~' and not os.path.exists(expanded):
      raise errors.InputError(
        f'{name}={os.fspath(path)}: there is no user {user[1:]!r}; write'
        f' ./{expanded} for a folder of that name'
      )
  if durable.is_local(expanded):
    _check_bytes(expanded, name)
  else:
    remote.check(expanded, name)
  return expanded


def normal_form(name: str) -> str:
  """A name in the form (NFC) in which letter and accent are one character.

  macOS writes them as two, which look the same.
  """
  return unicodedata.normalize('NFC', name)


def existing(path: str | os.PathLike[str]) -> str:
  """A path, or what exists of the same name in another Unicode normalisation.

  What macOS has named looks the same elsewhere and is another name there.

  Args:
    path: local, expanded.
  """
  path = os.fspath(path)
  forms = [path, *(unicodedata.normalize(x, path) for x in ('NFC', 'NFD'))]
  return next((x for x in forms if os.path.exists(x)), path)


def _check_bytes(path: str, name: str) -> None:
  """Raises InputError if no file can have such a path."""
  try:
    encoded = os.fsencode(path)
  except UnicodeEncodeError:
    encoded = b'\0'
  if b'\0' in encoded:
    raise errors.InputError(
      f'{name}={path!r} has a character that no file has in its name; give'
      ' another'
    )
  longest = max(map(len, encoded.split(b'/')))
  if longest > _MAX_BYTES_OF_NAME or len(encoded) >= _MAX_BYTES:
    raise errors.InputError(
      f'{name}={path[:40]}… is too long, with {len(encoded):,} bytes of which'
      f' {longest:,} are one name; file systems take {_MAX_BYTES - 1:,} and'
      f' {_MAX_BYTES_OF_NAME}: give another'
    )


def check_folder(
  path: epath.PathLike, name: str, reads_only: bool = False
) -> None:
  """Checks a folder in which checkpoints or records are to be written.

  Args:
    path: expanded.
    name: the flag or field, for messages.
    reads_only: whether they are there, and only to be read; that is possible
      where writing is not.

  Raises:
    InputError: if it, or a folder above it, has a character that cannot be
      used.
  """
  if not durable.is_local(path):
    return
  place = os.path.realpath(path)
  not_there = _NOT_TO_READ if reads_only else _NOT_IN_FOLDERS
  bad = sorted({x for x in place if x in not_there})
  if bad:
    raise errors.InputError(
      f'{name}={os.fspath(path)} has {" and ".join(bad)} in its full path'
      f' {place}, which checkpoints and records cannot have; give another'
    )
  try:
    place.encode()
  except UnicodeEncodeError:
    raise errors.InputError(
      f'{name}={place.encode(errors="backslashreplace").decode()} is not UTF-8;'
      ' give another'
    ) from None


def split(paths: epath.PathLike, name: str) -> list[str]:
  """Paths with commas between them; an existing folder is taken whole.

  Args:
    paths: what the user gave.
    name: the flag, for messages.

  Returns:
    Expanded paths, in order.

  Raises:
    InputError: if one is empty or cannot be used.
  """
  text = os.fspath(paths)
  if text and os.path.exists(os.path.expanduser(text)):
    return [expand(text, name)]
  parts = [part.strip() for part in text.split(',')]
  if not all(parts):
    raise errors.InputError(
      f'{name}={text} has a comma with nothing beside it; leave it out'
    )
  return _joined([expand(part, name) for part in parts])


def _joined(parts: list[str]) -> list[str]:
  """Puts together neighbours whose names have commas, where that exists."""
  found = []
  while parts:
    for count in range(len(parts), 0, -1):
      whole = ','.join(parts[:count])
      if count == 1 or os.path.exists(whole):
        found.append(whole)
        parts = parts[count:]
        break
  return found
