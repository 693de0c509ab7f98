"""The export mode; ONNX has its own tests in `tests/parity`."""

import dataclasses
import inspect
import json
import os
import sys
import types

from etils import epath
import jax
from listing import contents, names
import numpy as np
import pytest
import random_runs

from inception_jax.commands import export as exporting
from inception_jax.export import checking, formats, npz_file
from inception_jax.runs import named_arrays, run
from inception_jax.runtime import errors
from inception_jax.weights import exported

safetensors_numpy = pytest.importorskip('safetensors.numpy')

from inception_jax.export import safetensors_file  # noqa: E402

EXACT = ('safetensors', 'npz')


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """A run directory with batch norm and auxiliary heads."""
  loaded = random_runs.random_run('inception_v1_bn_shallow', 64, use_aux=True)
  return random_runs.write(loaded, tmp_path_factory.mktemp('runs') / 'run')


def arrays_in(path):
  if path.suffix == '.npz':
    with np.load(path, allow_pickle=False) as file:
      arrays = dict(file)
    return arrays, json.loads(arrays.pop('metadata').item())
  with safetensors_numpy.safe_open(path, 'np') as file:
    metadata = file.metadata()
  return safetensors_numpy.load_file(path), metadata


def assert_bits_equal(ours, theirs):
  assert ours.keys() == theirs.keys()
  for name, value in ours.items():
    assert theirs[name].dtype == value.dtype == np.float32
    assert theirs[name].shape == value.shape
    assert theirs[name].tobytes() == value.tobytes(), name


@pytest.mark.parametrize('weights', [None, 'raw', 'polyak'])
def test_all_weights_of_a_trained_run_come_back(trained, tmp_path, weights):
  trained_dir, _ = trained
  result = exporting.export(
    trained_dir,
    'safetensors',
    weights=weights,
    output=tmp_path / 'model.safetensors',
  )
  assert result['max_abs_diff'] == 0 and result['top1_agreement'] == 1
  assert result['weights'] == (weights or 'ema') and result['step'] == 12
  loaded = run.load_run(trained_dir, weights)
  arrays, metadata = arrays_in(tmp_path / 'model.safetensors')
  expected = named_arrays.flatten(loaded.variables)
  assert_bits_equal(expected, arrays)
  assert 'params/inception_4a/conv_5x5/kernel' in arrays
  assert 'batch_stats/inception_4a/conv_5x5/bn/mean' in arrays
  assert 'params/aux_4a/dense/kernel' in arrays
  assert metadata['weights'] == result['weights']
  if weights != 'raw':
    raw = named_arrays.flatten(run.load_run(trained_dir, 'raw').variables)
    name = 'params/inception_4a/conv_5x5/kernel'
    assert np.any(arrays[name] != raw[name])


@pytest.mark.parametrize('format', EXACT)
def test_file_and_check_say_what_they_are(workdir, format):
  result = exporting.export(workdir, format)
  path = workdir / 'export' / format / f'model.{format}'
  assert result['path'] == str(path)
  assert names(path.parent) == ['check.json', path.name]
  assert json.loads((path.parent / 'check.json').read_text()) == result
  assert {'path', 'format', 'max_abs_diff', 'top1_agreement'} < set(result)
  assert result['num_bytes'] == path.stat().st_size
  assert result['versions']['jax'] == jax.__version__
  loaded = run.load_run(workdir)
  arrays, metadata = arrays_in(path)
  expected = named_arrays.flatten(loaded.variables)
  assert_bits_equal(expected, arrays)
  assert metadata == exported.describe(loaded, expected)
  assert metadata['profile'] == 'inception_v1_bn_shallow'
  assert json.loads(metadata['labels']) == loaded.labels.to_json()
  assert json.loads(metadata['preprocessing'])['crop'] == {
    'size': 64,
    'name': 'center_square',
  }


def test_same_run_gives_the_same_npz(workdir, tmp_path):
  paths = [tmp_path / f'{name}.npz' for name in 'ab']
  for path in paths:
    exporting.export(workdir, 'npz', output=path)
  assert paths[0].read_bytes() == paths[1].read_bytes()


def test_card_of_imported_weights_goes_along(workdir, tmp_path):
  card = workdir / 'card.json'
  card.write_text('{"licence": "Apache-2.0"}')
  output = tmp_path / 'model.npz'
  try:
    exporting.export(workdir, 'npz', output=output)
    card.write_text('{')
    with pytest.raises(errors.InputError, match='card.json is damaged'):
      exporting.export(workdir, 'npz')
  finally:
    card.unlink()
  _, metadata = arrays_in(output)
  assert json.loads(metadata['card']) == {'licence': 'Apache-2.0'}


@pytest.mark.parametrize(
  'arguments, message',
  [
    ({'format': 'safetensor'}, "--format .*'safetensor'.* mean 'safetensors'"),
    ({'format': 'tflite'}, '--format must be one of safetensors, onnx, npz'),
    ({'uint8_input': True}, '--uint8_input .*--format=npz.*--format=onnx'),
    ({'softmax': True}, '--softmax .*--format=npz.*--format=onnx'),
    ({'output': 'model.onnx'}, '--output=.*model.onnx .* ends in .npz'),
    ({'output': 'model'}, '--output=.*model .* ends in .npz'),
    ({'output': 'folder.npz'}, '--output=.*folder.npz does not name a file'),
    ({'output': 'file.txt/a/model.npz'}, '--output=.*cannot be written'),
    ({'weights': 'mean'}, "weights must be one of .*'mean'"),
    ({'weights': 'ema'}, "keeps no 'ema' weights"),
  ],
)
def test_bad_requests_are_sentences(workdir, tmp_path, arguments, message):
  (tmp_path / 'folder.npz').mkdir()
  (tmp_path / 'file.txt').write_text('')
  before = names(workdir)
  if 'output' in arguments:
    arguments = {**arguments, 'output': tmp_path / arguments['output']}
  arguments = {'format': 'npz', 'output': tmp_path / 'x.npz', **arguments}
  with pytest.raises(errors.InputError, match=message):
    exporting.export(workdir, arguments.pop('format'), **arguments)
  assert names(workdir) == before
  assert names(tmp_path) == ['file.txt', 'folder.npz']


def test_folder_that_is_no_run_is_a_sentence(tmp_path):
  with pytest.raises(errors.InputError, match='no run directory'):
    exporting.export(tmp_path, 'npz')
  assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
  'format, package',
  [
    ('onnx', 'onnx'),
    ('onnx', 'onnxruntime'),
    ('safetensors', 'safetensors'),
  ],
)
def test_missing_package_is_named(workdir, monkeypatch, format, package):
  for name in ('onnx', 'onnxruntime'):
    monkeypatch.setitem(sys.modules, name, sys)  # As if it were there.
  monkeypatch.setitem(sys.modules, package, None)
  with pytest.raises(
    errors.InputError,
    match=rf"--format={format} .* {package},.*'inception_jax\[export\]'",
  ):
    exporting.export(workdir, format)


METHODS = {
  'file': 'write_bytes',
  'check': 'write_text',
  'rename': 'replace',
  'second rename': 'replace',
}


@pytest.mark.parametrize('when', METHODS)
@pytest.mark.parametrize('again', [False, True])
def test_full_disk_leaves_nothing(workdir, tmp_path, monkeypatch, when, again):
  output = tmp_path / 'a' / 'b' / 'model.npz'
  before = {}
  if again:
    exporting.export(workdir, 'npz', output=output)
    before = contents(output.parent)
  path_type = type(epath.Path(tmp_path))
  right = getattr(path_type, METHODS[when])

  def fail(self, *args):
    if when == 'file':  # Half of it was written.
      right(self, args[0][: len(args[0]) // 2])
    if when == 'second rename' and 'check' not in self.name:
      return right(self, *args)
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(path_type, METHODS[when], fail)
  with pytest.raises(
    errors.InputError, match='--output=.*model.npz .*No space left on device'
  ):
    exporting.export(workdir, 'npz', output=output)
  if again:
    assert contents(output.parent) == before
  if not again:
    assert not os.listdir(tmp_path)


def flip_bit(data):
  """A bit of the last array's last value."""
  return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize('damage', [flip_bit, lambda data: data[:-100]])
def test_file_that_does_not_come_back_is_removed(
  workdir, tmp_path, monkeypatch, damage
):
  right = safetensors_file.serialize
  monkeypatch.setattr(
    safetensors_file,
    'serialize',
    lambda request: {'.safetensors': damage(right(request)['.safetensors'])},
  )
  output = tmp_path / 'model.safetensors'
  with pytest.raises(checking.ExportError, match='cannot be used'):
    exporting.export(workdir, 'safetensors', output=output)
  assert not os.listdir(tmp_path)


def test_other_weights_than_the_runs_are_noticed(
  workdir, tmp_path, monkeypatch
):
  other = random_runs.random_run(
    'inception_v1_bn_shallow', 64, seed=1, use_aux=True
  )
  arrays = named_arrays.flatten(other.variables)
  others = formats.Request(other, arrays, exported.describe(other, arrays))
  right = npz_file.serialize
  monkeypatch.setattr(npz_file, 'serialize', lambda _: right(others))
  with pytest.raises(checking.ExportError, match='other weights'):
    exporting.export(workdir, 'npz', output=tmp_path / 'model.npz')
  assert not os.listdir(tmp_path)


def test_other_preprocessing_is_noticed(workdir, tmp_path, monkeypatch):
  """Exactly equal outputs are asked for, so that a rounding would show."""
  right = exported.describe

  def wrong(*args):
    about = right(*args)
    pixels = json.loads(about['preprocessing'])
    pixels['mean'][0] = float(np.nextafter(np.float32(117), np.float32(118)))
    return {**about, 'preprocessing': json.dumps(pixels)}

  monkeypatch.setattr(exported, 'describe', wrong)
  with pytest.raises(checking.ExportError, match='does not compute'):
    exporting.export(workdir, 'npz', output=tmp_path / 'model.npz')
  assert not os.listdir(tmp_path)


def test_last_file_stays_when_the_next_fails(workdir, tmp_path, monkeypatch):
  output = tmp_path / 'model.npz'
  exporting.export(workdir, 'npz', output=output)
  before = contents(tmp_path)
  right = npz_file.serialize
  monkeypatch.setattr(
    npz_file, 'serialize', lambda x: {'.npz': right(x)['.npz'][:-100]}
  )
  with pytest.raises(checking.ExportError):
    exporting.export(workdir, 'npz', output=output)
  assert before == contents(tmp_path)


def test_check_of_other_files_in_the_folder_is_kept(workdir, tmp_path):
  for name in ('a', 'b', 'a'):
    exporting.export(workdir, 'npz', output=tmp_path / f'{name}.npz')
  check = json.loads((tmp_path / 'check.json').read_text())
  assert check['path'] == str(tmp_path / 'a.npz')
  assert [x['path'] for x in check['earlier']] == [str(tmp_path / 'b.npz')]
  (tmp_path / 'check.json').write_text('{"mine": 1}')
  with pytest.raises(errors.InputError, match='check.json is not of an export'):
    exporting.export(workdir, 'npz', output=tmp_path / 'c.npz')
  assert (tmp_path / 'check.json').read_text() == '{"mine": 1}'
  assert not (tmp_path / 'c.npz').exists()


@pytest.mark.parametrize('format', formats.FORMATS)
def test_options_of_formats_are_flags_of_the_mode(format):
  known = inspect.signature(exporting.export).parameters
  assert set(formats.FORMATS[format].options) < set(known)


def toy_module(error=0.0):
  """A format whose file holds a list of numbers that are added to ours."""

  def serialize(request):
    text = json.dumps([error, request.options['softmax']])
    return {'.toy': text.encode(), '.card': request.loaded.weights.encode()}

  def outputs_of(request, files, pixels):
    assert files['.card'].read_text() == 'raw'
    added, softmax = json.loads(files['.toy'].read_text())
    loaded = request.loaded
    logits = added + checking.logits_of(
      loaded.model, loaded.variables, loaded.preprocessing, pixels
    )
    return np.array(jax.nn.softmax(logits)) if softmax else logits

  module = types.ModuleType('toy_file')
  module.serialize, module.outputs_of = serialize, outputs_of
  return module


@pytest.fixture
def toy(monkeypatch):
  """A new format: one row and, by `sys.modules`, one module."""
  row = formats.Format('toy_file', '.toy', exact=False, options=('softmax',))
  monkeypatch.setitem(formats.FORMATS, 'toy', row)
  monkeypatch.setitem(sys.modules, 'toy_file', toy_module())


@pytest.mark.parametrize('softmax', [False, True])
def test_new_format_is_one_module_and_one_row(workdir, toy, softmax):
  result = exporting.export(workdir, 'toy', softmax=softmax)
  folder = workdir / 'export' / 'toy'
  assert names(folder) == ['check.json', 'model.card', 'model.toy']
  assert json.loads((folder / 'check.json').read_text()) == result
  assert result['format'] == 'toy' and result['top1_agreement'] == 1
  assert result['beside'] == [str(folder / 'model.card')]
  assert result['compared'] == ('log_probabilities' if softmax else 'logits')
  assert result['num_bytes'] == (folder / 'model.toy').stat().st_size
  with pytest.raises(errors.InputError, match='--uint8_input is of no use'):
    exporting.export(workdir, 'toy', uint8_input=True)
  with pytest.raises(errors.InputError, match='of no use.*=onnx or toy'):
    exporting.export(workdir, 'npz', softmax=True)


def test_new_format_is_checked(workdir, tmp_path, toy, monkeypatch):
  monkeypatch.setitem(sys.modules, 'toy_file', toy_module(error=0.01))
  output = tmp_path / 'new' / 'model.toy'
  with pytest.raises(checking.ExportError, match='does not compute'):
    exporting.export(workdir, 'toy', output=output)
  row = dataclasses.replace(formats.FORMATS['toy'], exact=True)
  monkeypatch.setitem(formats.FORMATS, 'toy', row)
  monkeypatch.setitem(sys.modules, 'toy_file', toy_module(error=1e-6))
  with pytest.raises(checking.ExportError, match='allowed are 0'):
    exporting.export(workdir, 'toy', output=output)
  assert not os.listdir(tmp_path)
