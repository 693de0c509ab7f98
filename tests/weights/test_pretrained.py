"""Trained networks by name, folder or file."""

import hashlib
import types

import jax
import numpy as np
import pytest
import random_runs

import inception_jax
from inception_jax.commands import export, import_weights
from inception_jax.runtime import errors
from inception_jax.weights import download, pretrained, safetensors_file


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  loaded = random_runs.random_run('inception_v1_bn_shallow', 32)
  return random_runs.write(loaded, tmp_path_factory.mktemp('random') / 'run')


@pytest.fixture(scope='module')
def file(workdir, tmp_path_factory):
  path = tmp_path_factory.mktemp('exported') / 'network.safetensors'
  export.export(workdir, 'safetensors', output=path)
  return path


def test_lists():
  assert 'inception_v1' in inception_jax.list_models()
  assert not any('shallow' in x for x in inception_jax.list_models())
  names = inception_jax.list_pretrained()
  assert names == ['google', 'caffe', 'torchvision', 'tf_slim']
  assert set(names) < set(import_weights.SOURCES)
  for name in names:
    assert pretrained._reader(name).RELEASE


def test_run_directories_and_files(tmp_path, workdir, file):
  by_folder = inception_jax.load_pretrained(workdir)
  by_file = inception_jax.load_pretrained(str(file))
  import_weights.import_weights('safetensors', tmp_path / 'imported', path=file)
  imported = inception_jax.load_run(tmp_path / 'imported')
  assert by_file.digest == imported.digest
  for other in (by_file, imported):
    jax.tree.map(
      np.testing.assert_array_equal, by_folder.variables, other.variables
    )
    assert other.labels == by_folder.labels
    assert other.eval_crop == by_folder.eval_crop


def test_published_files_are_downloaded_once(
  tmp_path, monkeypatch, file, caplog
):
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.chdir(tmp_path)
  release = download.Release(
    url='http://127.0.0.1:9/published.safetensors',
    file_name='published.safetensors',
    sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
  )
  reader = types.SimpleNamespace(RELEASE=release, read=safetensors_file.read)
  monkeypatch.setattr(pretrained, '_reader', lambda name: reader)
  place = tmp_path / '.cache' / 'inception_jax' / 'published.safetensors'
  monkeypatch.setattr(download.pooch.core.time, 'sleep', lambda seconds: None)
  with pytest.raises(errors.InputError, match=f'copy it to {place}$'):
    inception_jax.load_pretrained('google')
  place.parent.mkdir(parents=True)
  place.write_bytes(file.read_bytes())
  with caplog.at_level('INFO'):
    assert inception_jax.load_pretrained('google').step == 0
  assert 'its SHA-256 is as published' in caplog.text
  with pytest.raises(errors.InputError, match='one set of weights'):
    inception_jax.load_pretrained('google', weights='ema')


@pytest.mark.parametrize(
  ('sha256', 'sha1', 'sentence'),
  [
    ('0' * 64, '', 'its SHA-256 is as published'),
    ('1378be20', '', 'the first 8 digits of its SHA-256 are published'),
    ('', '0' * 40, 'its SHA-1 is as published'),
    ('', '', 'nobody has published a hash'),
  ],
)
def test_how_much_was_checked(sha256, sha1, sentence):
  release = download.Release('u', 'f', sha256=sha256, sha1=sha1)
  assert sentence in download.checked_how_far(release)


def test_unknown_names_and_files(tmp_path):
  with pytest.raises(errors.InputError, match="did you mean 'google'"):
    inception_jax.load_pretrained('googel')
  (tmp_path / 'network.onnx').write_bytes(b'')
  with pytest.raises(
    errors.InputError, match='does not end in .safetensors, .* or .gz'
  ):
    inception_jax.load_pretrained(tmp_path / 'network.onnx')
