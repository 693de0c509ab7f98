"""Tests of the import mode, and of evaluating what it makes."""

import json
import os
import pathlib

import jax
import launch
import lock_holder
import numpy as np
import pytest
import tiny_config

import inception_jax
from inception_jax.commands import evaluate
from inception_jax.commands import import_weights as importing
from inception_jax.data import labels
from inception_jax.evaluation import protocol as protocol_lib
from inception_jax.runs import checkpoint, run
from inception_jax.runtime import errors, locks
from inception_jax.weights import google, imported

MODEL_NAME = tiny_config.get_config().model.name


def as_imported(loaded, outputs=None, label_map=None):
  """A run's network with its outputs in another order."""
  variables = loaded.variables
  if outputs is not None:
    head = variables['params']['classifier']
    head = {name: value[..., outputs] for name, value in head.items()}
    variables = {
      **variables,
      'params': {**variables['params'], 'classifier': head},
    }
  return imported.ImportedNetwork(
    model_arguments={
      'name': MODEL_NAME,
      'width': loaded.model.width,
      'num_classes': len(label_map or loaded.labels),
    },
    variables=variables,
    preprocessing=loaded.preprocessing,
    eval_crop=loaded.eval_crop,
    labels=label_map or loaded.labels,
    missing=('a',),
    unused=('b', 'c'),
    card={'licence': 'none', 'sha256': 'abc'},
  )


@pytest.fixture
def source(trained, monkeypatch):
  """`--source=google` reads the trained run, with its outputs reversed."""
  loaded = run.load_run(trained[0], 'raw')
  names = [x.name for x in loaded.labels.labels][::-1]
  network = as_imported(
    loaded, np.arange(10)[::-1], labels.from_class_names(names)
  )
  monkeypatch.setattr(google, 'read', lambda path, label_file=None: network)
  return network


def test_two_imports_to_the_same_folder(source, tmp_path):
  workdir = tmp_path / 'run'
  partial = tmp_path / '.run.partial'
  partial.mkdir()
  with lock_holder.held(f'{partial}.lock') as other:
    with pytest.raises(
      errors.InputError,
      match=f'process {other.pid} .* importing to {workdir} s',
    ):
      importing.import_weights('google', workdir, path='x.pb')
    assert partial.exists()
  importing.import_weights('google', workdir, path='x.pb')
  assert list(tmp_path.iterdir()) == [workdir]


def test_training_has_begun_in_the_folder(source, tmp_path, monkeypatch):
  workdir = tmp_path / 'run'
  write = importing._write_partial

  def write_partial(*arguments):
    workdir.mkdir()
    (workdir / locks.FILE).touch()
    write(*arguments)

  monkeypatch.setattr(importing, '_write_partial', write_partial)
  with pytest.raises(errors.InputError, match='holds other files'):
    importing.import_weights('google', workdir, path='x.pb')
  assert list(tmp_path.iterdir()) == [workdir]


def test_import_makes_a_run(source, tmp_path):
  workdir = tmp_path / 'weights' / 'google'
  result = importing.import_weights('google', workdir, path='file')
  assert json.loads(json.dumps(result)) == result
  assert result['missing'] == ['a'] and result['unused'] == ['b', 'c']
  assert [path.name for path in workdir.parent.iterdir()] == ['google']
  loaded = inception_jax.load_run(workdir)
  assert loaded.labels == source.labels and loaded.eval_crop == source.eval_crop
  assert loaded.weights == 'raw' and loaded.step == 0
  jax.tree.map(
    np.testing.assert_array_equal,
    loaded.variables['params'],
    source.variables['params'],
  )
  card = json.loads((workdir / 'card.json').read_text())
  assert card['profile'] == result['profile'] == MODEL_NAME
  assert (
    card['num_params']
    == result['num_params']
    == sum(x.size for x in jax.tree.leaves(loaded.variables['params']))
  )
  assert card['licence'] == 'none' and card['missing'] == ['a']


def test_evaluation_maps_outputs_to_the_classes_of_the_data(
  source, trained, tmp_path, monkeypatch
):
  importing.import_weights('google', tmp_path / 'run', path='file')
  with pytest.raises(
    errors.InputError, match='what to evaluate on; .*--config'
  ):
    evaluate.evaluate(tmp_path / 'run', protocol_lib.Protocol())
  scores = evaluate.evaluate(
    tmp_path / 'run', protocol_lib.Protocol(), None, tiny_config.get_config()
  )
  expected = evaluate.evaluate(trained[0], protocol_lib.Protocol(), 'raw')
  assert scores['num_images'] == 360
  for name in ('top1', 'top5'):
    assert scores[name] == expected[name]
  assert scores['loss'] == pytest.approx(expected['loss'], rel=1e-5)
  # Under the names of another order it is another network.
  loaded = run.load_run(trained[0], 'raw')
  wrong = as_imported(loaded, np.arange(10)[::-1])
  monkeypatch.setattr(google, 'read', lambda path: wrong)
  importing.import_weights('google', tmp_path / 'wrong', path='file')
  other = evaluate.evaluate(
    tmp_path / 'wrong', protocol_lib.Protocol(), None, tiny_config.get_config()
  )
  assert other['loss'] != pytest.approx(expected['loss'], rel=1e-4)
  config = tiny_config.get_config()
  config.data.name = 'fake'
  with pytest.raises(errors.InputError, match="on 'fake': 990 of the 1000"):
    evaluate.evaluate(tmp_path / 'run', protocol_lib.Protocol(), None, config)


def test_several_folders_are_no_place(source, tmp_path):
  for name in ('a', 'b'):
    (tmp_path / name).mkdir()
  with pytest.raises(errors.InputError, match='names 2 folders, and a run has'):
    importing.import_weights(
      'google', f'{tmp_path}/a,{tmp_path}/b', path='file'
    )


def test_nothing_is_overwritten(source, tmp_path):
  (tmp_path / 'mine').write_text('x')
  run = tmp_path / 'run'
  run.mkdir()
  (run / 'config.json').touch()
  for workdir, reason in {
    tmp_path: "holds other files .such as 'mine'.; give a new or empty folder",
    tmp_path / 'mine': 'is a file; give the name of a folder',
    run: 'holds a run already; give another, or delete',
  }.items():
    with pytest.raises(errors.InputError, match=reason):
      importing.import_weights('google', workdir, path='file')
  assert (tmp_path / 'mine').read_text() == 'x'


def test_an_empty_folder_and_leftovers_of_a_kill_are_no_hindrance(
  source, tmp_path
):
  (tmp_path / 'run').mkdir()
  (tmp_path / '.run.partial' / 'checkpoints' / '0').mkdir(parents=True)
  importing.import_weights('google', tmp_path / 'run', path='file')
  assert [path.name for path in tmp_path.iterdir()] == ['run']
  run.load_run(tmp_path / 'run')


def test_full_disk_leaves_nothing(source, tmp_path, monkeypatch):
  def save(self, step, tree, metadata):
    raise self._failed(step, OSError('No space left on device'))

  monkeypatch.setattr(checkpoint.Checkpoints, 'save', save)
  with pytest.raises(errors.TrainingError, match='No space left.*free some'):
    importing.import_weights('google', tmp_path / 'run', path='file')
  assert not list(tmp_path.iterdir())


def test_bad_requests(tmp_path, trained):
  workdir = tmp_path / 'run'

  def refused(message, source='google', **arguments):
    with pytest.raises(errors.InputError, match=message):
      importing.import_weights(source, workdir, **arguments)
    assert not list(tmp_path.iterdir())

  refused("not 'gogle'; did you mean 'google'", 'gogle')
  refused('needs --input, .* --download to fetch https://.*inception5h.zip')
  refused('needs --input, the file to import$', 'safetensors')
  refused('nothing to --download', 'safetensors', download=True)
  refused(
    '--labels is of no use', 'safetensors', path='x', label_file='labels.txt'
  )
  refused('none cannot be read', path=tmp_path / 'none')
  (tmp_path / 'file').write_text('')
  workdir = tmp_path / 'file' / 'run'
  with pytest.raises(errors.InputError, match='run cannot be written'):
    importing._write(
      as_imported(run.load_run(trained[0])), run.epath.Path(workdir), 'x'
    )


@pytest.mark.test_data
def test_the_released_network_from_the_command_line(tmp_path):
  folder = os.environ.get('INCEPTION_JAX_TEST_DATA')
  if not folder:
    pytest.skip('INCEPTION_JAX_TEST_DATA is not set')
  path = pathlib.Path(folder) / 'google_inception.npz'
  result = launch.called(
    '--mode=import',
    '--source=google',
    f'--input={path}',
    f'--workdir={tmp_path / "run"}',
  )
  assert result == {
    'workdir': str(tmp_path / 'run'),
    'profile': 'inception_v1_google',
    'num_params': 7_066_380,
    'missing': ['nn0_w', 'nn1_w'],
    'unused': result['unused'],
    'sha256': result['sha256'],
    'labels': 'google_inception_synsets.txt',
  }
  assert len(result['unused']) == 10 and len(result['sha256']) == 64
  loaded = run.load_run(tmp_path / 'run')
  assert loaded.labels[1].name == 'kit fox, Vulpes macrotis'


def test_a_remote_file_that_cannot_be_read_is_a_sentence(
  tmp_path, monkeypatch, any_bucket
):
  def fail(*arguments):
    raise KeyError('of some library')

  monkeypatch.setattr(google, 'read', fail)
  with pytest.raises(errors.InputError, match='gs://b/x cannot be read .*copy'):
    importing.import_weights('google', tmp_path / 'w', path='gs://b/x')
  with pytest.raises(KeyError):
    importing.import_weights('google', tmp_path / 'w', path='x')
