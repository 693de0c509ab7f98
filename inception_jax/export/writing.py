"""Files that are written and checked, all or none, with `check.json`."""

from collections.abc import Callable, Mapping
import contextlib
import hashlib
import json
from typing import Any

from etils import epath

from inception_jax.runtime import errors, own_files

CHECK_FILE = 'check.json'


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
    InputError: if the files cannot be written, or a `check.json` is there that
      is not of an export. Nothing is left then, nor when `check` raises, and
      an earlier file stays as it was.
  """
  files = {ending: path.with_suffix(ending) for ending in contents}
  parts = {ending: _partial(file) for ending, file in files.items()}
  check_file = path.with_name(CHECK_FILE)
  partial_check = _partial(check_file)
  leftovers, made = [*parts.values(), partial_check], []
  try:
    made = [p for p in (path.parent, *path.parent.parents) if not p.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    if made:
      leftovers.append(path.parent / own_files.LIST)
    earlier = _earlier_checks(check_file, path)
    own = own_files.OwnFiles(path.parent, '--output')
    own.check(file.name for file in files.values())
    for ending, part in parts.items():
      part.write_bytes(contents[ending])
    result = {**about, **check(parts)}
    checks = {**result, 'earlier': earlier} if earlier else result
    text = json.dumps(checks, indent=2, sort_keys=True)
    partial_check.write_text(text + '\n')
    own.remember(
      {
        files[ending].name: hashlib.sha256(contents[ending]).hexdigest()
        for ending in files
      }
    )
    named = {files[ending].name: part for ending, part in parts.items()}
    own_files.replace_all({**named, CHECK_FILE: partial_check}, path.parent)
    leftovers, made = [], []
  except OSError as error:
    raise errors.cannot_write(
      f'--output={path}',
      error,
      f'{errors.remedy_of_writing(error)}, or give another',
    ) from error
  finally:
    _remove(leftovers, made)
  return result


def _partial(file: epath.Path) -> epath.Path:
  return file.with_name(f'.{file.name}.partial')


def _remove(files: list[epath.Path], folders: list[epath.Path]) -> None:
  """Removes what is there of the files, and the folders that are empty."""
  for file in files:
    with contextlib.suppress(OSError):
      file.unlink(missing_ok=True)
  for folder in folders:
    with contextlib.suppress(OSError):
      folder.rmdir()


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
