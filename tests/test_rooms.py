"""Imports go one way between the rooms of the package; tests mirror them."""

import pathlib

import pytest

from benchmarks import house

ROOT = pathlib.Path(__file__).parent.parent
# From bottom to top; a room imports what lies below it. Those in one line are
# siblings, which do not import each other.
LAYERS = (
  ('runtime',),
  ('models',),
  ('preprocess', 'metrics'),  # Files at the root, like the next.
  ('profiles',),
  ('data', 'data.preparation'),
  ('training',),
  ('evaluation', 'visualisation'),
  ('experiment',),
  ('runs',),
  ('ensemble',),
  ('weights',),
  ('export', 'paper'),
  ('report',),
  ('commands',),
)
# Tests of more than one module of their room, or of none.
OF_NO_MODULE = {
  'commands/test_main.py': 'main.py',
  'commands/test_overwriting.py': 'all commands that write',
  'runs/test_earlier_version.py': 'folders that an earlier version left',
  'runs/test_kill.py': 'a process that is killed',
  'runtime/test_start_up.py': 'processes of all launchers',
  'weights/test_fuzz.py': 'all importers',
  'weights/test_published.py': 'all importers',
}
FILES = house.modules(ROOT)
LEVEL = {room: n for n, layer in enumerate(LAYERS) for room in layer}


def room_of(name):
  """The room of a module, or the name of a file at the root."""
  return house.room_of(name, FILES) or name


def is_allowed(one):
  """Whether the rules above let one module import another."""
  room, target = room_of(one.importer), room_of(one.target)
  if room == target == 'commands':
    # The table of the others, the flags made of it, and what runs them.
    return one.importer in ('commands.registry', 'commands.program') or (
      (one.importer, one.target) == ('commands.flags', 'commands.arguments')
      or one.importer.removeprefix('commands.')
      in ('arguments', 'flags', 'help_text')
      and one.target == 'commands.registry'
    )
  if (room, target) == ('data', 'data.preparation'):
    return one.lazy
  if room == target or (room, target) == ('data.preparation', 'data'):
    return True
  return LEVEL[room] > LEVEL.get(target, len(LAYERS))


def test_imports_go_one_way():
  imports = [x for x in house.imports(ROOT) if x.importer]
  assert len(imports) > 100
  wrong = sorted(
    f'{x.importer} imports {x.target or house.PACKAGE}'
    for x in imports
    if not is_allowed(x)
  )
  assert not wrong, 'against the order of LAYERS:\n' + '\n'.join(wrong)


@pytest.mark.parametrize(
  'importer, target, lazy, allowed',
  [
    ('runs.train', 'data.labels', False, True),
    ('data.labels', 'runs.train', True, False),
    ('evaluation.scores', 'visualisation.plots', False, False),
    ('data.preparation.prepare', 'data.records', False, True),
    ('data.records', 'data.preparation.prepare', False, False),
    ('data.records', 'data.preparation.prepare', True, True),
    ('commands.report', 'commands.evaluate', True, False),
    ('commands.registry', 'commands.evaluate', False, True),
    ('commands.flags', 'commands.evaluate', False, False),
    ('models', 'metrics', False, False),
    ('metrics', '', False, False),
  ],
)
def test_the_order(importer, target, lazy, allowed):
  assert is_allowed(house.Import(importer, target, lazy)) == allowed


def test_lazy_imports_and_names_in_strings_count(tmp_path):
  package = tmp_path / house.PACKAGE
  for name in ('', 'a', 'b'):
    (package / name).mkdir(exist_ok=True)
    (package / name / '__init__.py').write_text('')
  (package / 'b/c.py').write_text('')
  (package / 'b/d.py').write_text('')
  (package / 'a/x.py').write_text(
    'import numpy\nfrom inception_jax.b.c import d\nimport inception_jax.b.d\n'
  )
  (package / 'a/y.py').write_text(
    '"""About inception_jax.b."""\n'
    'def f(name):\n  from inception_jax import b\n'
    '  g("inception_jax.b.d")\n  g(f"inception_jax.b.{name}")\n'
  )
  assert house.imports(tmp_path) == {
    house.Import('a.x', 'b.c', False),
    house.Import('a.x', 'b.d', False),
    house.Import('a.y', 'b', True),
    house.Import('a.y', 'b.d', True),
  }


def test_every_room_has_its_place():
  rooms = {room_of(name) for name in FILES if name}
  assert rooms == set(LEVEL), 'LAYERS does not name the rooms that there are'


def test_tests_mirror_the_rooms():
  rooms = {house.room_of(name, FILES) for name in FILES} - {''}
  folders = {room: ROOT / 'tests' / room.replace('.', '/') for room in rooms}
  without = [room for room, path in folders.items() if not path.is_dir()]
  assert not without, f'rooms without a folder of tests: {without}'
  found = {
    str(path.relative_to(ROOT / 'tests')): f'{room}.{path.stem[5:]}'
    for room, folder in folders.items()
    for path in folder.glob('test_*.py')
  }
  odd = {file for file, module in found.items() if module not in FILES}
  assert odd == set(OF_NO_MODULE), (
    'tests of no module, or that OF_NO_MODULE need not name:'
    f' {sorted(odd ^ set(OF_NO_MODULE))}'
  )
