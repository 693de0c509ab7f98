"""Tests of what is frozen, on small trees, and of frozen batch norm."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax.models import create_model
from inception_jax.training import freezing

PARAMS = {
  'conv1': {'kernel': 1, 'bias': 2},
  'inception_3a': {
    'conv_5x5': {'kernel': 3, 'bn': {'scale': 4}},
    'pool_proj': {'kernel': 5},
  },
  'inception_4e': {'conv_5x5': {'kernel': 6}},
  'classifier': {'kernel': 7},
}


def leaves(*patterns):
  """The numbers of the leaves that the patterns freeze."""
  is_frozen = freezing.create_is_frozen(patterns, PARAMS)
  trained, frozen = freezing.split(PARAMS, is_frozen)
  assert freezing.merge(trained, frozen) == PARAMS
  assert sorted(jax.tree.leaves((trained, frozen))) == [1, 2, 3, 4, 5, 6, 7]
  return jax.tree.leaves(frozen)


@pytest.mark.parametrize(
  ('patterns', 'expected'),
  [
    ((), []),
    (('conv*',), [1, 2]),  # Not the conv_5x5 inside of others.
    (('inception_[34]*',), [3, 4, 5, 6]),
    (('inception_[!3]*',), [6]),
    (('inception_3a/conv_5x5',), [3, 4]),
    (('*/conv_5x5',), [3, 4, 6]),
    (('*/bn',), [4]),
    (('conv1', 'inception_3?/pool*'), [1, 2, 5]),
  ],
  ids=str,
)
def test_globs_freeze_modules_and_what_is_inside(patterns, expected):
  assert sorted(leaves(*patterns)) == expected


@pytest.mark.parametrize(
  ('pattern', 'words'),
  [
    ('inception_3b', "no module; there are .*; did you mean 'inception_3a'?"),
    ('Conv1', "did you mean 'conv1'?"),
    ('inception_3a/conv', "did you mean 'inception_3a/conv_5x5'?"),
    ('conv1/kernel', 'fits no module'),  # A parameter.
    ('', 'there are conv1, inception_3a, inception_4e, classifier'),
    ('*', "'conv1' and '\\*' leave nothing to train; freeze less"),
  ],
)
def test_globs_that_fit_nothing_or_everything(pattern, words):
  with pytest.raises(ValueError, match=words):
    freezing.create_is_frozen(('conv1', pattern), PARAMS)


def create_params():
  model = create_model('inception_v1_bn', num_classes=3, width=0.05)
  return jax.eval_shape(
    model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3))
  )['params']


def test_globs_are_of_modules_whatever_parameters_are_called():
  # There is an 'a' in scale and bias, and an 'e' in kernel and scale.
  for pattern in ('inception_*a*', 'inception_3a/*e*'):
    is_frozen = freezing.create_is_frozen([pattern], create_params())
    assert is_frozen(('inception_3a', 'reduce_3x3', 'bn', 'scale'))
    assert not is_frozen(('inception_3b', 'conv_1x1', 'bn', 'scale'))
    assert not is_frozen(('inception_3b', 'conv_1x1', 'bn', 'mean'))
  assert not is_frozen(('inception_3a', 'conv_1x1', 'kernel'))


def test_every_path_of_a_real_network_can_be_frozen():
  params = create_params()
  paths = freezing.module_paths(params)
  assert {'conv1/bn', 'inception_5b/pool_proj', 'aux_4a/dense'} <= set(paths)
  for path in paths:
    is_frozen = freezing.create_is_frozen([path], params)
    assert is_frozen((*path.split('/'), 'kernel'))


def test_merge_takes_the_part_and_leaves_the_whole_alone():
  whole = {'a': {'x': 1, 'y': 2}, 'b': {}}
  assert freezing.merge(whole, {'a': {'y': 3}, 'c': {'z': 4}}) == {
    'a': {'x': 1, 'y': 3},
    'b': {},
    'c': {'z': 4},
  }
  assert whole == {'a': {'x': 1, 'y': 2}, 'b': {}}


class TwoNorms(nn.Module):
  """Two batch norms side by side."""

  @nn.compact
  def __call__(self, x):
    norms = [nn.BatchNorm(name=name) for name in ('first', 'second')]
    return [norm(x, use_running_average=False) for norm in norms]


def test_frozen_batch_norm_runs_as_in_inference():
  x = np.random.default_rng(0).normal(5.0, 3.0, (16, 2)).astype(np.float32)
  model = TwoNorms()
  variables = model.init(jax.random.key(0), x)
  stats = {
    name: {'mean': np.float32([1, 2]), 'var': np.float32([4, 9])}
    for name in ('first', 'second')
  }
  variables = {**variables, 'batch_stats': stats}
  with freezing.frozen_batch_norm(lambda path: path == ('first',)):
    (first, second), updated = model.apply(
      variables, x, mutable=['batch_stats']
    )
  expected = (x - stats['first']['mean']) / np.sqrt(stats['first']['var'])
  np.testing.assert_allclose(first, expected, rtol=1e-4)
  np.testing.assert_allclose(second.mean(0), 0, atol=1e-5)
  after = updated['batch_stats']
  for name, value in stats['first'].items():
    np.testing.assert_array_equal(after['first'][name], value)
    assert (after['second'][name] != value).all()
