"""Tests of SGD, against an independent loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax.models import create_model
from inception_jax.training import optimizer

RATES = [0.1, 0.1, 0.05, 0.2, 0.0, 0.02, 0.3, 0.01]


def random_tree(rng):
  draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
  return {
    'conv1': {'kernel': draw(3, 3, 2, 4), 'bias': draw(4)},
    'bn': {'scale': draw(4), 'bias': draw(4)},
  }


def sgd_by_loop(params, gradients, momentum, decay, multiplier, decay_biases):
  """One number after another, in float64."""
  params = jax.tree.map(np.float64, params)
  velocity = jax.tree.map(np.zeros_like, params)
  for rate, gradient in zip(RATES, gradients, strict=True):
    for layer, leaves in params.items():
      for name, w in leaves.items():
        kernel = name == 'kernel'
        g = np.float64(gradient[layer][name])
        if kernel or decay_biases:
          g = g + decay * w
        velocity[layer][name] = momentum * velocity[layer][name] + g
        own_rate = rate if kernel else rate * multiplier
        params[layer][name] = w - own_rate * velocity[layer][name]
  return params


def sgd_by_optax(params, gradients, **arguments):
  table = jnp.array(RATES, jnp.float32)
  tx = optimizer.create_optimizer(
    learning_rate_fn=lambda step: table[step], **arguments
  )
  opt_state = tx.init(params)

  @jax.jit
  def update(params, opt_state, gradient):
    updates, opt_state = tx.update(gradient, opt_state, params)
    return jax.tree.map(jnp.add, params, updates), opt_state

  for gradient in gradients:
    params, opt_state = update(params, opt_state, gradient)
  return params


SGD_CASES = {
  'plain': (0.0, 0.0, 1.0, False),
  'momentum': (0.9, 0.0, 1.0, False),
  'kernels_decay': (0.9, 0.05, 1.0, False),
  'all_decay': (0.9, 0.05, 1.0, True),
  'caffe': (0.9, 0.05, 2.0, False),
  'still_biases': (0.9, 0.05, 0.0, True),
}


@pytest.mark.parametrize('case', SGD_CASES)
def test_sgd_equals_a_loop(case):
  rng = np.random.default_rng(0)
  params = random_tree(rng)
  gradients = [random_tree(rng) for _ in RATES]
  momentum, decay, multiplier, decay_biases = SGD_CASES[case]
  expected = sgd_by_loop(params, gradients, *SGD_CASES[case])
  # Each case asks for something that no other one does.
  for name, other in SGD_CASES.items():
    if name != case:
      result = sgd_by_loop(params, gradients, *other)
      gaps = jax.tree.map(lambda a, b: np.abs(a - b).max(), result, expected)
      assert max(jax.tree.leaves(gaps)) > 1e-2
  result = sgd_by_optax(
    params,
    gradients,
    momentum=momentum,
    weight_decay=decay,
    bias_learning_rate_multiplier=multiplier,
    decay_biases=decay_biases,
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
    result,
    expected,
  )


def test_defaults_are_those_of_the_paper():
  rng = np.random.default_rng(1)
  params = random_tree(rng)
  gradients = [random_tree(rng) for _ in RATES]
  expected = sgd_by_loop(params, gradients, *SGD_CASES['momentum'])
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
    sgd_by_optax(params, gradients),
    expected,
  )


@pytest.mark.parametrize('name', ['inception_v1', 'inception_v1_bn'])
def test_kernels_are_what_has_more_than_one_axis(name):
  model = create_model(name, num_classes=3, width=0.05)
  images = jax.ShapeDtypeStruct((1, 80, 80, 3), jnp.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), images)['params']
  kernels = optimizer.is_kernel(params)
  assert jax.tree.structure(kernels) == jax.tree.structure(params)
  assert kernels == jax.tree.map(lambda x: x.ndim > 1, params)


@pytest.mark.parametrize(
  'changes',
  [
    {'momentum': 1.0},
    {'momentum': -0.1},
    {'momentum': float('nan')},
    {'weight_decay': -1e-4},
    {'weight_decay': float('nan')},
    {'weight_decay': float('inf')},
    {'bias_learning_rate_multiplier': float('nan')},
    {'head_learning_rate_multiplier': float('inf')},
    {'momentum': 1 - 1e-9},  # 1 in float32.
    {'bias_learning_rate_multiplier': -1.0},
    {'head_learning_rate_multiplier': -1.0},
  ],
  ids=str,
)
def test_bad_optimizers_are_refused(changes):
  with pytest.raises(ValueError, match=next(iter(changes))):
    optimizer.create_optimizer(learning_rate_fn=lambda step: 0.1, **changes)


def test_the_heads_learn_at_a_rate_of_their_own():
  params = {
    name: {'kernel': np.ones(2, np.float32), 'conv': {'bias': np.ones(1)}}
    for name in ('conv1', 'inception_4a', 'classifier', 'aux_4a')
  }
  steps = [
    sgd_by_optax(params, [params], **more)
    for more in ({}, {'head_learning_rate_multiplier': 4.0})
  ]
  moved = [jax.tree.map(lambda a, b: a - b, params, x) for x in steps]
  for name in params:
    factor = 4 if name in ('classifier', 'aux_4a') else 1
    jax.tree.map(
      lambda a, b, factor=factor: np.testing.assert_allclose(
        b, factor * a, rtol=1e-5
      ),
      moved[0][name],
      moved[1][name],
    )
    assert all(x.all() for x in jax.tree.leaves(moved[0][name]))


@pytest.mark.parametrize('momentum', [0.0, 0.9])
def test_rmsprop_by_loop(momentum):
  rng = np.random.default_rng(0)
  params = random_tree(rng)
  gradients = [random_tree(rng) for _ in RATES]
  found = sgd_by_optax(
    params,
    gradients,
    name='rmsprop',
    momentum=momentum,
    rms_decay=0.8,
    epsilon=0.5,
    weight_decay=0.01,
    bias_learning_rate_multiplier=2.0,
  )
  for layer, leaves in params.items():
    for name, w in leaves.items():
      w, square, velocity = np.float64(w), 1.0, 0.0
      for rate, gradient in zip(RATES, gradients, strict=True):
        kernel = name == 'kernel'
        g = np.float64(gradient[layer][name]) + 0.01 * w * kernel
        square = 0.8 * square + 0.2 * g**2
        step = rate * (1 if kernel else 2) * g / np.sqrt(square + 0.5)
        velocity = momentum * velocity + step
        w = w - velocity
      np.testing.assert_allclose(found[layer][name], w, rtol=1e-5, atol=1e-6)
