"""The structure of the package: its rooms, what they import, and their sizes.

A room is a folder with modules; one inside another is a room of its own. The
files at the root of the package are counted as one more in what is said of
imports, without its `__init__.py`, which only gives names to users. Prints one
JSON object, and a table to standard error.

  python benchmarks/house.py [--root=DIR] [--output=FILE.json]

Needs the standard library only, so that it can measure any checkout.
"""

import argparse
import ast
from collections.abc import Iterator
import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
from typing import Any

PACKAGE = 'inception_jax'
# Beyond these a function or a module wants to be two.
FUNCTION_LINES, MODULE_LINES = 60, 350
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclasses.dataclass(frozen=True)
class Import:
  """One module of the package that imports another.

  Attributes:
    importer: dotted name without that of the package, such as 'data.crops'; of
      an `__init__.py` that of its folder.
    target: likewise; '' is `inception_jax` itself.
    lazy: whether it is inside a function, or by a name in a string.
  """

  importer: str
  target: str
  lazy: bool


def modules(root: pathlib.Path) -> dict[str, pathlib.Path]:
  """Files of the package in `root`, by dotted name; '' is its own."""
  package = root / PACKAGE
  found = {}
  for path in sorted(package.rglob('*.py')):
    parts = path.relative_to(package).with_suffix('').parts
    found['.'.join(x for x in parts if x != '__init__')] = path
  return found


def room_of(name: str, files: dict[str, pathlib.Path]) -> str:
  """Room of a module: 'data.preparation'; '' of the files at the root."""
  return name if _is_room(name, files) else name.rpartition('.')[0]


def _is_room(name: str, files: dict[str, pathlib.Path]) -> bool:
  return files[name].stem == '__init__'


def imports(root: pathlib.Path) -> set[Import]:
  """All imports within the package, also of names in strings."""
  files = modules(root)
  found = set()
  for importer, path in files.items():
    tree = ast.parse(path.read_text())
    for name, lazy in _imported_names(tree):
      target = _module_of(name, files)
      if target is not None and target != importer:
        found.add(Import(importer, target, lazy))
  return found


def _imported_names(
  node: ast.AST, lazy: bool = False
) -> Iterator[tuple[str, bool]]:
  """Dotted names that are imported below a node, and whether lazily."""
  if isinstance(node, ast.Import):
    yield from ((alias.name, lazy) for alias in node.names)
  elif isinstance(node, ast.ImportFrom):
    assert not node.level, 'relative imports are not read'
    yield from ((f'{node.module}.{x.name}', lazy) for x in node.names)
  elif isinstance(node, ast.Constant) and isinstance(node.value, str):
    # What is given to import_module, or to `python -m`; of a name that is put
    # together, its beginning.
    name = node.value.removesuffix('.')
    if name.startswith(f'{PACKAGE}.') and ' ' not in name:
      yield name, True
  for child in ast.iter_child_nodes(node):
    yield from _imported_names(child, lazy or isinstance(node, _FUNCTIONS))


def _module_of(name: str, files: dict[str, pathlib.Path]) -> str | None:
  """The module that a name lies in, or is; None outside the package."""
  head, *parts = name.split('.')
  if head != PACKAGE:
    return None
  while parts and '.'.join(parts) not in files:
    parts.pop()
  return '.'.join(parts)


def cycles(pairs: set[tuple[str, str]]) -> list[list[str]]:
  """Sets of rooms in which each imports each, by way of others or not."""
  reached = {room: {b for a, b in pairs if a == room} for room, _ in pairs}
  for _ in reached:
    for rooms in reached.values():
      rooms |= {x for room in rooms for x in reached.get(room, ())}
  found = {
    tuple(sorted(x for x in rooms if room in reached.get(x, ())))
    for room, rooms in reached.items()
    if room in rooms
  }
  return sorted(map(list, found))


def functions(
  node: ast.AST, inside: str = ''
) -> Iterator[tuple[str, int, int]]:
  """Functions below a node: name, lines, and lines without the docstring."""
  for child in ast.iter_child_nodes(node):
    name = inside
    if isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
      name = f'{inside}.{child.name}'.strip('.')
    if isinstance(child, _FUNCTIONS):
      lines = child.end_lineno - child.lineno + 1
      first = child.body[0]
      documented = ast.get_docstring(child) is not None
      described = first.end_lineno - first.lineno + 1 if documented else 0
      yield name, lines, lines - described
    yield from functions(child, name)


def measure(root: pathlib.Path) -> dict[str, Any]:
  """The numbers of a checkout."""
  files = modules(root)
  within = {(x.importer, x.target) for x in imports(root) if x.importer}
  between = {
    (a, b) for a, b in within if room_of(a, files) != room_of(b, files)
  }
  pairs = {(room_of(a, files), room_of(b, files)) for a, b in between}
  place_of = lambda name: str(files[name].relative_to(root / PACKAGE))
  lengths = {
    place_of(name): len(path.read_text().splitlines())
    for name, path in files.items()
  }
  all_functions = [
    (f'{place_of(name)}:{function}', *lines)
    for name, path in files.items()
    for function, *lines in functions(ast.parse(path.read_text()))
  ]
  whole = {name: lines for name, lines, _ in all_functions}
  bare = {name: lines for name, _, lines in all_functions}
  return {
    'files_at_the_root': sum('/' not in place for place in lengths),
    'rooms': sum(_is_room(name, files) for name in files if name),
    'modules': len(files),
    'lines': sum(lengths.values()),
    'imports': len(within),
    'imports_between_rooms': len(between),
    'pairs_of_rooms': len(pairs),
    'cycles_of_rooms': [
      [room or 'root' for room in rooms] for rooms in cycles(pairs)
    ],
    'longest_function': _longest(whole),
    'longest_function_without_docstring': _longest(bare),
    f'functions_over_{FUNCTION_LINES}_lines': _over(bare, FUNCTION_LINES),
    'longest_module': _longest(lengths),
    f'modules_over_{MODULE_LINES}_lines': _over(lengths, MODULE_LINES),
  }


def _longest(lines: dict[str, int]) -> dict[str, int]:
  name = max(lines, key=lines.get)
  return {name: lines[name]}


def _over(lines: dict[str, int], limit: int) -> dict[str, int]:
  return {name: n for name, n in lines.items() if n > limit}


def _commit(root: pathlib.Path) -> str | None:
  with contextlib.suppress(OSError, subprocess.CalledProcessError):
    command = ['git', '-C', str(root), 'rev-parse', 'HEAD']
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return result.stdout.strip()
  return None


def _table(record: dict[str, Any]) -> str:
  """A line a number; of what is listed, how many."""
  rows = []
  for name, value in record.items():
    if name.startswith('longest'):
      ((place, value),) = value.items()
      value = f'{value}  {place}'
    rows.append(
      f'{name.replace("_", " "):36}'
      f'{len(value) if isinstance(value, (dict, list)) else value}'
    )
  return '\n'.join(rows)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument(
    '--root',
    type=pathlib.Path,
    default=pathlib.Path(__file__).resolve().parent.parent,
  )
  parser.add_argument('--output')
  arguments = parser.parse_args()
  measured = measure(arguments.root)
  print(_table(measured), file=sys.stderr)
  record = {
    'command': 'python benchmarks/house.py',
    'commit': _commit(arguments.root),
    **measured,
  }
  text = json.dumps(record, indent=2)
  if arguments.output:
    pathlib.Path(arguments.output).write_text(text + '\n')
  print(text)


if __name__ == '__main__':
  main()
