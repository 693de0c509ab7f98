"""Files that are written and checked, all or none, with `check.json`."""

from collections.abc import Callable, Mapping
import contextlib
import hashlib
import json
from typing import Any

from etils import epath

from inception_jax.runtime import errors, json_files, locks, own_files

CHECK_FILE = 'check.json'
_LOCK_FILE = '.export.lock'


def write(
  path: epath.Path,
  contents: Mapping[str, bytes],
  about: Mapping[str, Any],
  check: Callable[[Mapping[str, epath.Path]], Mapping[str, Any]],
) -> dict[str, Any]:
  """Writes files and `check.json` beside them, all or none.

  The files lie under names of their own until the check is over.

  Args:
    path: of the file itself.
    contents: of all files by the ending of their names, that of `path` first.
    about: what `check.json` says besides; `path` is in it.
    check: from where each file lies, by its ending, to what was found, for
      `check.json`. What it raises is raised here.

  Returns:
    `about` and what was found. In `check.json`, `earlier` keeps those of other
    files in the folder.

  Raises:
    HeldError: if another command exports to the folder.
    InputError: if the files cannot be written, or a `check.json` is there that
      is not of an export. Nothing is left then, nor when `check` raises, and
      an earlier file stays as it was.
  """
  is_new = not path.parent.exists()
  try:
    # It makes the folder, too, which goes again if nothing is left in it.
    with locks.hold(
      path.with_name(_LOCK_FILE),
      f'exporting to {path.parent}',
      'wait for it or give --output in another folder',
    ):
      return _write(path, contents, about, check, is_new)
  except OSError as error:
    raise errors.cannot_write(
      f'--output={path}',
      error,
      f'{errors.remedy_of_writing(error)}, or give another',
    ) from error


def _write(
  path: epath.Path,
  contents: Mapping[str, bytes],
  about: Mapping[str, Any],
  check: Callable[[Mapping[str, epath.Path]], Mapping[str, Any]],
  is_new: bool,
) -> dict[str, Any]:
  """As `write`, in a folder, new or not, that nobody else writes to."""
  files = {ending: path.with_suffix(ending) for ending in contents}
  parts = {ending: _partial(file) for ending, file in files.items()}
  check_file = path.with_name(CHECK_FILE)
  partial_check = _partial(check_file)
  leftovers = [*parts.values(), partial_check]
  if is_new:
    leftovers.append(path.parent / own_files.LIST)
  try:
    earlier = _earlier_checks(check_file, path)
    own = own_files.OwnFiles(path.parent, '--output')
    own.check(file.name for file in files.values())
    for ending, part in parts.items():
      part.write_bytes(contents[ending])
    result = {**about, **check(parts)}
    checks = {**result, 'earlier': earlier} if earlier else result
    text = json_files.dumps(checks, indent=2, sort_keys=True)
    partial_check.write_text(text + '\n')
    own.remember(
      {
        files[ending].name: hashlib.sha256(contents[ending]).hexdigest()
        for ending in files
      }
    )
    named = {files[ending].name: part for ending, part in parts.items()}
    own_files.replace_all({**named, CHECK_FILE: partial_check}, path.parent)
    leftovers = []
  finally:
    for file in leftovers:
      with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)
  return result


def _partial(file: epath.Path) -> epath.Path:
  return file.with_name(f'.{file.name}.partial')


def _earlier_checks(
  check_file: epath.Path, path: epath.Path
) -> list[dict[str, Any]]:
  """What was found of other files that were exported to the same folder."""
  if not check_file.exists():
    return []
  try:
    newest = json.loads(check_file.read_text())
    found = [newest, *newest.pop('earlier', ())]
    return [
      x for x in found if x['path'] != str(path) and x['max_abs_diff'] >= 0
    ]
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise errors.InputError(
      f'{check_file} is not of an export and would be lost; give --output in'
      ' another folder'
    ) from error
