"""Tests of flags that name a field as an earlier version did."""

import sys

import pytest

from inception_jax.commands import flags

# The library of configs loads files that way.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module')

OLD = '--config.train.polyak_start_epoch'
NEW = '--config.averaging.polyak_start_epoch'
FILE = """
import ml_collections
def get_config():
  return ml_collections.ConfigDict(SECTIONS)
"""


@pytest.fixture
def parse(monkeypatch):
  """What the library of flags gets of a command line."""
  monkeypatch.setattr(flags, 'FLAGS', lambda argv: (argv, list(sys.argv)))

  def parsed(*arguments):
    argv = ['main.py', *map(str, arguments)]
    monkeypatch.setattr(sys, 'argv', list(argv))
    given, seen_by_configs = flags.parse(argv)
    assert given == seen_by_configs
    return given[1:]

  return parsed


@pytest.fixture
def file(tmp_path):
  def write(sections):
    path = tmp_path / f'config_{len(str(sections))}.py'
    path.write_text(FILE.replace('SECTIONS', repr(sections)))
    return path

  return write


@pytest.mark.parametrize('form', [(f'{OLD}=1.0',), (OLD, '1.0')])
def test_an_earlier_name_stands_for_the_present_one(parse, file, form):
  path = file({'averaging': {'polyak_start_epoch': 8.0}, 'train': {}})
  found = parse(f'--config={path}', *form)
  assert found == [f'--config={path}', form[0].replace(OLD, NEW), *form[1:]]


@pytest.mark.parametrize('name', ['--config={}', '-config={}'])
def test_a_file_of_an_earlier_version_keeps_its_name(parse, file, name):
  path = file({'averaging': {}, 'train': {'polyak_start_epoch': 8.0}})
  arguments = [name.format(path), f'{OLD}=1.0']
  assert parse(*arguments) == arguments
  assert parse('--config', path, arguments[1])[2] == arguments[1]


@pytest.mark.parametrize('form', ['--config={}', '-config={}', '--config {}'])
def test_a_config_that_python_cannot_read_is_named(tmp_path, form):
  path = tmp_path / 'config.py'
  argv = ['main.py', *form.format(path).split(), '--workdir=x']
  path.write_bytes('x = "Größe"'.encode('utf-8-sig'))
  flags.check_config_file(argv)
  flags.check_config_file(['main.py', '--config', '--workdir=x'])
  for encoding in ('utf-16', 'cp1252'):
    path.write_bytes('x = "Größe"'.encode(encoding))
    with pytest.raises(ValueError, match='config.py is not UTF-8.*save it as'):
      flags.check_config_file(argv)
  with pytest.raises(ValueError, match='config.py is not UTF-8'):
    flags.check_config_file(['main.py', f'--config={path}:argument'])


def test_other_fields_are_left_alone(parse, file):
  path = file({'averaging': {'polyak_start_epoch': 8.0}, 'train': {}})
  arguments = [f'--config={path}', f'{OLD}s=1.0', '--config.train.seed=3']
  assert parse(*arguments) == arguments


def test_the_home_folder_of_a_config_is_found(parse, file, monkeypatch):
  path = file({'train': {}})
  monkeypatch.setenv('HOME', str(path.parent))
  assert parse(f'--config=~/{path.name}') == [f'--config={path}']
