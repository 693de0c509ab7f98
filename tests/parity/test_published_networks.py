"""Imported networks against those that their files come from.

Fresh weights, batch statistics and pictures every time go from a peer, through
a file of its own kind and the importer, into a network of ours. Then one slip
at a time is made in the peer, as public ports make them, and must show.
"""

from imported_ends import ends_of
import jax
import numpy as np
import published_files
import pytest

from inception_jax.runtime import errors
from inception_jax.weights import caffe, torchvision

torch = pytest.importorskip('torch')
safetensors_torch = pytest.importorskip('safetensors.torch')

import published_torch as peers  # noqa: E402

# In float32: of logits absolute, of end points over their largest value.
LOGITS_ATOL = 1e-4
END_POINT_RTOL = 1e-5
# Other weights and inputs every time; pytest prints it if a test fails.
ENTROPY = np.random.SeedSequence().entropy


def pixels_of(size, batch):
  rng = np.random.default_rng([ENTROPY, size])
  return rng.integers(0, 256, (batch, size, size, 3), np.uint8)


def peer_of(kind):
  print('entropy', ENTROPY)
  generator = torch.Generator().manual_seed(ENTROPY % 2**63)
  network = kind().eval()
  peers.randomise(network, generator)
  return network


def ends_of_peer(network, pixels, **slips):
  x = torch.tensor(pixels.transpose(0, 3, 1, 2)).float()
  with torch.no_grad():
    ends = network(x, **slips)
  return {
    name: x.permute(0, 2, 3, 1).numpy() if x.ndim == 4 else x.numpy()
    for name, x in ends.items()
  }


def differing(ours, theirs):
  """Names of the end points that do not agree."""
  found = set()
  for name, expected in theirs.items():
    assert np.ptp(expected) > 0.1, name  # Not a comparison of zeros.
    atol = END_POINT_RTOL * np.abs(expected).max()
    if 'logits' in name:
      assert 1 < np.abs(expected).max() < 100, name
      atol = LOGITS_ATOL
    if ours[name].shape != expected.shape or not np.allclose(
      ours[name], expected, rtol=0, atol=atol
    ):
      found.add(name)
  return found


# --- torchvision -------------------------------------------------------------


@pytest.fixture(scope='module')
def torchvision_pair(tmp_path_factory):
  """The peer, its file, pictures, and the end points of ours."""
  network = peer_of(peers.Torchvision)
  path = tmp_path_factory.mktemp('torchvision') / 'googlenet.pth'
  torch.save(network.state_dict(), path)
  # 49 after the stem; 4a has 6x6, so that the heads' windows differ.
  pixels = pixels_of(98, 2)
  return network, path, pixels, ends_of(torchvision.read(path), pixels)


def test_torchvision_agrees(torchvision_pair):
  network, path, pixels, ours = torchvision_pair
  expected = ends_of_peer(network, pixels)
  assert expected.keys() == ours.keys() and len(ours) == 20
  assert not differing(ours, expected)
  found = torchvision.read(path)
  assert found.missing == found.unused == ()


def test_state_dicts_of_every_form_are_the_same(torchvision_pair, tmp_path):
  network, path, _, _ = torchvision_pair
  state = network.state_dict()
  expected = torchvision.read(path).variables
  safetensors_torch.save_file(state, tmp_path / 'x.safetensors')
  torch.save({'model': state, 'epoch': 3}, tmp_path / 'wrapped.pth')
  torch.save(state, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
  for name in ('x.safetensors', 'wrapped.pth', 'old.pth'):
    found = torchvision.read(tmp_path / name)
    assert found.missing == found.unused == ()
    jax.tree.map(np.testing.assert_array_equal, found.variables, expected)


TORCHVISION_SLIPS = {
  'BGR': ({'bgr': True}, 'conv1'),
  'no transform_input': ({'transform': False}, 'conv1'),
  'padding of TensorFlow': ({'same_stem': True}, 'conv1'),
  'pools padded': ({'ceil': False}, 'pool1'),
  'last pool 3x3': ({'last_pool': 3}, 'pool4'),
}


@pytest.mark.parametrize('slip', TORCHVISION_SLIPS)
def test_a_slip_in_torchvision_would_show(torchvision_pair, slip):
  network, _, pixels, ours = torchvision_pair
  arguments, first = TORCHVISION_SLIPS[slip]
  wrong = ends_of_peer(network, pixels, **arguments)
  assert {first, 'logits'} <= differing(ours, wrong)


def test_another_epsilon_would_show(torchvision_pair):
  network, _, pixels, ours = torchvision_pair
  norms = [x for x in network.modules() if hasattr(x, 'running_var')]
  try:
    for norm in norms:
      norm.eps = 1e-5
    wrong = ends_of_peer(network, pixels)
  finally:
    for norm in norms:
      norm.eps = 1e-3
  assert {'conv1', 'logits'} <= differing(ours, wrong)


def renamed(network, pairs, path):
  """A file in which some layers have each other's weights."""
  state = dict(network.state_dict())
  for one, other in pairs:
    for name in [x for x in state if x.startswith(one)]:
      twin = name.replace(one, other, 1)
      if state[name].shape == state[twin].shape:
        state[name], state[twin] = state[twin], state[name]
  torch.save(state, path)
  return torchvision.read(path)


def test_swapped_heads_would_show(torchvision_pair, tmp_path):
  """All but the first layers, whose widths differ, change places."""
  network, _, pixels, ours = torchvision_pair
  path = tmp_path / 'swapped.pth'
  found = renamed(network, [('aux1.fc', 'aux2.fc')], path)
  heads = {'aux_logits_4a', 'aux_logits_4d'}
  assert differing(ends_of(found, pixels), ends_of_peer(network, pixels)) == (
    heads
  )


def test_5x5_kernels_are_refused(torchvision_pair, tmp_path):
  network, _, _, _ = torchvision_pair
  state = dict(network.state_dict())
  name = 'inception3a.branch3.1.conv.weight'
  state[name] = torch.nn.functional.pad(state[name], (1, 1, 1, 1))
  torch.save(state, tmp_path / 'x.pth')
  with pytest.raises(errors.InputError, match=r'32, 16, 5, 5.*32, 16, 3, 3'):
    torchvision.read(tmp_path / 'x.pth')


# --- Caffe -------------------------------------------------------------------


@pytest.fixture(scope='module')
def caffe_pair(tmp_path_factory):
  """As `torchvision_pair`."""
  network = peer_of(peers.Caffe)
  path = tmp_path_factory.mktemp('caffe') / 'googlenet.caffemodel'
  path.write_bytes(published_files.caffemodel(network.blobs()))
  # 4a has 12x12, of which the heads' last windows reach beyond the edge.
  pixels = pixels_of(200, 1)
  return network, path, pixels, ends_of(caffe.read(path), pixels)


def test_caffe_agrees(caffe_pair):
  network, path, pixels, ours = caffe_pair
  expected = ends_of_peer(network, pixels)
  assert expected.keys() == ours.keys() and len(ours) == 22
  assert not differing(ours, expected)
  found = caffe.read(path)
  assert found.missing == found.unused == ()


def test_both_messages_of_caffe_are_the_same(caffe_pair, tmp_path):
  network, path, _, _ = caffe_pair
  old = tmp_path / 'old.caffemodel'
  old.write_bytes(published_files.caffemodel(network.blobs(), old=True))
  assert old.read_bytes() != path.read_bytes()
  jax.tree.map(
    np.testing.assert_array_equal,
    caffe.read(old).variables,
    caffe.read(path).variables,
  )


CAFFE_SLIPS = {
  'RGB': ({'rgb': True, 'mean': (123.0, 117.0, 104.0)}, 'conv1'),
  'mean of RGB on BGR': ({'mean': (123.0, 117.0, 104.0)}, 'conv1'),
  'padding of TensorFlow': ({'same_stem': True}, 'conv1'),
  'pools padded': ({'ceil': False}, 'pool1'),
  'last pool 2x2': ({'last_pool': 2}, 'pool4'),
  'LRN not divided': ({'alpha': 5e-4}, 'lrn1'),
  "the authors' LRN": (
    {'size': 11, 'alpha': 11e-4, 'beta': 0.5, 'k': 2.0},
    'lrn1',
  ),
  'beta': ({'beta': 0.5}, 'lrn1'),
  'k': ({'k': 2.0}, 'lrn1'),
}


@pytest.mark.parametrize('slip', CAFFE_SLIPS)
def test_a_slip_in_caffe_would_show(caffe_pair, slip):
  network, _, pixels, ours = caffe_pair
  arguments, first = CAFFE_SLIPS[slip]
  wrong = ends_of_peer(network, pixels, **arguments)
  assert first in differing(ours, wrong)
  assert 'logits' in differing(ours, wrong)


def test_swapped_heads_of_caffe_would_show(caffe_pair, tmp_path):
  network, _, pixels, _ = caffe_pair
  blobs = network.blobs()
  for one, other in (
    ('loss1/fc', 'loss2/fc'),
    ('loss1/classifier', 'loss2/classifier'),
  ):
    blobs[one], blobs[other] = blobs[other], blobs[one]
  path = tmp_path / 'x.caffemodel'
  path.write_bytes(published_files.caffemodel(blobs))
  found = differing(
    ends_of(caffe.read(path), pixels), ends_of_peer(network, pixels)
  )
  assert found == {'aux_logits_4a', 'aux_logits_4d'}
