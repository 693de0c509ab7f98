"""Tests of reading frozen graphs that TensorFlow wrote."""

import numpy as np
import pytest
import tensorflow as tf

from inception_jax.runtime import errors
from inception_jax.weights import graph_def


def write_graph(**constants):
  with tf.Graph().as_default() as graph:
    for name, value in constants.items():
      tf.constant(value, name=name)
    tf.identity(tf.constant([1, 2], tf.int32, name='shape'), name='output')
  return graph.as_graph_def().SerializeToString()


@pytest.fixture(scope='module')
def arrays():
  rng = np.random.default_rng(0)
  return {
    'a_w': rng.standard_normal((3, 2, 4)).astype(np.float32),
    'scalar': np.float32(2.5),
    'same': np.full((2, 3), 0.2, np.float32),  # Stored as one value.
    'empty': np.zeros((0, 3), np.float32),
  }


def test_constants_of_a_graph(arrays):
  found = graph_def.float_constants(write_graph(**arrays), 'x.pb')
  assert found.keys() == arrays.keys()  # And no 'shape'.
  for name, value in arrays.items():
    assert found[name].dtype == np.float32
    np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize(
  ('data', 'message'),
  [
    (b'<html>not found</html>', 'x.pb is no TensorFlow graph'),
    (b'', 'without float constants'),
    (write_graph(), 'without float constants'),
    (write_graph(a=np.ones(9, np.float32))[:-30], 'cut short'),
  ],
  ids=['html', 'empty', 'no weights', 'cut'],
)
def test_other_files_are_refused(data, message):
  with pytest.raises(errors.InputError, match=message):
    graph_def.float_constants(data, 'x.pb')


def test_a_constant_that_is_not_of_its_shape(arrays):
  graph = tf.compat.v1.GraphDef.FromString(write_graph(**arrays))
  node = next(n for n in graph.node if n.name == 'a_w')
  for size in (5, -3, 2**40):
    node.attr['value'].tensor.tensor_shape.dim[0].size = size
    with pytest.raises(errors.InputError, match="'a_w' has 24 values"):
      graph_def.float_constants(graph.SerializeToString(), 'x.pb')


def test_one_value_stands_for_all():
  graph = tf.compat.v1.GraphDef.FromString(
    write_graph(same=np.full((2, 3), 0.2, np.float32))
  )
  tensor = next(n for n in graph.node if n.name == 'same').attr['value'].tensor
  tensor.tensor_content = b''
  tensor.float_val.append(0.2)
  expected = tf.make_ndarray(tensor)
  found = graph_def.float_constants(graph.SerializeToString(), 'x.pb')
  np.testing.assert_array_equal(found['same'], expected)
  # But not for more memory than there is.
  tensor.tensor_shape.dim[0].size = 2**50
  with pytest.raises(errors.InputError, match="'same' has 1 values"):
    graph_def.float_constants(graph.SerializeToString(), 'x.pb')


def test_an_enormous_file_is_not_parsed(monkeypatch):
  monkeypatch.setattr(graph_def, 'MAX_BYTES', 100)
  with pytest.raises(errors.InputError, match='more than the 100 of any'):
    graph_def.float_constants(bytes(101), 'x.pb')


def test_damage_gives_clean_errors_or_arrays(arrays):
  whole = write_graph(**arrays)
  rng = np.random.default_rng(1)
  num_refused = 0
  for _ in range(2000):
    data = bytearray(whole)
    for place in rng.integers(len(data), size=rng.integers(1, 4)):
      data[place] = rng.integers(256)
    try:
      graph_def.float_constants(
        bytes(data[: rng.integers(1, len(data) + 1)]), 'x'
      )
    except errors.InputError:
      num_refused += 1
  assert num_refused > 1000
