"""Our networks against PyTorch modules written from the publications."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax.models import (
  architectures,
  create_model,
  modules,
  pooling,
)
from inception_jax.models.local_response_norm import local_response_norm

torch = pytest.importorskip('torch')

F = torch.nn.functional

# Absolute, in float32: of logits, and of modules over their largest value.
LOGITS_ATOL = 1e-4
MODULE_RTOL = 1e-5


# --- The same networks in PyTorch --------------------------------------------


def same_pads(x, window, stride):
  """Left, right, top and bottom of TensorFlow's SAME, for `F.pad`."""
  pads = []
  for length in (x.shape[3], x.shape[2]):
    out = math.ceil(length / stride)
    total = max(0, (out - 1) * stride + window - length)
    pads += [total // 2, total - total // 2]
  return pads


class Conv(torch.nn.Module):
  """Convolution with bias, batch norm if asked, and ReLU."""

  def __init__(self, inputs, features, window, stride, family):
    super().__init__()
    self.same, self.window, self.stride = family == 'paper', window, stride
    self.conv = torch.nn.Conv2d(
      inputs,
      features,
      window,
      stride,
      padding=0 if self.same else window // 2,
    )
    self.bn = None
    if family == 'lucid':
      self.bn = torch.nn.BatchNorm2d(features, eps=1e-5)

  def forward(self, x):
    if self.same:
      x = F.pad(x, same_pads(x, self.window, self.stride))
    x = self.conv(x)
    return F.relu(x if self.bn is None else self.bn(x))


def pool(x, stride, family):
  if family == 'lucid':
    return F.max_pool2d(x, 3, stride, padding=1)
  return F.max_pool2d(
    F.pad(x, same_pads(x, 3, stride), value=-torch.inf), 3, stride
  )


class Module(torch.nn.Module):
  """Figure 2 (b)."""

  def __init__(self, inputs, widths, family):
    super().__init__()
    conv = functools.partial(Conv, stride=1, family=family)
    one, (reduce_3, three), (reduce_5, five), projection = widths
    self.conv_1x1 = conv(inputs, one, 1)
    self.reduce_3x3 = conv(inputs, reduce_3, 1)
    self.conv_3x3 = conv(reduce_3, three, 3)
    self.reduce_5x5 = conv(inputs, reduce_5, 1)
    self.conv_5x5 = conv(reduce_5, five, 5)
    self.pool_proj = conv(inputs, projection, 1)
    self.family = family

  def forward(self, x):
    branches = (
      self.conv_1x1(x),
      self.conv_3x3(self.reduce_3x3(x)),
      self.conv_5x5(self.reduce_5x5(x)),
      self.pool_proj(pool(x, 1, self.family)),
    )
    return torch.cat(branches, 1)


class Head(torch.nn.Module):
  """Section 5; dropout is the identity, as in `eval` mode."""

  def __init__(self, inputs, features, hidden, num_classes, family, side):
    super().__init__()
    self.family = family
    self.conv = Conv(inputs, features, 1, 1, family)
    self.dense = torch.nn.Linear(side * side * features, hidden)
    self.classifier = torch.nn.Linear(hidden, num_classes)

  def forward(self, x):
    if self.family == 'lucid':
      x = F.adaptive_avg_pool2d(x, 4)
    else:
      x = F.avg_pool2d(x, 5, 3)
    # Ours flattens height, width, channels.
    x = self.conv(x).permute(0, 2, 3, 1).flatten(1)
    return self.classifier(F.relu(self.dense(x)))


class Network(torch.nn.Module):
  """GoogLeNet, with ('paper') or without ('lucid') response normalisation."""

  def __init__(self, family, width, num_classes, size):
    super().__init__()
    self.family = family
    # Side of the heads after pooling: 4, or what 5x5/3 leaves.
    side = 4 if family == 'lucid' else (math.ceil(size / 16) - 5) // 3 + 1

    def scale(features):
      return max(1, round(width * features))

    stem = scale(64), scale(64), scale(192)
    self.conv1 = Conv(3, stem[0], 7, 2, family)
    self.conv2_reduce = Conv(stem[0], stem[1], 1, 1, family)
    self.conv2 = Conv(stem[1], stem[2], 3, 1, family)
    channels = stem[2]
    for block, (one, three, five, last) in (
      # Table 1.
      ('3a', (64, (96, 128), (16, 32), 32)),
      ('3b', (128, (128, 192), (32, 96), 64)),
      ('4a', (192, (96, 208), (16, 48), 64)),
      ('4b', (160, (112, 224), (24, 64), 64)),
      ('4c', (128, (128, 256), (24, 64), 64)),
      ('4d', (112, (144, 288), (32, 64), 64)),
      ('4e', (256, (160, 320), (32, 128), 128)),
      ('5a', (256, (160, 320), (32, 128), 128)),
      ('5b', (384, (192, 384), (48, 128), 128)),
    ):
      widths = (
        scale(one),
        tuple(map(scale, three)),
        tuple(map(scale, five)),
        scale(last),
      )
      self.add_module(f'inception_{block}', Module(channels, widths, family))
      channels = widths[0] + widths[1][1] + widths[2][1] + widths[3]
      if block in ('4a', '4d'):
        head = Head(
          channels, scale(128), scale(1024), num_classes, family, side
        )
        self.add_module(f'aux_{block}', head)
    self.classifier = torch.nn.Linear(channels, num_classes)

  def normalise(self, x):
    if self.family == 'lucid':
      return x
    # PyTorch divides alpha by the depth.
    return F.local_response_norm(x, 11, alpha=11e-4, beta=0.5, k=2.0)

  def forward(self, x):
    ends = {}
    x = ends['conv1'] = self.conv1(x)
    x = self.normalise(pool(x, 2, self.family))
    x = ends['conv2_reduce'] = self.conv2_reduce(x)
    x = ends['conv2'] = self.conv2(x)
    x = pool(self.normalise(x), 2, self.family)
    for name, module in self.named_children():
      if name in ('inception_4a', 'inception_5a'):
        x = pool(x, 2, self.family)
      if name.startswith('inception'):
        x = ends[name] = module(x)
      if name.startswith('aux'):
        ends[name] = module(x)
    ends['avg_pool'] = x.mean((2, 3))
    ends['logits'] = self.classifier(ends['avg_pool'])
    return ends


# --- Weights and arrays across -----------------------------------------------


def randomise(network, seed=0):
  """Weights of sensible scale and running statistics that matter."""
  generator = torch.Generator().manual_seed(seed)
  with torch.no_grad():
    for name, value in network.state_dict().items():
      if value.ndim > 1:  # Convolution or linear layer, He's scale.
        bound = math.sqrt(6 / value[0].numel())
        value.uniform_(-bound, bound, generator=generator)
      elif name.endswith('running_var'):
        value.uniform_(1.0, 2.0, generator=generator)
      elif 'bn' in name and name.endswith('weight'):
        value.uniform_(0.5, 1.5, generator=generator)
      elif value.is_floating_point():  # Mostly positive: no layer is dead.
        value.uniform_(-0.1, 0.4, generator=generator)


KINDS = {
  'running_mean': ('batch_stats', 'mean'),
  'running_var': ('batch_stats', 'var'),
  'bias': ('params', 'bias'),
}


def to_ours(tensors):
  """Tensors by PyTorch's names as variables of ours."""
  variables = {'params': {}, 'batch_stats': {}}
  for name, tensor in tensors.items():
    *path, kind = name.split('.')
    if kind == 'num_batches_tracked':
      continue
    array = tensor.detach().numpy()
    if kind == 'weight' and path[-1] == 'bn':
      collection, leaf = 'params', 'scale'
    elif kind == 'weight':
      collection, leaf = 'params', 'kernel'
      array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
    else:
      collection, leaf = KINDS[kind]
    if path[-1] == 'conv' and len(path) > 1:
      path = path[:-1]  # Our block holds the kernel itself.
    node = variables[collection]
    for part in path:
      node = node.setdefault(part, {})
    node[leaf] = array
  return variables


def to_numpy(tensor):
  array = tensor.detach().numpy()
  return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def pair(family, name, width, size, num_classes=10, batch=2):
  """A PyTorch network, ours with its weights, and images for both."""
  network = Network(family, width, num_classes, size).eval()
  randomise(network)
  model = create_model(name, num_classes=num_classes, width=width)
  variables = to_ours(network.state_dict())
  if not variables['batch_stats']:
    del variables['batch_stats']
  rng = np.random.default_rng(0)
  x = rng.standard_normal((batch, size, size, 3)).astype(np.float32)
  shapes = jax.eval_shape(model.init, jax.random.key(0), x)
  assert jax.tree.map(jnp.shape, variables) == jax.tree.map(
    lambda s: s.shape, shapes
  )
  return network, model, variables, x


def head_logits(model, variables, head, x):
  """One auxiliary head of ours in inference on `x`."""
  arch = model.architecture
  params = variables['params'][head]
  module = modules.AuxiliaryHead(
    num_classes=model.num_classes,
    conv_features=params['conv']['kernel'].shape[-1],
    hidden_features=params['dense']['bias'].shape[0],
    conv=model._conv_factory(),
    bias_value=arch.conv_bias_value,
    pool=arch.head_pool,
    dtype=model.dtype,
  )
  own = {k: v[head] for k, v in variables.items()}
  return jax.jit(lambda v, x: module.apply(v, x, False, None))(own, x)


# --- Tests -------------------------------------------------------------------

FAMILIES = {'lucid': 'inception_v1_lucid', 'paper': 'inception_v1'}


@pytest.mark.parametrize(
  'family, width, size',
  [
    ('lucid', 0.25, 64),
    ('lucid', 0.25, 97),  # Odd sizes all the way down.
    ('lucid', 1.0, 64),
    ('paper', 0.25, 96),
    ('paper', 0.25, 81),
  ],
)
def test_every_module_and_classifier_agrees(family, width, size):
  network, model, variables, x = pair(family, FAMILIES[family], width, size)
  with torch.no_grad():
    expected = network(torch.tensor(x.transpose(0, 3, 1, 2)))
  logits, ends = jax.jit(model.apply)(variables, x)
  np.testing.assert_array_equal(logits, ends['logits'])
  compared = 0
  for name, tensor in expected.items():
    theirs = to_numpy(tensor)
    assert np.ptp(theirs) > 0.1, name  # Not a comparison of zeros.
    if name.startswith('aux'):
      before = to_numpy(expected[name.replace('aux', 'inception')])
      ours = head_logits(model, variables, name, before)
    else:
      ours = ends[name]
    atol = MODULE_RTOL * np.abs(theirs).max()
    if name.startswith('aux') or name == 'logits':
      atol = LOGITS_ATOL
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol, err_msg=name)
    compared += 1
  assert compared == 16  # 3 of the stem, 9 modules, mean, 3 classifiers.


def test_other_padding_and_epsilon_would_show():
  network, model, variables, x = pair('lucid', FAMILIES['lucid'], 0.1, 64)
  with torch.no_grad():
    expected = to_numpy(
      network(torch.tensor(x.transpose(0, 3, 1, 2)))['logits']
    )
  arch = model.architecture
  for changes in (
    {'padding': 'same', 'pool_padding': 'same'},
    {'batch_norm_epsilon': 1e-3},
  ):
    other = model.clone(
      architecture=arch.__class__(**{**vars(arch), **changes})
    )
    logits, _ = jax.jit(other.apply)(variables, x)
    assert np.abs(logits - expected).max() > 10 * LOGITS_ATOL, changes


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [(7, 9), (8, 8), (12, 5)])
@pytest.mark.parametrize('padding', ['same', 'symmetric'])
def test_max_pool_and_its_gradient_agree(padding, size, stride):
  rng = np.random.default_rng(0)
  x = rng.integers(0, 3, (2, *size, 4)).astype(np.float32)  # Full of ties.
  family = 'lucid' if padding == 'symmetric' else 'paper'
  tensor = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
  theirs = pool(tensor, stride, family)

  @jax.jit
  def ours(x, cotangent):
    y, pullback = jax.vjp(lambda x: pooling.max_pool(x, 3, stride, padding), x)
    return y, pullback(cotangent)[0]

  shape = to_numpy(theirs).shape
  cotangent = rng.integers(-9, 10, shape).astype(np.float32)
  theirs.backward(torch.tensor(cotangent.transpose(0, 3, 1, 2)))
  y, grad = ours(x, cotangent)
  np.testing.assert_array_equal(y, to_numpy(theirs))
  np.testing.assert_array_equal(grad, to_numpy(tensor.grad))


def test_lrn_and_its_gradient_agree():
  rng = np.random.default_rng(0)
  x = (40 * rng.standard_normal((2, 3, 4, 24))).astype(np.float32)
  cotangent = rng.standard_normal(x.shape).astype(np.float32)
  tensor = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
  constants = architectures.architecture_of('inception_v1').lrn
  depth = constants.depth
  theirs = F.local_response_norm(
    tensor, depth, constants.alpha * depth, constants.beta, constants.k
  )
  theirs.backward(torch.tensor(cotangent.transpose(0, 3, 1, 2)))

  @jax.jit
  def ours(x):
    y, pullback = jax.vjp(lambda x: local_response_norm(x, *constants), x)
    return y, pullback(cotangent)[0]

  y, grad = ours(x)
  np.testing.assert_allclose(y, to_numpy(theirs), rtol=1e-5)
  np.testing.assert_allclose(grad, to_numpy(tensor.grad), atol=1e-6)
  unconverted = F.local_response_norm(tensor, depth, constants.alpha, 0.5, 2.0)
  assert np.abs(to_numpy(unconverted) - y).max() > 0.1


def test_adaptive_pool_agrees():
  rng = np.random.default_rng(0)
  for size in (2, 4, 5, 7, 14, 15):
    x = rng.standard_normal((2, size, size, 3)).astype(np.float32)
    theirs = F.adaptive_avg_pool2d(torch.tensor(x.transpose(0, 3, 1, 2)), 4)
    ours = pooling.adaptive_avg_pool(jnp.asarray(x), 4)
    np.testing.assert_allclose(ours, to_numpy(theirs), atol=1e-6)


def test_gradient_of_the_whole_network_agrees():
  """Cross-entropy of the main classifier through every layer but the heads."""
  network, model, variables, x = pair('paper', 'inception_v1', 0.25, 65)
  labels = np.array([3, 7])
  ends = network(torch.tensor(x.transpose(0, 3, 1, 2)))
  F.cross_entropy(ends['logits'], torch.tensor(labels)).backward()
  theirs = to_ours(
    {
      name: value.grad
      for name, value in network.named_parameters()
      if not name.startswith('aux')
    }
  )['params']

  @jax.jit
  @jax.grad
  def gradient(params):
    logits, _ = model.apply({'params': params}, x)
    chosen = jax.nn.log_softmax(logits)[np.arange(2), labels]
    return -chosen.mean()

  ours = gradient(variables['params'])
  for head in ('aux_4a', 'aux_4d'):
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(ours.pop(head)))
  assert jax.tree.structure(ours) == jax.tree.structure(theirs)
  for (path, leaf), expected in zip(
    jax.tree_util.tree_leaves_with_path(ours),
    jax.tree.leaves(theirs),
    strict=True,
  ):
    scale = np.abs(expected).max()
    assert scale > 0, path
    np.testing.assert_allclose(
      leaf, expected, rtol=0, atol=1e-4 * scale, err_msg=str(path)
    )
