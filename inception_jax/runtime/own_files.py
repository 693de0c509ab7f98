"""Files that commands write for the user, and may replace.

A file is only replaced or deleted if it is, byte for byte, what a command wrote
there: each folder has a list of names and digests, `.inception_jax_files.json`.
Whatever else is there is the user's.
"""

from collections.abc import Iterable, Mapping
import contextlib
import hashlib
import os
import stat

from etils import epath

from inception_jax.runtime import durable, errors, json_files

LIST = '.inception_jax_files.json'


def write(path: epath.PathLike, flag: str, contents: str | bytes) -> None:
  """Writes one file; see `OwnFiles.write`."""
  path = _resolved(path)
  if isinstance(contents, str):
    contents = contents.encode(errors='backslashreplace')
  OwnFiles(path.parent, flag).write({path.name: contents})


def check(path: epath.PathLike, flag: str) -> None:
  """Raises InputError if there is a file that is not ours; see `OwnFiles`."""
  path = _resolved(path)
  OwnFiles(path.parent, flag).check([path.name])


class OwnFiles:
  """The files of one folder.

  Args:
    folder: may not exist yet.
    flag: names it in messages, such as '--output'.
  """

  def __init__(self, folder: epath.PathLike, flag: str):
    self._folder = epath.Path(folder)
    self._flag = flag

  def check(self, names: Iterable[str]) -> None:
    """Looks whether files may be written, before work is spent on them.

    Args:
      names: of files in the folder.

    Raises:
      InputError: if one is there that is not an earlier result.
    """
    known = self._known()
    for name in names:
      path = self._folder / name
      if not _exists(path):
        continue
      if _is_special(path):
        raise errors.InputError(
          f'{self._flag}: {path} is no regular file; give another'
        )
      try:
        is_ours = _digest_of(path) in known.get(name, ())
      except OSError as error:
        raise errors.InputError(
          f'{self._flag}: {path} cannot be read ({error.strerror or error});'
          ' give another'
        ) from error
      if not is_ours:
        raise errors.InputError(
          f'{self._flag}: {path} is there already and is not, or no longer,'
          ' what this program wrote there; move it away, or give another'
        )

  def write(
    self, contents: Mapping[str, bytes], removes: Iterable[str] = ()
  ) -> None:
    """Writes files, all or none, and removes earlier ones.

    Args:
      contents: of each file, by name.
      removes: names of earlier results that have no successor; those that are
        not ours stay.

    Raises:
      InputError: see `check`.
      OSError: if they cannot be written; earlier ones are as they were.
    """
    self.check(contents)
    self.remember(
      {name: hashlib.sha256(x).hexdigest() for name, x in contents.items()}
    )
    parts = {name: self._folder / f'.{name}.partial' for name in contents}
    try:
      for name, part in parts.items():
        part.write_bytes(contents[name])
      replace_all(parts, self._folder)
    finally:
      for part in parts.values():
        with contextlib.suppress(OSError):
          part.unlink(missing_ok=True)
    known = self._known()
    for name in removes:
      path = self._folder / name
      if _exists(path) and _digest_of(path) in known.get(name, ()):
        path.unlink()

  def remember(self, digests: Mapping[str, str]) -> None:
    """Puts files on the list that are about to be written.

    Those that are there stay on it: writing can fail, or be killed.

    Args:
      digests: SHA-256 of each, by name.
    """
    known = self._known()
    for name, digest in digests.items():
      path, earlier = self._folder / name, known.get(name, ())
      if earlier and _exists(path) and not _is_special(path):
        there = _digest_of(path)
        earlier = [x for x in earlier if x == there != digest]
      known[name] = [digest, *earlier]
    durable.make_folder(self._folder)
    try:
      json_files.write_json(self._folder / LIST, known)
    except errors.TrainingError as error:
      raise error.__cause__ from None  # The system's, as of the files.

  def _known(self) -> dict[str, list[str]]:
    found = json_files.read_dict_or_none(self._folder / LIST) or {}
    return {k: v for k, v in found.items() if isinstance(v, list)}


def replace_all(parts: Mapping[str, epath.Path], folder: epath.Path) -> None:
  """Gives finished files their names, all or none.

  Args:
    parts: the finished files, by name; in `folder`, under other names.
    folder: where they get them.

  Raises:
    OSError: if one cannot; earlier files are as they were.
  """
  aside, placed = {}, []
  try:
    for part in parts.values():
      durable.sync_file(part)
    for name in parts:
      if len(parts) > 1 and _exists(folder / name):
        aside[name] = folder / f'.{name}.earlier'
        _keep(folder / name, aside[name])
    for name, part in parts.items():
      part.replace(folder / name)
      placed.append(folder / name)
    durable.sync_folder(folder)
  except BaseException:
    for path in placed:
      if path.name in aside:
        aside[path.name].replace(path)
      else:
        path.unlink(missing_ok=True)
    raise
  finally:
    for earlier in aside.values():
      with contextlib.suppress(OSError):
        earlier.unlink(missing_ok=True)


def _keep(path: epath.Path, copy: epath.Path) -> None:
  """Makes a second name for a file, or a copy where that is not possible."""
  copy.unlink(missing_ok=True)
  try:
    os.link(path, copy)
  except (OSError, AttributeError):
    copy.write_bytes(path.read_bytes())


def _resolved(path: epath.PathLike) -> epath.Path:
  """Where a file really lies: a link stays a link to it."""
  if not durable.is_local(path):
    return epath.Path(path)
  return epath.Path(os.path.realpath(path))


def _exists(path: epath.Path) -> bool:
  return os.path.lexists(path) if durable.is_local(path) else path.exists()


def _is_special(path: epath.Path) -> bool:
  """Whether it is a folder, a pipe or a device."""
  if not durable.is_local(path):
    return path.is_dir()
  return not stat.S_ISREG(os.lstat(path).st_mode)


def _digest_of(path: epath.Path) -> str:
  digest = hashlib.sha256()
  with path.open('rb') as file:
    while block := file.read(1 << 20):
      digest.update(block)
  return digest.hexdigest()
