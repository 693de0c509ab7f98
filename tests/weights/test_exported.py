"""What exported files say of themselves."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import random_runs

from inception_jax import models
from inception_jax.runs import named_arrays
from inception_jax.runtime import errors
from inception_jax.weights import exported as exported_lib


@pytest.mark.parametrize('name', models.ARCHITECTURES)
def test_model_comes_again_from_its_arguments(name):
  model = models.create_model(
    name,
    num_classes=5,
    use_aux=False,
    width=0.3,
    module_form='naive',
    merge_1x1=False,
    batch_norm_momentum=0.7,
    dtype='bfloat16',
  )
  arguments = json.loads(json.dumps(exported_lib.model_arguments(model)))
  assert arguments['name'] == name
  assert models.create_model(**arguments) == model
  # All that distinguishes models, but for the devices of a step.
  fields = {field.name for field in dataclasses.fields(model)}
  fields -= {'parent', 'name', 'architecture', 'axis_name'}
  assert set(arguments) == {'name', *fields}


def test_digest_depends_on_names_values_shapes_and_types_only():
  arrays = {'a': np.arange(6.0), 'b': np.zeros(2, np.float32)}
  digest = exported_lib.digest_of(arrays)
  backwards = dict(reversed(arrays.items()))
  assert exported_lib.digest_of(backwards) == digest
  for name, value in {
    'a': np.arange(6.0).reshape(2, 3),
    'b': np.zeros(2, np.int32),
    'c': np.zeros(2, np.float32),
  }.items():
    assert exported_lib.digest_of({**arrays, name: value}) != digest
  renamed = {'a': arrays['a'], 'c': arrays['b']}
  assert exported_lib.digest_of(renamed) != digest
  swapped = {'a': arrays['b'], 'b': arrays['a']}
  assert exported_lib.digest_of(swapped) != digest


@pytest.fixture(scope='module')
def exported():
  loaded = random_runs.random_run('inception_v1_lucid', 32, use_aux=True)
  arrays = named_arrays.flatten(loaded.variables)
  card = {'licence': 'Apache-2.0'}
  return loaded, arrays, exported_lib.describe(loaded, arrays, card)


def test_network_comes_again_bit_for_bit(exported):
  loaded, arrays, about = exported
  assert all(isinstance(value, str) for value in about.values())
  network = exported_lib.network_of(arrays, about, 'file')
  assert models.create_model(**network.model_arguments) == loaded.model
  assert network.preprocessing == loaded.preprocessing
  assert network.eval_crop == loaded.eval_crop
  assert network.labels == loaded.labels
  assert network.missing == network.unused == ()
  assert network.card['origin'] == {'licence': 'Apache-2.0'}
  assert (network.card['weights'], network.card['step']) == ('raw', 3)
  assert jax.tree.structure(network.variables) == jax.tree.structure(
    loaded.variables
  )
  jax.tree.map(
    np.testing.assert_array_equal, network.variables, loaded.variables
  )


@pytest.mark.parametrize(
  'change, message',
  [
    ({'format': 'pt'}, 'not exported by inception_jax'),
    ({'format_version': '2'}, "format version '2'"),
    ({'digest': '0' * 64}, 'digest differs'),
    ({'model': '{"name": "inception_v9"}'}, 'metadata of file.*inception_v9'),
    ({'model': '{"depth": 3}'}, 'metadata of file.*model: .*depth'),
    ({'model': '[]'}, 'metadata of file'),
    ({'labels': '{"a": 1}'}, 'metadata of file'),
    ({'preprocessing': '{"scale": 1}'}, 'metadata of file.*crop'),
    ({'preprocessing': 'no JSON'}, 'metadata of file'),
    ({'preprocessing': '{"scale": "x", "mean": [1, 2, 3]}'}, 'preprocessing: '),
    (
      {'labels': '[{"name": "cat", "synset": null}]'},
      'it has 1 name for 7 outputs',
    ),
    ({'labels': '[' * 10**5}, 'metadata of file'),
    ({'step': 'three'}, 'metadata of file.*three'),
  ],
)
def test_wrong_descriptions_are_sentences(exported, change, message):
  _, arrays, about = exported
  with pytest.raises(errors.InputError, match=message):
    exported_lib.network_of(arrays, {**about, **change}, 'file')


@pytest.mark.parametrize('field', ['model', 'labels', 'digest', 'step'])
def test_lacking_fields_are_sentences(exported, field):
  _, arrays, about = exported
  less = {name: value for name, value in about.items() if name != field}
  with pytest.raises(errors.InputError, match=f'metadata of file.*{field}'):
    exported_lib.network_of(arrays, less, 'file')


@pytest.mark.parametrize('kind', ['shape', 'type', 'missing', 'unknown'])
def test_arrays_of_another_network_are_sentences(exported, kind):
  _, arrays, about = exported
  name = 'params/conv1/kernel'
  changed = dict(arrays)
  if kind == 'missing':
    del changed[name]
  elif kind == 'unknown':
    changed['params/conv9/kernel'] = arrays[name]
  elif kind == 'shape':
    changed[name] = arrays[name][:5]
  else:
    changed[name] = arrays[name].astype(np.float64)
  # As if the file had been written so.
  about = {**about, 'digest': exported_lib.digest_of(changed)}
  with pytest.raises(
    errors.InputError, match='1 of the weights are others than'
  ):
    exported_lib.network_of(changed, about, 'file')


def test_weights_that_are_not_finite_are_refused(exported):
  _, arrays, about = exported
  name = 'params/conv1/kernel'
  changed = {**arrays, name: np.full_like(arrays[name], np.nan)}
  about = {**about, 'digest': exported_lib.digest_of(changed)}
  with pytest.raises(errors.InputError, match="conv1/kernel' .*not finite"):
    exported_lib.network_of(changed, about, 'file')
