"""Tests of the schedules and of SGD, each against an independent loop."""

from fractions import Fraction
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax.models import create_model
from inception_jax.training import optimizer

IMAGENET = 1_281_167


def staircase_by_loop(init_value, rate, decay_epochs, steps_per_epoch, steps):
  """Walks through the steps in exact arithmetic and falls when it is time."""
  period = Fraction(decay_epochs) * Fraction(steps_per_epoch)
  value, next_fall, values = init_value, period, []
  for step in range(steps):
    while step >= next_fall:
      value *= rate
      next_fall += period
    values.append(value)
  return np.array(values)


def evaluated(schedule, steps):
  """As the compiled step evaluates it: int32 scalars under jit."""
  compiled = jax.jit(schedule)
  return np.array([compiled(jnp.int32(step)) for step in steps])


def create(schedule, **changes):
  arguments = {
    'schedule': schedule,
    'init_value': 0.02,
    'steps_per_epoch': 10,
    'num_train_steps': 200,
  }
  return optimizer.create_learning_rate_fn(**{**arguments, **changes})


# --- Schedules ---------------------------------------------------------------


@pytest.mark.parametrize(
  'decay_epochs, steps_per_epoch',
  [(8, 4), (1, 7), (8, 31.25), (2.5, 3.25), (0.375, 11), (1, 0.375)],
)
def test_staircase_equals_a_loop_over_the_steps(decay_epochs, steps_per_epoch):
  schedule = optimizer.staircase_decay(
    0.01, 0.96, decay_epochs, steps_per_epoch
  )
  values = jax.jit(jax.vmap(schedule))(jnp.arange(600))
  expected = staircase_by_loop(0.01, 0.96, decay_epochs, steps_per_epoch, 600)
  assert len(np.unique(expected)) > 2  # It does fall.
  np.testing.assert_allclose(values, expected, rtol=1e-4)
  # A fall is 4 %: no step is on the wrong side of one.
  assert np.abs(values / expected - 1).max() < 0.01


@pytest.mark.parametrize('batch_size', [32, 256, 1024])
def test_paper_falls_by_4_percent_every_8_epochs(batch_size):
  steps_per_epoch = IMAGENET / batch_size
  schedule = create(
    'staircase',
    init_value=0.01,
    steps_per_epoch=steps_per_epoch,
    num_train_steps=10**6,
  )
  for fall in range(1, 25):
    boundary = math.ceil(fall * 8 * Fraction(IMAGENET, batch_size))
    before, after = evaluated(schedule, [boundary - 1, boundary])
    np.testing.assert_allclose(before, 0.01 * 0.96 ** (fall - 1), rtol=1e-5)
    np.testing.assert_allclose(after, 0.01 * 0.96**fall, rtol=1e-5)


# XLA compiles x / 41 as x * (1 / 41), and 41 * (1 / 41) < 1 in float32: taken
# as it stands, the formula would fall a step late.
@pytest.mark.parametrize('steps_per_epoch', [41, 47, 328, 5004, 40036])
def test_whole_boundaries_are_exact(steps_per_epoch):
  schedule = optimizer.staircase_decay(1.0, 0.5, 1, steps_per_epoch)
  steps = np.arange(1, 21) * steps_per_epoch
  np.testing.assert_array_equal(
    evaluated(schedule, steps), 0.5 ** np.arange(1, 21)
  )
  np.testing.assert_array_equal(
    evaluated(schedule, steps - 1), 0.5 ** np.arange(20)
  )


def test_golden_staircase():
  schedule = create('staircase', num_train_steps=3000)
  values = evaluated(schedule, [0, 79, 80, 800, 2999])
  np.testing.assert_allclose(
    values,
    [0.02, 0.02, 0.0192, 0.0132966527, 0.00441636797],
    rtol=2e-6,
    err_msg='The schedule moved. If you meant it to, update these five numbers'
    ' and say so in the README, for old configs no longer give old runs.',
  )


@pytest.mark.parametrize('power', [0.5, 1.0, 2.0])
def test_polynomial_is_its_closed_form(power):
  steps = np.arange(0, 220, 7)
  left = np.maximum(1 - steps / 200, 0)
  values = evaluated(create('polynomial', power=power), steps)
  np.testing.assert_allclose(values, 0.02 * left**power, rtol=1e-5, atol=1e-9)


def test_cosine_is_its_closed_form():
  steps = np.arange(0, 220, 7)
  share = np.minimum(steps / 200, 1)
  expected = 0.02 * (1 + np.cos(np.pi * share)) / 2
  values = evaluated(create('cosine'), steps)
  np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-9)


def test_constant_stays():
  values = evaluated(create('constant'), range(0, 400, 9))
  np.testing.assert_array_equal(values, np.float32(0.02))


def after_warm_up(schedule, steps):
  """Closed form of the steps after a warm-up of 15 of 200 steps."""
  share = (steps - 15) / 185
  return {
    # Epochs are counted from step 0, so that falls stay where they were.
    'staircase': 0.02 * 0.96 ** (steps // 80),
    'polynomial': 0.02 * (1 - share) ** 0.5,
    'cosine': 0.02 * (1 + np.cos(np.pi * share)) / 2,
    'constant': np.full(len(steps), 0.02),
  }[schedule]


@pytest.mark.parametrize('schedule', optimizer.SCHEDULES)
def test_warm_up_rises_linearly_and_hands_over(schedule):
  warm = create(schedule, warmup_epochs=1.5)
  rise = np.arange(15)
  np.testing.assert_allclose(
    evaluated(warm, rise), 0.02 * rise / 15, rtol=1e-5, atol=1e-9
  )
  steps = np.array([15, 16, 50, 79, 80, 81, 94, 95, 159, 160, 199])
  np.testing.assert_allclose(
    evaluated(warm, steps), after_warm_up(schedule, steps), rtol=1e-5
  )


@pytest.mark.parametrize('schedule', optimizer.SCHEDULES)
def test_learning_rates_are_float32_scalars(schedule):
  for warmup_epochs in (0.0, 1.5):
    fn = create(schedule, warmup_epochs=warmup_epochs)
    value = jax.eval_shape(
      lambda step, fn=fn: jnp.asarray(fn(step)),
      jax.ShapeDtypeStruct((), jnp.int32),
    )
    assert (value.shape, value.dtype) == ((), jnp.float32)


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'schedule': 'stairs'}, "unknown schedule 'stairs'.*staircase"),
    ({'init_value': 0.0}, 'init_value'),
    ({'init_value': float('nan')}, 'init_value'),
    ({'decay_rate': 0.0}, 'decay_rate'),
    ({'decay_rate': 1.01}, 'decay_rate'),
    ({'decay_epochs': 0.0}, 'decay_epochs'),
    ({'warmup_epochs': -0.5}, 'warmup_epochs'),
  ],
  ids=str,
)
def test_bad_schedules_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    create(**{'schedule': 'staircase', **changes})


# --- SGD ---------------------------------------------------------------------

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
