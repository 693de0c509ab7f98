"""TF-slim's network as imported against the package `tf_slim` itself.

Fresh weights, batch statistics and pictures every time go from a graph of the
package, through a checkpoint and the importer, into a network of ours.
"""

import contextlib
import importlib
import sys
import tarfile
import warnings

import jax
import numpy as np
import pytest

from inception_jax.models import create_model
from inception_jax.weights import tf_slim as importer

tf = pytest.importorskip('tensorflow')
pytest.importorskip('tf_keras')
with warnings.catch_warnings():
  warnings.simplefilter('ignore')
  # Where the package looks for it, and where it is today.
  sys.modules.setdefault(
    'tf_keras.legacy_tf_layers',
    importlib.import_module('tf_keras.src.legacy_tf_layers'),
  )
  pytest.importorskip('tf_slim')
  slim_nets = importlib.import_module('tf_slim.nets.inception_v1')
  slim_layers = importlib.import_module('tf_slim.layers.layers')
  slim_scope = importlib.import_module('tf_slim.ops.arg_scope').arg_scope

pytestmark = pytest.mark.filterwarnings('ignore')

LOGITS_ATOL = 1e-4
END_POINT_RTOL = 1e-5
ENTROPY = np.random.SeedSequence().entropy
# The package's names of our end points; logits and mean are below.
ENDS = {
  'conv1': 'Conv2d_1a_7x7',
  'pool1': 'MaxPool_2a_3x3',
  'conv2_reduce': 'Conv2d_2b_1x1',
  'conv2': 'Conv2d_2c_3x3',
  'pool2': 'MaxPool_3a_3x3',
  'inception_3a': 'Mixed_3b',
  'inception_3b': 'Mixed_3c',
  'pool3': 'MaxPool_4a_3x3',
  'inception_4a': 'Mixed_4b',
  'inception_4b': 'Mixed_4c',
  'inception_4c': 'Mixed_4d',
  'inception_4d': 'Mixed_4e',
  'inception_4e': 'Mixed_4f',
  'pool4': 'MaxPool_5a_2x2',
  'inception_5a': 'Mixed_5b',
  'inception_5b': 'Mixed_5c',
}
SIZE = 200  # 100, 50, 25, 13 and 7: SAME pads differently at these.


@contextlib.contextmanager
def slipped(slip):
  """The package with one slip, as ports of it have them."""
  right = slim_nets.layers_lib.max_pool2d, slim_nets.layers.conv2d

  def max_pool2d(x, window, *args, **kwargs):
    window = [3, 3] if slip == 'last pool 3x3' else window
    return right[0](x, window, *args, **kwargs)

  def conv2d(x, features, window, *args, **kwargs):
    if slip == 'symmetric stem' and window == [7, 7]:
      x = tf.pad(x, [[0, 0], [3, 3], [3, 3], [0, 0]])
      kwargs['padding'] = 'VALID'
    return right[1](x, features, window, *args, **kwargs)

  # `arg_scope` knows functions by these.
  max_pool2d._key_op = right[0]._key_op
  conv2d._key_op = right[1]._key_op
  slim_nets.layers_lib.max_pool2d, slim_nets.layers.conv2d = max_pool2d, conv2d
  try:
    yield
  finally:
    slim_nets.layers_lib.max_pool2d, slim_nets.layers.conv2d = right


class Peer:
  """The package's network in a session of its own.

  Attributes:
    variables: of the model, by name.
  """

  def __init__(self, slip=None):
    self.graph = tf.Graph()
    v1 = tf.compat.v1
    with self.graph.as_default(), slipped(slip):
      self.x = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3])
      with slim_scope(slim_nets.inception_v1_arg_scope()):
        changed = {'normalizer_params': {'epsilon': 1e-5}}
        changed = changed if slip == 'epsilon' else {}
        with slim_scope([slim_layers.conv2d], **changed):
          logits, ends = slim_nets.inception_v1(
            self.x, num_classes=1001, is_training=False
          )
      self.ends = {ours: ends[theirs] for ours, theirs in ENDS.items()}
      self.ends['avg_pool'] = tf.reduce_mean(ends['Mixed_5c'], (1, 2))
      self.ends['logits'] = logits
      self.variables = {x.op.name: x for x in v1.global_variables()}
    self.session = v1.Session(graph=self.graph)

  def set(self, arrays):
    with self.graph.as_default():
      for name, variable in self.variables.items():
        variable.load(arrays[name], self.session)

  def run(self, x):
    return self.session.run(self.ends, {self.x: x})


def random_arrays(variables):
  print('entropy', ENTROPY)
  rng = np.random.default_rng([ENTROPY, 0])

  def draw(name, shape):
    if name.endswith('weights'):
      bound = np.sqrt(6 / np.prod(shape[:-1]))
      return rng.uniform(-bound, bound, shape)
    if name.endswith('moving_variance'):
      return rng.uniform(0.5, 2.0, shape)
    return rng.uniform(-0.1, 0.4, shape)

  return {
    name: draw(name, x.shape.as_list()).astype(np.float32)
    for name, x in variables.items()
  }


def pixels_of():
  rng = np.random.default_rng([ENTROPY, 1])
  return rng.integers(0, 256, (1, SIZE, SIZE, 3), np.uint8)


def network_input(pixels):
  """As `preprocess_for_eval`: to [0, 1], minus 0.5, times 2."""
  return (pixels.astype(np.float32) / 255 - 0.5) * 2


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  """The peer, its weights, a checkpoint, pictures, our end points."""
  peer = Peer()
  arrays = random_arrays(peer.variables)
  peer.set(arrays)
  prefix = tmp_path_factory.mktemp('slim') / 'inception_v1.ckpt'
  with peer.graph.as_default():
    v1 = tf.compat.v1
    v1.train.Saver().save(peer.session, str(prefix), write_meta_graph=False)
  pixels = pixels_of()
  found = importer.read(prefix)
  model = create_model(**found.model_arguments)
  x = found.preprocessing(pixels)
  _, ends = jax.jit(model.apply)(found.variables, x)
  return (
    peer,
    arrays,
    prefix,
    pixels,
    {k: np.asarray(v) for k, v in ends.items()},
  )


def differing(ours, theirs):
  found = set()
  for name, expected in theirs.items():
    atol = END_POINT_RTOL * np.abs(expected).max()
    if name == 'logits':
      atol = LOGITS_ATOL
    if ours[name].shape != expected.shape or not np.allclose(
      ours[name], expected, rtol=0, atol=atol
    ):
      found.add(name)
  return found


def test_tf_slim_agrees(pair):
  peer, arrays, prefix, pixels, ours = pair
  count = sum(x.size for x in arrays.values())
  statistics = sum(x.size for k, x in arrays.items() if 'moving' in k)
  assert count - statistics == 6_618_649
  expected = peer.run(network_input(pixels))
  assert expected.keys() == ours.keys() and len(ours) == 18
  for name, theirs in expected.items():
    assert np.ptp(theirs) > 0.1, name  # Not a comparison of zeros.
  assert 1 < np.abs(expected['logits']).max() < 100
  assert not differing(ours, expected)
  found = importer.read(prefix)
  assert found.missing == found.unused == ()
  assert found.card['weights'] == 'raw'
  assert found.labels[0].name == '<background>' and len(found.labels) == 1001


@pytest.mark.parametrize('slip', ['epsilon', 'last pool 3x3', 'symmetric stem'])
def test_a_slip_in_the_graph_would_show(pair, slip):
  _, arrays, _, pixels, ours = pair
  wrong = Peer(slip)
  wrong.set(arrays)
  assert 'logits' in differing(ours, wrong.run(network_input(pixels)))


def test_a_slip_in_the_input_would_show(pair):
  peer, _, _, pixels, ours = pair
  x = network_input(pixels)
  for wrong in (x[..., ::-1], pixels / 255.0, pixels - 117.0):
    assert {'conv1', 'logits'} <= differing(ours, peer.run(wrong))


def test_averages_are_taken_where_they_exist(pair, tmp_path):
  """And the archive is the checkpoint, in old form and new."""
  _, arrays, prefix, _, _ = pair
  averages = {
    f'{name}/{importer.AVERAGE}': value * np.float32(0.5)
    for name, value in arrays.items()
    if 'Mixed_5' in name
  }
  step = {
    'global_step': np.int64(7),
    'InceptionV1/x/weights/RMSProp': arrays[
      'InceptionV1/Logits/Conv2d_0c_1x1/biases'
    ],
  }
  path = tmp_path / 'average.ckpt'
  save(path, {**arrays, **averages, **step})
  found = importer.read(path)
  assert found.card['num_averages'] == len(averages) == 48
  assert 'global_step' in found.unused
  raw = importer.read(path, 'raw').variables
  jax.tree.map(
    np.testing.assert_array_equal, raw, importer.read(prefix).variables
  )
  kernel = lambda tree, name: tree['params'][name]['conv_5x5']['kernel']
  for name, factor in (('inception_5a', 0.5), ('inception_4e', 1)):
    np.testing.assert_array_equal(
      kernel(found.variables, name), factor * kernel(raw, name)
    )
  archive = tmp_path / 'x.tar.gz'
  with tarfile.open(archive, 'w:gz') as tar:
    for file in sorted(tmp_path.glob('average.ckpt*')):
      tar.add(file, f'../../{file.name}')
  jax.tree.map(
    np.testing.assert_array_equal,
    importer.read(archive).variables,
    found.variables,
  )


@pytest.mark.parametrize('archived', [False, True])
def test_old_checkpoints(pair, tmp_path, archived):
  """One file, as the published one is."""
  _, arrays, prefix, _, _ = pair
  path = tmp_path / 'inception_v1.ckpt'
  save(path, arrays, tf.compat.v1.train.SaverDef.V1)
  assert path.is_file()
  if archived:
    with tarfile.open(tmp_path / 'x.tar.gz', 'w:gz') as tar:
      tar.add(path, 'inception_v1.ckpt')
    path = tmp_path / 'x.tar.gz'
  jax.tree.map(
    np.testing.assert_array_equal,
    importer.read(path).variables,
    importer.read(prefix).variables,
  )


def save(path, arrays, version=None):
  """Writes a checkpoint of these arrays."""
  v1 = tf.compat.v1
  with tf.Graph().as_default(), v1.Session() as session:
    made = {
      name: v1.get_variable(f'v{i}', np.shape(x), tf.as_dtype(x.dtype))
      for i, (name, x) in enumerate(arrays.items())
    }
    for name, variable in made.items():
      variable.load(arrays[name], session)
    saver = v1.train.Saver(made, write_version=version or v1.train.SaverDef.V2)
    saver.save(session, str(path), write_meta_graph=False, write_state=False)
