"""Whether `benchmarks/gpu.py` compares two programs of the same function."""

from unittest import mock

import jax
import numpy as np
import pytest
import torch

from benchmarks import torch_googlenet
from inception_jax.export import torchvision_file
from inception_jax.models import create_model, layers
from inception_jax.runs import named_arrays

SIZE = 96


def random_variables(model):
  """Of a scale at which no layer is dead or explodes."""
  shapes = jax.eval_shape(
    model.init, jax.random.key(0), np.zeros((1, SIZE, SIZE, 3), np.float32)
  )
  rng = np.random.default_rng(0)

  def draw(path, leaf):
    if path[-1].key == 'kernel':
      bound = np.sqrt(6 / np.prod(leaf.shape[:-1]))
      return rng.uniform(-bound, bound, leaf.shape).astype(np.float32)
    low = 0.5 if path[-1].key in ('scale', 'var') else -0.1
    return rng.uniform(low, low + 1, leaf.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['inception_v1', 'inception_v1_bn'])
def test_every_head_agrees_in_training(name):
  model = create_model(name)
  variables = random_variables(model)
  state = torchvision_file.state_dict(named_arrays.flatten(variables))
  x = np.random.default_rng(1).normal(0, 50, (2, SIZE, SIZE, 3))
  x = x.astype(np.float32)
  with mock.patch.object(
    layers.Dropout, '__call__', lambda self, x, train, keys: x
  ):
    (logits, ends), _ = jax.jit(
      lambda v, x: model.apply(v, x, train=True, mutable=['batch_stats'])
    )(variables, x)
  ours = logits, ends['aux_logits_4a'], ends['aux_logits_4d']
  for sliced_lrn in (False, True):
    network = torch_googlenet.GoogLeNet(
      name, image_size=SIZE, sliced_lrn=sliced_lrn
    )
    network.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    parameters = sum(p.numel() for p in network.parameters())
    assert parameters == sum(
      leaf.size for leaf in jax.tree.leaves(variables['params'])
    )
    network.train().to(memory_format=torch.channels_last)
    with (
      torch.no_grad(),
      mock.patch('torch.nn.functional.dropout', lambda x, *arguments: x),
    ):
      theirs = network(torch.tensor(x).permute(0, 3, 1, 2))
    for found, expected in zip(theirs, ours, strict=True):
      scale = np.abs(expected).max()
      assert scale > 0.1
      np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * scale)
