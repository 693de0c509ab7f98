"""The first cells of the notebooks: what they say of the JAX that is there."""

import contextlib
import importlib.metadata
import io
import json
import pathlib
import shutil
import sys
import tomllib
import types

import launch
import pytest

NOTEBOOKS = sorted((launch.ROOT / 'notebooks').glob('*.ipynb'))


def code_cells(path):
  cells = json.loads(path.read_text())['cells']
  return [''.join(x['source']) for x in cells if x['cell_type'] == 'code']


def said(path, monkeypatch, version, backend, has_gpu, in_colab):
  """What the first cell prints where JAX is so; no version is no JAX."""
  jax = types.ModuleType('jax')
  jax.__version__, jax.default_backend = version, lambda: backend
  jax.__spec__ = types.SimpleNamespace() if version else None
  monkeypatch.setitem(sys.modules, 'jax', jax)
  monkeypatch.delitem(sys.modules, 'google.colab', raising=False)
  if in_colab:
    monkeypatch.setitem(sys.modules, 'google.colab', types.ModuleType('colab'))
  monkeypatch.setattr(shutil, 'which', lambda name: has_gpu and name or None)
  if version is None:
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
  out = io.StringIO()
  with contextlib.redirect_stdout(out):
    exec(code_cells(path)[0], {})  # Raises nothing.
  return out.getvalue()


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
  ('version', 'backend', 'has_gpu', 'in_colab', 'expected'),
  [
    ('0.11.0', 'gpu', True, True, 'JAX 0.11.0 on gpu: leave it as it is.'),
    ('0.10.2.dev1', 'tpu', False, True, 'on tpu: leave'),
    ('1.0.0', 'cpu', False, False, 'on cpu: leave'),
    ('0.11.0', 'cpu', False, True, 'Change runtime type > T4 GPU'),
    ('0.11.0', 'cpu', True, True, 'Disconnect and delete runtime'),
    ('0.11.0', 'cpu', True, False, "pip install 'jax[cuda13]'"),
    ('0.7.2', 'gpu', True, True, 'older than 0.10: take the latest version'),
    ('0.7.2', 'cpu', False, False, 'older than 0.10: pip install --upgrade'),
    (None, '', False, False, 'JAX is missing: pip install jax'),
  ],
)
def test_the_first_cell_says_what_to_do(
  path, version, backend, has_gpu, in_colab, expected, monkeypatch
):
  text = said(path, monkeypatch, version, backend, has_gpu, in_colab)
  assert expected in text
  assert text.endswith('.\n') and text.count('\n') == 1
  if in_colab:
    assert 'pip' not in text


def test_the_oldest_jax_is_that_of_the_package():
  project = tomllib.loads((launch.ROOT / 'pyproject.toml').read_text())
  (floor,) = (
    x.partition('>=')[2]
    for x in project['project']['dependencies']
    if x.startswith('jax>=')
  )
  oldest = f'OLDEST = ({floor.replace(".", ", ")})'
  assert len(NOTEBOOKS) == 2
  for path in NOTEBOOKS:
    assert oldest in code_cells(path)[0]


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_installed_leaves_jax_alone(path, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'inception_jax').mkdir()
  monkeypatch.setattr(sys, 'path', list(sys.path))
  monkeypatch.setattr(
    'importlib.util.find_spec',
    lambda name: None if name == 'pooch' else name,
  )
  commands = []
  monkeypatch.setattr(
    'subprocess.run', lambda command, check: commands.append(command)
  )
  exec(code_cells(path)[2], {})
  (command,) = commands
  assert '--upgrade' not in command and '-U' not in command
  kept = command[command.index('--constraint') + 1]
  lines = pathlib.Path(kept).read_text().splitlines()
  for name in ('jax', 'jaxlib', 'numpy'):
    assert f'{name}=={importlib.metadata.version(name)}' in lines
