"""Tests of the walk over the layers that have weights."""

from flax import traverse_util
import jax
import numpy as np
import pytest

from inception_jax import models
from inception_jax.models import architectures, layer_names


def variables_of(name):
  """Flat names of a network's variables."""
  model = models.create_model(name, width=0.01)
  x = jax.ShapeDtypeStruct((1, 80, 80, 3), np.float32)
  shapes = jax.eval_shape(model.init, jax.random.key(0), x)
  return list(traverse_util.flatten_dict(shapes, sep='/'))


@pytest.mark.parametrize('name', architectures.ARCHITECTURES)
def test_layers_are_those_of_the_network(name):
  layers = list(layer_names.layers(architectures.ARCHITECTURES[name]))
  paths = [layer.path for layer in layers]
  assert len(set(paths)) == len(paths)
  kernels = [x for x in variables_of(name) if x.endswith('/kernel')]
  assert sorted(f'params/{x}/kernel' for x in paths) == sorted(kernels)


@pytest.mark.parametrize('name', architectures.ARCHITECTURES)
def test_every_variable_is_a_layer_and_the_rest(name):
  layers = set(layer_names.layers(architectures.ARCHITECTURES[name]))
  found = set()
  for variable in variables_of(name):
    layer, rest = layer_names.split(variable)
    assert layer in layers
    assert variable.split('/', 1)[1] == f'{layer.path}/{rest}'
    found.add(rest)
  assert found <= {
    'kernel',
    'bias',
    'bn/scale',
    'bn/bias',
    'bn/mean',
    'bn/var',
  }


def test_order():
  layers = list(layer_names.layers(architectures.ARCHITECTURES['inception_v1']))
  assert [x.path for x in layers[:5]] == [
    'conv1',
    'conv2_reduce',
    'conv2',
    'inception_3a/conv_1x1',
    'inception_3a/reduce_3x3',
  ]
  assert layers[56] == (
    'inception_5b/pool_proj',
    'inception',
    '5b',
    'pool_proj',
  )
  assert layers[57] == ('classifier', 'classifier', '', 'classifier')
  assert layers[58] == ('aux_4a/conv', 'aux', '4a', 'conv')
  assert layers[63] == ('aux_4d/classifier', 'aux', '4d', 'classifier')
  assert len(layers) == 64


@pytest.mark.parametrize(
  'name', ['', 'params', 'params/aux_4a', 'params/inception_9z/conv_1x1/kernel']
)
def test_names_of_no_layer(name):
  with pytest.raises(ValueError, match='belongs to no layer'):
    layer_names.split(name)
