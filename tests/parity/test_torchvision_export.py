"""Networks exported under torchvision's keys, run by PyTorch alone."""

import ast
import importlib.util
import json

from imported_ends import ends_of
import jax
import listing
import numpy as np
import pytest
import random_runs

from inception_jax import profiles
from inception_jax.commands import export as exporting
from inception_jax.export import checking
from inception_jax.models import ARCHITECTURES, architectures
from inception_jax.runs import run
from inception_jax.runtime import errors
from inception_jax.weights import torchvision

torch = pytest.importorskip('torch')
pytest.importorskip('safetensors')

import published_torch  # noqa: E402

from inception_jax.export import torchvision_file  # noqa: E402

SIZE = 98  # 49 after the stem: SAME, symmetric and ceil pools all differ.
ATOL = 1e-4


def workdir_of(name, folder, **arguments):
  loaded = random_runs.random_run(
    name, SIZE, **{'use_aux': True, 'width': 0.25, **arguments}
  )
  loaded = run.Run(
    **{**vars(loaded), 'preprocessing': profiles.profile_of(name).preprocessing}
  )
  return random_runs.write(loaded, folder / 'run')


def load_module(path):
  spec = importlib.util.spec_from_file_location('exported_network', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.mark.parametrize('name', ARCHITECTURES)
def test_every_profile_comes_back_and_computes_the_same(name, tmp_path):
  workdir = workdir_of(name, tmp_path)
  result = exporting.export(workdir, 'torchvision')
  assert result['max_abs_diff'] <= ATOL and result['top1_agreement'] == 1
  folder = workdir / 'export' / 'torchvision'
  endings = {'.safetensors', '.pt', '.json'}
  if name != 'inception_v1_torchvision':
    endings.add('.py')
  assert {folder.joinpath(x).suffix for x in listing.names(folder)} == endings
  assert len(result['beside']) == len(endings) - 2
  # Every bit, and all that belongs to it.
  loaded = run.load_run(workdir)
  found = torchvision.read(folder / 'model.safetensors')
  jax.tree.map(np.testing.assert_array_equal, found.variables, loaded.variables)
  assert found.labels == loaded.labels and found.eval_crop == loaded.eval_crop
  assert found.preprocessing == loaded.preprocessing
  if name == 'inception_v1_torchvision':
    return
  # By the files alone; heads as well.
  module = load_module(folder / 'model.py')
  pixels = checking.pictures(SIZE, 2)
  ours = ends_of(found, pixels)
  seen = {}
  for ending in ('pt', 'safetensors'):
    network = module.load(folder / f'model.{ending}')
    for block in ('4a', '4d'):
      getattr(network, f'inception{block}').register_forward_hook(
        lambda _, unused, x, block=block: seen.update({block: x})
      )
    with torch.no_grad():
      logits = network(module.preprocess(torch.tensor(pixels)))
      np.testing.assert_allclose(logits, ours['logits'], rtol=0, atol=ATOL)
      for block in module.SETTINGS['heads']:
        head = network.aux1 if block == '4a' else network.aux2
        expected = ours[f'aux_logits_{block}']
        atol = ATOL * max(1, np.abs(expected).max())
        np.testing.assert_allclose(
          head(seen[block]), expected, rtol=0, atol=atol
        )
  if architectures.architecture_of(name).head_taps:
    outputs = network.train()(module.preprocess(torch.tensor(pixels)))
    assert [tuple(x.shape) for x in outputs] == [(2, 7)] * 3


def test_module_needs_nothing_of_ours(tmp_path):
  workdir = workdir_of('inception_v1_caffe', tmp_path, use_aux=False)
  exporting.export(workdir, 'torchvision', output=tmp_path / 'a.safetensors')
  tree = ast.parse((tmp_path / 'a.py').read_text())
  imported = {
    name
    for node in ast.walk(tree)
    for name in (
      [x.name for x in node.names]
      if isinstance(node, ast.Import)
      else [node.module]
      if isinstance(node, ast.ImportFrom)
      else []
    )
  }
  assert imported == {'torch', 'safetensors.torch'}
  assert json.loads((tmp_path / 'check.json').read_text())['beside'] == [
    str(tmp_path / 'a.pt'),
    str(tmp_path / 'a.py'),
  ]


def test_torchvision_takes_its_own(tmp_path):
  """Under exactly its keys, in its shapes; and again through the `.pt`."""
  workdir = workdir_of(
    'inception_v1_torchvision', tmp_path, width=1.0, num_classes=1000
  )
  path = tmp_path / 'a.safetensors'
  exporting.export(workdir, 'torchvision', output=path)
  state = torch.load(path.with_suffix('.pt'), weights_only=True)
  published_torch.Torchvision().load_state_dict(state, strict=True)
  found = torchvision.read(path.with_suffix('.pt'))
  assert found.missing == found.unused == ()
  jax.tree.map(
    np.testing.assert_array_equal,
    found.variables,
    run.load_run(workdir).variables,
  )


SLIPS = {
  'padding': 'symmetric',
  'pool_padding': 'ceil',
  'last_pool': 2,
  'lrn': (5, 1e-4, 0.75, 1.0),
  'scale': 1.0,
  'bgr': True,
  'mean': (117.0, 117.0, 116.0),
}


@pytest.fixture(scope='module')
def google(tmp_path_factory):
  folder = tmp_path_factory.mktemp('google')
  return workdir_of('inception_v1_google', folder, use_aux=False)


@pytest.mark.parametrize('field', SLIPS)
def test_a_slip_in_the_module_would_show(google, tmp_path, monkeypatch, field):
  right = torchvision_file._settings
  monkeypatch.setattr(
    torchvision_file,
    '_settings',
    lambda *args: {**right(*args), field: SLIPS[field]},
  )
  with pytest.raises(checking.ExportError, match='does not compute'):
    exporting.export(google, 'torchvision', output=tmp_path / 'a.safetensors')
  assert not list(tmp_path.iterdir())


def test_another_epsilon_would_show(tmp_path, monkeypatch):
  workdir = workdir_of('inception_v1_tf_slim', tmp_path)
  right = torchvision_file._settings
  monkeypatch.setattr(
    torchvision_file,
    '_settings',
    lambda *args: {**right(*args), 'batch_norm_epsilon': 1e-5},
  )
  with pytest.raises(checking.ExportError, match='does not compute'):
    exporting.export(workdir, 'torchvision')


def test_other_weights_in_one_file_would_show(google, tmp_path, monkeypatch):
  right = torchvision_file._pickled

  def wrong(state):
    return right({name: value + 1e-3 for name, value in state.items()})

  monkeypatch.setattr(torchvision_file, '_pickled', wrong)
  with pytest.raises(checking.ExportError, match='hold different weights'):
    exporting.export(google, 'torchvision', output=tmp_path / 'a.safetensors')
  assert not list(tmp_path.iterdir())


def test_without_pytorch_there_is_no_pt(google, tmp_path, monkeypatch):
  monkeypatch.setattr(torchvision_file, '_has_pytorch', lambda: False)
  path = tmp_path / 'a.safetensors'
  result = exporting.export(google, 'torchvision', output=path)
  assert result['max_abs_diff'] == 0
  assert listing.names(tmp_path) == [
    'a.py',
    'a.safetensors',
    'check.json',
  ]


def test_other_forms_are_refused(tmp_path):
  workdir = workdir_of(
    'inception_v1', tmp_path, use_aux=False, module_form='naive', width=0.05
  )
  with pytest.raises(errors.InputError, match="of the form 'naive'"):
    exporting.export(workdir, 'torchvision')


def test_damaged_files_of_ours_are_refused(google, tmp_path):
  path = tmp_path / 'a.safetensors'
  exporting.export(google, 'torchvision', output=path)
  data = bytearray(path.read_bytes())
  data[-1] ^= 1
  path.write_bytes(bytes(data))
  with pytest.raises(errors.InputError, match='their digest differs'):
    torchvision.read(path)
  path.write_bytes(bytes(data).replace(b'"shapes"', b'"shape_"'))
  with pytest.raises(errors.InputError, match='KeyError'):
    torchvision.read(path)
