"""Configs of the package by name, and files."""

import sys

import pytest

from inception_jax.experiment import config_files
from inception_jax.runtime import errors


def test_names():
  names = config_files.names()
  assert 'digits' in names and '__init__' not in names
  assert config_files.load('ensemble').ensemble.members


@pytest.mark.parametrize(
  ('value', 'is_name'),
  [
    ('digits', True),
    ('digits:argument', True),
    ('digits.py', False),
    ('./digits', False),
    ('a/b.py:argument', False),
  ],
)
def test_what_is_a_name(value, is_name):
  assert config_files.is_name(value) == is_name


def test_paths_of_names():
  folder = str(config_files.folder())
  assert config_files.path_of('digits') == f'{folder}/digits.py'
  assert config_files.path_of('digits:x') == f'{folder}/digits.py:x'
  with pytest.raises(errors.InputError, match="did you mean 'digits'"):
    config_files.path_of('digts')


GET_CONFIG = 'def get_config():\n  return {}\n'


@pytest.mark.parametrize(
  ('text', 'reason'),
  [
    ('x = 3', r'has no function get_config\(\).* as in .*digits.py'),
    ('get_config = 3', r'has no function get_config\(\)'),
    ('import no_module\n' + GET_CONFIG, 'line 1 .ModuleNotFoundError: .*mend'),
    ('x = 3\ndef get_config(:\n', 'fails in line 2 .SyntaxError: invalid'),
    ('def get_config():\n  raise KeyError("x")', "line 2 .KeyError: 'x'"),
    ('def get_config():\n  return 1 / 0', 'line 2 .ZeroDivisionError: '),
    ('import sys\nsys.exit(3)', 'fails in line 2 .SystemExit: 3'),
    ('def get_config():\n  pass', 'must return .* not NoneType; mend'),
    (
      'def get_config():\n  return 3',
      'must return a ConfigDict or a dict, not',
    ),
    ('def get_config(kind):\n  return {}', 'config.py:ARGUMENT'),
    ('x = "Größe"'.encode('utf-16'), 'config.py is not UTF-8.*save it as'),
    ('x = "Größe"'.encode('cp1252'), 'config.py is not UTF-8.*save it as'),
  ],
  ids=lambda x: ascii(x)[:20],
)
def test_a_file_that_fails_is_named(tmp_path, text, reason):
  path = tmp_path / 'config.py'
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  with pytest.raises(errors.InputError, match=reason) as found:
    config_files.load(str(path))
  assert f'--config={path}' in str(found.value)
  assert '\n' not in str(found.value)


def test_a_file_that_is_not_there(tmp_path, monkeypatch):
  (tmp_path / 'flowers.py').write_text(GET_CONFIG)
  for name, words in (
    ('flower.py', f"No such .* did you mean '{tmp_path}/flowers.py'"),
    ('flowers', f"No such file.* did you mean '{tmp_path}/flowers.py'"),
    ('digts.py', "cannot be read .No such .* did you mean 'digits'"),
    ('.', 'cannot be read .Is a directory.; give a file that ends in .py, or'),
    ('flowers.py:x', 'too many positional arguments.; leave out :x'),
  ):
    with pytest.raises(errors.InputError, match=words):
      config_files.load(f'{tmp_path}/{name}')
  path = tmp_path / 'flowers.py'
  path.write_bytes(f'x = "Größe"\n{GET_CONFIG}'.encode('utf-8-sig'))
  monkeypatch.setenv('HOME', str(tmp_path))
  assert config_files.load('~/flowers.py') == {}


def test_files_import_those_of_the_package(tmp_path, monkeypatch):
  (tmp_path / 'own.py').write_text(
    'from configs import digits\nget_config = digits.get_config\n'
  )
  before = {x for x in sys.modules if x.startswith('configs')}
  # Without a `configs` of its own, as outside the repository.
  monkeypatch.setattr(
    config_files.importlib.util, 'find_spec', lambda name: None
  )
  loaded = config_files.load(str(tmp_path / 'own.py'))
  assert loaded.data.name == 'digits'
  assert before <= set(sys.modules)


def test_a_folder_of_the_users_is_no_obstacle(tmp_path, monkeypatch):
  (tmp_path / 'configs').mkdir()
  (tmp_path / 'configs' / '__init__.py').write_text('raise RuntimeError')
  monkeypatch.syspath_prepend(tmp_path)
  for name in [x for x in sys.modules if x.split('.')[0] == 'configs']:
    monkeypatch.delitem(sys.modules, name)
  assert config_files.load('plain_digits').data.name == 'digits'
