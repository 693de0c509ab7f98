"""Reading back what the export mode wrote as safetensors."""

import json

import numpy as np
import pytest
import random_runs
from safetensors import numpy as safetensors_numpy

from inception_jax.commands import export as exporting
from inception_jax.commands import import_weights as importing
from inception_jax.export import formats
from inception_jax.export import safetensors_file as writer
from inception_jax.runs import named_arrays, run
from inception_jax.runtime import errors
from inception_jax.weights import exported as exported_lib
from inception_jax.weights import safetensors_file as reader


def serialize(*contents):
  return writer.serialize(formats.Request(*contents))['.safetensors']


@pytest.fixture(scope='module')
def exported():
  """A network with batch norm, its arrays and its file's contents."""
  loaded = random_runs.random_run('inception_v1_bn_shallow', 64, use_aux=True)
  arrays = named_arrays.flatten(loaded.variables)
  about = exported_lib.describe(loaded, arrays)
  return loaded, arrays, serialize(loaded, arrays, about)


def test_network_comes_back_bit_for_bit(exported, tmp_path):
  loaded, arrays, data = exported
  path = tmp_path / 'model.safetensors'
  path.write_bytes(data)
  network = reader.read(str(path))
  found = named_arrays.flatten(network.variables)
  assert found.keys() == arrays.keys()
  for name, value in arrays.items():
    assert found[name].tobytes() == value.tobytes(), name
    assert found[name].dtype == np.float32
  assert network.preprocessing == loaded.preprocessing
  assert network.eval_crop == loaded.eval_crop
  assert network.labels == loaded.labels
  assert network.card['file'] == 'model.safetensors'
  assert network.card['step'] == 3


def test_import_and_export_again_give_the_same_weights(exported, tmp_path):
  workdir = random_runs.write(exported[0], tmp_path / 'first')
  (workdir / 'card.json').write_text('{"licence": "Apache-2.0"}')
  first = exporting.export(workdir, 'safetensors')
  importing.import_weights(
    'safetensors', tmp_path / 'second', path=first['path']
  )
  loaded = run.load_run(tmp_path / 'second')
  assert loaded.labels == exported[0].labels
  second = exporting.export(tmp_path / 'second', 'safetensors')
  assert second['digest'] == first['digest']
  # Whose they are, and how far they were trained, is not forgotten.
  origin = reader.read(second['path']).card['origin']
  assert origin['step'] == 3
  assert origin['origin'] == {'licence': 'Apache-2.0'}


def damaged(data, kind):
  length = int.from_bytes(data[:8], 'little')
  return {
    'empty': b'',
    'short': data[:5],
    'in the header': data[: length // 2],
    'in the arrays': data[:-1],
    'longer': data + b'\0',
    'text': b'{"a": 1}' * 20,
    'no JSON': data[:8] + b'x' * length + data[8 + length :],
    'a list': (2).to_bytes(8, 'little') + b'[]',
    'deep': (10**5).to_bytes(8, 'little') + b'[' * 10**5,
    'wrong metadata': (20).to_bytes(8, 'little') + b'{"__metadata__": 12}',
  }[kind]


@pytest.mark.parametrize(
  'kind',
  [
    'empty',
    'short',
    'in the header',
    'in the arrays',
    'longer',
    'text',
    'no JSON',
    'a list',
    'deep',
    'wrong metadata',
  ],
)
def test_damaged_files_are_sentences(exported, tmp_path, kind):
  path = tmp_path / 'model.safetensors'
  path.write_bytes(damaged(exported[2], kind))
  with pytest.raises(
    errors.InputError, match='model.safetensors is no whole safetensors file'
  ):
    reader.read(path)


def test_flipped_bit_is_noticed(exported, tmp_path):
  data = bytearray(exported[2])
  data[-1] ^= 1
  path = tmp_path / 'model.safetensors'
  path.write_bytes(data)
  with pytest.raises(errors.InputError, match='model.safetensors.*digest'):
    reader.read(path)


def test_file_of_another_program_is_named_so(exported, tmp_path):
  path = tmp_path / 'model.safetensors'
  for metadata in (None, {'format': 'pt'}):
    safetensors_numpy.save_file(exported[1], path, metadata)
    # Without its arrays: it is the header that says so, however large the rest.
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
      errors.InputError, match='not exported by inception_jax'
    ):
      reader.read(path)


def test_types_that_numpy_lacks_are_a_sentence(exported, tmp_path):
  _, _, data = exported
  length = int.from_bytes(data[:8], 'little')
  header = json.loads(data[8 : 8 + length])
  header = {
    '__metadata__': header['__metadata__'],
    'a': {'dtype': 'F8_E4M3', 'shape': [4], 'data_offsets': [0, 4]},
  }
  text = json.dumps(header).encode()
  path = tmp_path / 'model.safetensors'
  path.write_bytes(len(text).to_bytes(8, 'little') + text + b'\0' * 4)
  with pytest.raises(errors.InputError, match='model.safetensors'):
    reader.read(path)


def test_wrong_shape_is_named(exported, tmp_path):
  loaded, arrays, _ = exported
  changed = {**arrays, 'params/conv1/kernel': arrays['params/conv1/kernel'][:5]}
  about = exported_lib.describe(loaded, changed)
  path = tmp_path / 'model.safetensors'
  path.write_bytes(serialize(loaded, changed, about))
  with pytest.raises(
    errors.InputError, match="model.safetensors .*'params/conv1/kernel'"
  ):
    reader.read(path)


@pytest.mark.parametrize('name', ['none.safetensors', '.'])
def test_unreadable_path_is_a_sentence(tmp_path, name):
  with pytest.raises(errors.InputError, match='cannot be read.*--input'):
    reader.read(tmp_path / name)
