"""The authors' released network against a graph of raw TensorFlow ops.

The graph takes its weights under the names of the released file, so that the
names of ours are checked as well.
"""

import dataclasses
import functools
import os
import pathlib
import tarfile

import jax
import numpy as np
import pytest

from inception_jax.models import create_model
from inception_jax.weights import google

tf = pytest.importorskip('tensorflow')

# Absolute, in float32: of logits, and of end points over their largest value.
LOGITS_ATOL = 1e-4
END_POINT_RTOL = 1e-5

STEM = {'conv1': 'conv2d0', 'conv2_reduce': 'conv2d1', 'conv2': 'conv2d2'}
BRANCHES = {
  'conv_1x1': '1x1',
  'reduce_3x3': '3x3_bottleneck',
  'conv_3x3': '3x3',
  'reduce_5x5': '5x5_bottleneck',
  'conv_5x5': '5x5',
  'pool_proj': 'pool_reduce',
}
BLOCKS = ('3a', '3b', '4a', '4b', '4c', '4d', '4e', '5a', '5b')


def released_layers():
  """(our path, released name) of every layer on the main path."""
  yield from (((ours,), theirs) for ours, theirs in STEM.items())
  for block in BLOCKS:
    for ours, theirs in BRANCHES.items():
      yield (f'inception_{block}', ours), f'mixed{block}_{theirs}'
  yield ('classifier',), 'softmax2'


def to_ours(weights):
  """Released arrays as parameters of ours, without the auxiliary heads."""
  params = {}
  for path, name in released_layers():
    node = functools.reduce(lambda d, k: d.setdefault(k, {}), path, params)
    node['kernel'] = weights[f'{name}_w']
    node['bias'] = weights[f'{name}_b']
  kernel = params['classifier']['kernel']
  params['classifier']['kernel'] = kernel.reshape(kernel.shape[-2:])
  return params


# Other weights and inputs every time; pytest prints it if a test fails.
ENTROPY = np.random.SeedSequence().entropy


def random_weights(model):
  """Fresh weights of the model's shapes, under the released names."""
  x = jax.ShapeDtypeStruct((1, 96, 96, 3), np.float32)
  shapes = jax.eval_shape(model.init, jax.random.key(0), x)['params']
  print('entropy', ENTROPY)
  rng = np.random.default_rng([ENTROPY, 0])
  weights = {}
  for path, name in released_layers():
    leaf = functools.reduce(lambda d, k: d[k], path, shapes)
    shape = leaf['kernel'].shape
    bound = np.sqrt(6 / np.prod(shape[:-1]))
    kernel = rng.uniform(-bound, bound, shape).astype(np.float32)
    if name == 'softmax2':
      # Logits of tens, as a trained network's, not of hundreds.
      kernel = kernel[None, None] / 8
    weights[f'{name}_w'] = kernel
    bias = rng.uniform(-0.2, 0.4, leaf['bias'].shape)
    weights[f'{name}_b'] = bias.astype(np.float32)
  return weights


def tensorflow_graph(weights, x):
  """Logits and end points `{name: array}` of the released network."""

  def conv(x, name, stride=1):
    y = tf.nn.conv2d(x, weights[f'{name}_w'], stride, 'SAME')
    return tf.nn.relu(tf.nn.bias_add(y, weights[f'{name}_b']))

  def pool(x, stride=2):
    return tf.nn.max_pool2d(x, 3, stride, 'SAME')

  def lrn(x):
    return tf.nn.local_response_normalization(
      x, depth_radius=5, bias=2.0, alpha=1e-4, beta=0.5
    )

  @tf.function
  def network(x):
    ends = {}
    x = ends['conv1'] = conv(x, 'conv2d0', 2)
    x = ends['pool1'] = pool(x)
    x = ends['lrn1'] = lrn(x)
    x = ends['conv2_reduce'] = conv(x, 'conv2d1')
    x = ends['conv2'] = conv(x, 'conv2d2')
    x = ends['lrn2'] = lrn(x)
    x = ends['pool2'] = pool(x)
    for block in BLOCKS:
      if block in ('4a', '5a'):
        x = ends[f'pool{int(block[0]) - 1}'] = pool(x)
      name = f'mixed{block}_'
      branches = (
        conv(x, name + '1x1'),
        conv(conv(x, name + '3x3_bottleneck'), name + '3x3'),
        conv(conv(x, name + '5x5_bottleneck'), name + '5x5'),
        conv(pool(x, 1), name + 'pool_reduce'),
      )
      x = ends[f'inception_{block}'] = tf.concat(branches, 3)
    x = ends['avg_pool'] = tf.reduce_mean(x, (1, 2))
    y = tf.nn.conv2d(x[:, None, None], weights['softmax2_w'], 1, 'VALID')
    ends['logits'] = (y + weights['softmax2_b'])[:, 0, 0]
    return ends

  return {name: end.numpy() for name, end in network(x).items()}


def released_model(**arguments):
  return create_model('inception_v1_google', num_classes=1008, **arguments)


def assert_ends_agree(ends, expected):
  assert set(ends) == set(expected)
  for name, theirs in expected.items():
    assert np.ptp(theirs) > 0.1, name  # Not a comparison of zeros.
    atol = END_POINT_RTOL * np.abs(theirs).max()
    if name == 'logits':
      atol = LOGITS_ATOL
    np.testing.assert_allclose(
      ends[name], theirs, rtol=0, atol=atol, err_msg=name
    )


@pytest.fixture(scope='module')
def narrow():
  """A narrow released network: model, parameters, images, end points."""
  model = released_model(width=0.25)
  weights = random_weights(model)
  rng = np.random.default_rng([ENTROPY, 1])
  x = (50 * rng.standard_normal((2, 96, 96, 3))).astype(np.float32)
  return model, to_ours(weights), x, tensorflow_graph(weights, x)


def test_narrow_network_agrees(narrow):
  model, params, x, expected = narrow
  logits, ends = jax.jit(model.apply)({'params': params}, x)
  assert logits.shape == (2, 1008)
  assert_ends_agree(ends, expected)


@pytest.mark.parametrize('size', [65, 83])
def test_odd_sizes_agree(size):
  """SAME pads differently at every stage of these."""
  model = released_model(width=0.1)
  weights = random_weights(model)
  rng = np.random.default_rng([ENTROPY, 1])
  x = (50 * rng.standard_normal((1, size, size, 3))).astype(np.float32)
  _, ends = jax.jit(model.apply)({'params': to_ours(weights)}, x)
  assert_ends_agree(ends, tensorflow_graph(weights, x))


def with_architecture(model, **changes):
  architecture = dataclasses.replace(model.architecture, **changes)
  return model.clone(architecture=architecture)


def swap_branches(params, block='inception_4c'):
  """Filters of the 3x3 reduction in the place of the 1x1 branch."""
  module = dict(params[block])
  reduce_3x3, conv_1x1 = dict(module['reduce_3x3']), dict(module['conv_1x1'])
  width = min(reduce_3x3['bias'].size, conv_1x1['bias'].size)
  module['conv_1x1'] = {
    name: np.concatenate(
      [reduce_3x3[name][..., :width], value[..., width:]], axis=-1
    )
    for name, value in conv_1x1.items()
  }
  return {**params, block: module}


# One slip at a time, as public implementations have them; each must show.
SLIPS = {
  'LRN over 5 channels': lambda m, p, x: (
    with_architecture(m, lrn=m.architecture.lrn._replace(depth=5)),
    p,
    x,
  ),
  'LRN with k = 1': lambda m, p, x: (
    with_architecture(m, lrn=m.architecture.lrn._replace(k=1.0)),
    p,
    x,
  ),
  'symmetric padding': lambda m, p, x: (
    with_architecture(m, padding='symmetric', pool_padding='symmetric'),
    p,
    x,
  ),
  'branches swapped': lambda m, p, x: (m, swap_branches(p), x),
  'BGR': lambda m, p, x: (m, p, x[..., ::-1]),
  '255 for 256': lambda m, p, x: (m, p, (x + 117) * (255 / 256) - 117),
}


@pytest.mark.parametrize('slip', SLIPS)
def test_a_slip_would_show(narrow, slip):
  model, params, x, expected = narrow
  model, params, x = SLIPS[slip](model, params, x)
  logits, _ = jax.jit(model.apply)({'params': params}, x)
  assert np.abs(logits - expected['logits']).max() > 10 * LOGITS_ATOL


@pytest.fixture(scope='module')
def data_dir():
  """Folder of the released weights and of photographs."""
  folder = os.environ.get('INCEPTION_JAX_TEST_DATA')
  if not folder:
    pytest.skip('INCEPTION_JAX_TEST_DATA is not set')
  return pathlib.Path(folder)


def photographs(path, count):
  """Every 60th photograph: float pixels `[count, 224, 224, 3]`, synsets."""
  images, synsets = [], []
  with tarfile.open(path) as tar:
    names = sorted(name for name in tar.getnames() if name.endswith('.JPEG'))
    for name in names[::60][:count]:
      image = tf.io.decode_jpeg(tar.extractfile(name).read(), channels=3)
      side = min(image.shape[:2])
      image = tf.image.resize_with_crop_or_pad(image, side, side)
      images.append(tf.image.resize(image, (224, 224), antialias=True))
      synsets.append(pathlib.Path(name).name.split('_')[0])
  return np.stack(images), synsets


@pytest.fixture(scope='module')
def released(data_dir):
  """The released network as imported, photographs, and TensorFlow's answer."""
  network = google.read(data_dir / 'google_inception.npz')
  pixels, synsets = photographs(data_dir / 'imagenet_sample.tar', 8)
  with np.load(data_dir / 'google_inception.npz') as arrays:
    expected = tensorflow_graph(dict(arrays), pixels / 255 * 256 - 117)
  return network, pixels, synsets, expected


@pytest.mark.test_data
def test_released_weights_agree_on_photographs(released):
  network, pixels, synsets, expected = released
  assert pixels.shape == (8, 224, 224, 3) and pixels.dtype == np.float32
  model = create_model(**network.model_arguments)
  logits, ends = jax.jit(model.apply)(
    network.variables, network.preprocessing(pixels)
  )
  assert_ends_agree(ends, expected)
  # And it is the network that knows these photographs.
  best = np.argsort(-logits)[:, :5]
  hits = [
    synset in {network.labels[i].synset for i in row}
    for synset, row in zip(synsets, best, strict=True)
  ]
  assert sum(hits) >= 7  # Top-5 is 0.979 on photographs of this kind.


@pytest.mark.test_data
@pytest.mark.parametrize('slip', SLIPS)
def test_a_slip_would_show_on_photographs(released, slip):
  network, pixels, _, expected = released
  model, params, x = SLIPS[slip](
    create_model(**network.model_arguments),
    network.variables['params'],
    np.asarray(network.preprocessing(pixels[:2])),
  )
  logits, _ = jax.jit(model.apply)({'params': params}, x)
  assert np.abs(logits - expected['logits'][:2]).max() > 100 * LOGITS_ATOL
