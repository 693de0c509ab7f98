"""Configs of the package by name, and files."""

import sys

import pytest

from inception_jax.experiment import config_files
from inception_jax.runtime import errors

pytestmark = pytest.mark.filterwarnings('ignore:the load_module')


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
  for given, expected, is_packaged in (
    (['--config=digits', 'x'], [f'--config={folder}/digits.py', 'x'], True),
    (['-config', 'digits'], ['-config', f'{folder}/digits.py'], True),
    (['--config=a/b.py'], ['--config=a/b.py'], False),
    (['--config.data.name=digits'], ['--config.data.name=digits'], False),
    (['--', '--config=digits'], ['--', '--config=digits'], False),
    ([], [], False),
  ):
    assert config_files.with_paths(given) == (expected, is_packaged)


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
