"""Tests of importing the authors' network, on files that TensorFlow writes."""

import hashlib
import io
import os
import pathlib
import zipfile

import jax
import numpy as np
import pytest
import tensorflow as tf

from inception_jax import models
from inception_jax.data import labels
from inception_jax.runtime import errors
from inception_jax.weights import google

HEADS = [
  f'{name}_{kind}'
  for i in (0, 1)
  for name in (f'head{i}_bottleneck', f'nn{i}', f'softmax{i}')
  for kind in 'wb'
]
# 4a and 5a have widths of their own; see `googlenet.md` or the README.
SHAPES = {
  'conv2d0_w': (7, 7, 3, 64),
  'mixed4a_3x3_w': (3, 3, 96, 204),
  'mixed4b_1x1_w': (1, 1, 508, 160),
  'mixed5a_5x5_bottleneck_w': (1, 1, 832, 48),
  'head0_bottleneck_w': (1, 1, 508, 128),
  'head1_bottleneck_w': (1, 1, 528, 128),
  'nn1_w': (2048, 1024),
  'softmax1_w': (1024, 1008),
}


def label_text():
  names = [x.split(', ')[0] for x in labels.imagenet_names().values()]
  return '\n'.join(['dummy', *names])


@pytest.fixture(scope='module')
def arrays():
  """Random arrays of the released names and shapes."""
  model = models.create_model(google.PROFILE, num_classes=1008)
  shapes = jax.eval_shape(
    model.init,
    jax.random.key(0),
    jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32),
  )['params']
  rng = np.random.default_rng(0)
  found = {}
  for ours, theirs in google.names_of_layers().items():
    node = shapes
    for part in ours.split('/'):
      node = node[part]
    for key, kind in (('kernel', 'w'), ('bias', 'b')):
      shape = node[key].shape
      found[f'{theirs}_{kind}'] = rng.random(shape, np.float32)
  # As in the file: see below.
  found['softmax2_w'] = found['softmax2_w'][None, None]
  return found


@pytest.fixture(autouse=True)
def order(monkeypatch, request):
  """Takes the order of `label_text` for that of the release."""
  if 'released' not in request.node.name:
    synsets = '\n'.join(['', *labels.imagenet_names(), *[''] * 7])
    digest = hashlib.sha256(synsets.encode()).hexdigest()
    monkeypatch.setattr(google, 'ORDER_SHA256', digest)


def to_graph(arrays):
  with tf.Graph().as_default() as graph:
    for name, value in arrays.items():
      tf.constant(value, name=name)
    tf.constant([-1, 1024], tf.int32, name='avgpool0/reshape/shape')
  return graph.as_graph_def().SerializeToString()


@pytest.fixture(scope='module')
def archive(arrays, tmp_path_factory):
  """A file like `inception5h.zip`."""
  path = tmp_path_factory.mktemp('release') / 'inception5h.zip'
  with zipfile.ZipFile(path, 'w') as file:
    file.writestr(google.GRAPH_FILE, to_graph(arrays))
    file.writestr(google.LABEL_FILE, label_text())
    file.writestr('LICENSE', 'Apache')
  return path


def test_arrays_have_the_released_shapes(arrays):
  assert len(arrays) == 128 and set(HEADS) < set(arrays)
  for name, shape in SHAPES.items():
    assert arrays[name].shape == shape, name


def test_archive(archive, arrays):
  network = google.read(archive)
  assert network.missing == network.unused == ()
  assert network.model_arguments == {
    'name': 'inception_v1_google',
    'num_classes': 1008,
    'use_aux': True,
  }
  params = network.variables['params']
  assert sum(x.size for x in jax.tree.leaves(params)) == 13_461_996
  for (block, layer), name in {
    ('inception_4a', 'conv_5x5'): 'mixed4a_5x5',
    ('inception_5b', 'reduce_3x3'): 'mixed5b_3x3_bottleneck',
    ('aux_4d', 'dense'): 'nn1',
    ('aux_4a', 'classifier'): 'softmax0',
  }.items():
    for key, kind in (('kernel', 'w'), ('bias', 'b')):
      np.testing.assert_array_equal(
        params[block][layer][key], arrays[f'{name}_{kind}']
      )
  assert params['classifier']['kernel'].shape == (1024, 1008)
  assert network.labels[1].class_name == 'n01440764'
  assert network.preprocessing.scale == 256 / 255
  assert network.preprocessing.mean == (117, 117, 117)
  assert (network.eval_crop.size, network.eval_crop.name) == (
    224,
    'shorter_side',
  )
  assert not network.card['sha256_is_published']
  assert len(network.card['sha256']) == 64


def test_graph_alone_with_labels_beside_it(arrays, archive, tmp_path):
  path = tmp_path / 'graph.pb'
  path.write_bytes(to_graph(arrays))
  (tmp_path / google.LABEL_FILE).write_text(label_text())
  network, whole = google.read(path), google.read(archive)
  assert network.labels == whole.labels
  jax.tree.map(
    np.testing.assert_array_equal, network.variables, whole.variables
  )


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'cp1252'])
def test_labels_of_windows(arrays, tmp_path, encoding):
  np.savez(tmp_path / 'x.npz', **arrays)
  lines = label_text().replace('\n', '\r\n')
  (tmp_path / 'x_synsets.txt').write_bytes(lines.encode(encoding))
  found = google.read(tmp_path / 'x.npz').labels
  (tmp_path / 'x_synsets.txt').write_text(label_text())
  assert found == google.read(tmp_path / 'x.npz').labels


def test_npz_without_hidden_layers(arrays, tmp_path):
  path = tmp_path / 'weights.npz'
  kept = {k: v for k, v in arrays.items() if k not in ('nn0_w', 'nn1_w')}
  np.savez(path, **kept)
  (tmp_path / 'weights_synsets.txt').write_text(
    '\n'.join(
      ['? dummy', *(f'{k} {v}' for k, v in labels.imagenet_names().items())]
    )
  )
  network = google.read(path)
  assert network.missing == ('nn0_w', 'nn1_w')
  assert set(network.unused) == set(HEADS) - {'nn0_w', 'nn1_w'}
  assert network.model_arguments['use_aux'] is False
  params = network.variables['params']
  assert sum(x.size for x in jax.tree.leaves(params)) == 7_066_380
  assert network.labels[1000].synset == 'n15075141'
  assert network.card['labels'] == 'weights_synsets.txt'


def test_without_labels_outputs_have_numbers(arrays, tmp_path):
  np.savez(tmp_path / 'weights.npz', **arrays, extra=np.ones(2, np.float32))
  network = google.read(tmp_path / 'weights.npz')
  assert network.labels[17].name == 'output 17' and len(network.labels) == 1008
  assert network.unused == ('extra',) and network.card['labels'] is None
  with pytest.raises(errors.InputError, match='labels .*none.txt cannot be'):
    google.read(tmp_path / 'weights.npz', tmp_path / 'none.txt')
  lines = label_text().splitlines()
  for text in (
    'cat\ndog\n',
    '\n'.join(lines[:600]),
    '\n'.join(lines[1:]),  # TFDS's order, without the dummy.
    '\n'.join([lines[0], *reversed(lines[1:])]),
  ):
    (tmp_path / 'other.txt').write_text(text)
    with pytest.raises(errors.InputError, match='other.txt does not hold'):
      google.read(tmp_path / 'weights.npz', tmp_path / 'other.txt')


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'mixed4a_3x3_w': None}, "lacks 1 of its 116 arrays .*'mixed4a_3x3_w'"),
    (
      {'mixed4a_3x3_w': np.zeros((3, 3, 96, 208), np.float32)},
      r"'mixed4a_3x3_w' has the shape \[3, 3, 96, 208\], .* 96, 204\]",
    ),
    (
      {'conv2d0_b': np.full(64, np.nan, np.float32)},
      "'conv2d0_b' .*not finite",
    ),
    (
      {'softmax2_b': np.zeros((1, 1008), np.float32)},
      r"'softmax2_b' has the shape \[1, 1008\]",
    ),
  ],
  ids=['missing', 'shape', 'nan', 'rank'],
)
def test_other_networks_are_refused(arrays, change, message):
  changed = {**arrays, **change}
  changed = {k: v for k, v in changed.items() if v is not None}
  with pytest.raises(errors.InputError, match=f'x.npz.*{message}'):
    google.convert(changed, 'x.npz')


def test_files_of_other_kinds(archive, tmp_path):
  def refused(data, message):
    path = tmp_path / 'file'
    path.write_bytes(data)
    with pytest.raises(errors.InputError, match=message):
      google.read(path)

  with pytest.raises(errors.InputError, match='none cannot be read'):
    google.read(tmp_path / 'none')
  whole = archive.read_bytes()
  refused(whole[: len(whole) // 2], 'is no TensorFlow graph')
  damaged = bytearray(whole)
  damaged[len(whole) // 2] ^= 255
  refused(bytes(damaged), 'file is damaged .*CRC')
  other = io.BytesIO()
  with zipfile.ZipFile(other, 'w') as file:
    file.writestr('../evil.txt', 'x')
  refused(other.getvalue(), "holds '../evil.txt': it is neither")
  pickled = io.BytesIO()
  np.savez(pickled, x=np.array([{}], object))
  refused(pickled.getvalue(), 'damaged .*x.npy')
  packed = io.BytesIO()
  np.savez_compressed(packed, x=np.arange(5000.0))
  damaged = bytearray(packed.getvalue())
  # Of the first block, after a header of 30 bytes, a name and more.
  start = 30 + sum(
    int.from_bytes(damaged[i : i + 2], 'little') for i in (26, 28)
  )
  damaged[start] = 255
  refused(bytes(damaged), 'file is damaged .*invalid block type')
  absurd = io.BytesIO()
  with zipfile.ZipFile(absurd, 'w') as file:
    header = {'descr': '<f4', 'fortran_order': False, 'shape': (10**6, 10**7)}
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(array, header)
    file.writestr('x.npy', array.getvalue())
  refused(absurd.getvalue(), 'file is damaged')


def test_sizes_are_bounded(archive, monkeypatch):
  monkeypatch.setattr(google.graph_def, 'MAX_BYTES', 1000)
  with pytest.raises(errors.InputError, match='more than 1,000 bytes'):
    google.read(archive)


@pytest.mark.test_data
def test_the_released_npz():
  folder = os.environ.get('INCEPTION_JAX_TEST_DATA')
  if not folder:
    pytest.skip('INCEPTION_JAX_TEST_DATA is not set')
  network = google.read(pathlib.Path(folder) / 'google_inception.npz')
  assert network.missing == ('nn0_w', 'nn1_w')
  assert set(network.unused) == set(HEADS) - {'nn0_w', 'nn1_w'}
  assert network.labels[1] == labels.Label(
    'kit fox, Vulpes macrotis', 'n02119789'
  )
