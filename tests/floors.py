"""Prints the oldest versions that `pyproject.toml` allows, as pip constraints.

  python tests/floors.py EXTRA... > constraints.txt

A line for each dependency of the package and of the extras; `make floors` runs
the tests with these.
"""

import pathlib
import re
import sys
import tomllib

PYPROJECT = pathlib.Path(__file__).parent.parent / 'pyproject.toml'


def constraints(extras: list[str]) -> list[str]:
  """Every `name[extra]>=1.2; marker` as `name==1.2; marker`.

  Args:
    extras: which of `[project.optional-dependencies]`, beside what is always
      installed.

  Raises:
    ValueError: if a dependency has no lower bound, or more than that.
  """
  project = tomllib.loads(PYPROJECT.read_text())['project']
  lines = list(project['dependencies'])
  for extra in extras:
    lines += project['optional-dependencies'][extra]
  result = []
  for line in lines:
    match = re.fullmatch(r'([\w.-]+)(?:\[.*\])?>=([\w.]+)(;.*)?', line)
    if match is None:
      raise ValueError(f'{line!r} is not NAME>=VERSION')
    name, version, marker = match.groups()
    result.append(f'{name}=={version}{marker or ""}')
  return result


if __name__ == '__main__':
  print(*sorted(set(constraints(sys.argv[1:]))), sep='\n')
