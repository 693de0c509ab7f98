"""Our RMSProp against TensorFlow's, with its epsilon inside the root."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax.training import optimizer

tf = pytest.importorskip('tensorflow')

RATES = [0.1, 0.1, 0.05, 0.2, 0.0, 0.02, 0.3, 0.01]


def ours(params, gradients, **arguments):
  table = jnp.array(RATES, jnp.float32)
  tx = optimizer.create_optimizer(
    learning_rate_fn=lambda step: table[step], name='rmsprop', **arguments
  )
  state = tx.init({'conv1': {'kernel': params}})

  @jax.jit
  def update(params, state, gradient):
    tree = {'conv1': {'kernel': params}}
    updates, state = tx.update({'conv1': {'kernel': gradient}}, state, tree)
    return params + updates['conv1']['kernel'], state

  for gradient in gradients:
    params, state = update(params, state, gradient)
  return params


def theirs(params, gradients, momentum, rms_decay, epsilon):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    variable = tf.compat.v1.get_variable('w', initializer=params)
    rate = tf.compat.v1.placeholder(tf.float32)
    gradient = tf.compat.v1.placeholder(tf.float32, params.shape)
    rmsprop = tf.compat.v1.train.RMSPropOptimizer(
      rate, decay=rms_decay, momentum=momentum, epsilon=epsilon
    )
    step = rmsprop.apply_gradients([(gradient, variable)])
    session.run(tf.compat.v1.global_variables_initializer())
    for value, one in zip(RATES, gradients, strict=True):
      session.run(step, {rate: value, gradient: one})
    return session.run(variable)


@pytest.mark.parametrize(
  ('momentum', 'rms_decay', 'epsilon'),
  [(0.9, 0.9, 1.0), (0.0, 0.9, 1.0), (0.9, 0.99, 1e-3), (0.5, 0.5, 1e-10)],
)
def test_trajectories_are_tensorflows(momentum, rms_decay, epsilon):
  rng = np.random.default_rng(0)
  params = rng.standard_normal((3, 3, 2, 4)).astype(np.float32)
  gradients = rng.standard_normal((len(RATES), 3, 3, 2, 4)).astype(np.float32)
  arguments = {
    'momentum': momentum,
    'rms_decay': rms_decay,
    'epsilon': epsilon,
  }
  expected = theirs(params, gradients, **arguments)
  np.testing.assert_allclose(
    ours(params, gradients, **arguments), expected, rtol=1e-5, atol=1e-6
  )
