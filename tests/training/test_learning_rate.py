"""Tests of the schedules, each against an independent loop or closed form."""

from fractions import Fraction
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inception_jax.training import learning_rate

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
  return learning_rate.create_learning_rate_fn(**{**arguments, **changes})


@pytest.mark.parametrize(
  'decay_epochs, steps_per_epoch',
  [(8, 4), (1, 7), (8, 31.25), (2.5, 3.25), (0.375, 11), (1, 0.375)],
)
def test_staircase_equals_a_loop_over_the_steps(decay_epochs, steps_per_epoch):
  schedule = learning_rate.staircase_decay(
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
  schedule = learning_rate.staircase_decay(1.0, 0.5, 1, steps_per_epoch)
  steps = np.arange(1, 21) * steps_per_epoch
  np.testing.assert_array_equal(
    evaluated(schedule, steps), 0.5 ** np.arange(1, 21)
  )
  np.testing.assert_array_equal(
    evaluated(schedule, steps - 1), 0.5 ** np.arange(20)
  )


def test_optax_falls_a_step_late():
  """Why the staircase is our own; when this fails, optax's will do."""
  step = jnp.int32(41)
  ours = jax.jit(learning_rate.staircase_decay(1.0, 0.5, 1, 41))
  theirs = jax.jit(optax.exponential_decay(1.0, 41, 0.5, staircase=True))
  assert ours(step) == 0.5
  assert theirs(step) == 1.0 and theirs(step + 1) == 0.5


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
  # A float32 share of the way has an error of 1e-7, which the power magnifies
  # where little is left.
  atol = max(1e-9, 0.02 * 1e-7**power)
  np.testing.assert_allclose(values, 0.02 * left**power, rtol=1e-5, atol=atol)


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


@pytest.mark.parametrize('schedule', learning_rate.SCHEDULES)
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


@pytest.mark.parametrize('schedule', learning_rate.SCHEDULES)
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
    ({'schedule': 'stairs'}, "schedule must .*, not 'stairs'; .*'staircase'"),
    ({'init_value': 0.0}, 'init_value'),
    ({'init_value': float('nan')}, 'init_value'),
    ({'init_value': float('inf')}, 'init_value'),
    ({'init_value': 1e-46}, 'init_value'),  # 0 in float32.
    ({'power': float('nan')}, 'power'),
    ({'power': float('inf')}, 'power'),
    ({'warmup_epochs': float('inf')}, 'warmup_epochs'),
    ({'warmup_epochs': float('nan')}, 'warmup_epochs'),
    ({'decay_epochs': float('inf')}, 'decay_epochs'),
    ({'decay_epochs': 4294967295.0}, 'decay_epochs'),
    ({'num_train_steps': 3_000_000_000}, 'num_train_steps'),
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


@pytest.mark.parametrize(
  ('changes', 'words'),
  [
    ({'warmup_epochs': 3.0}, ['warmup_epochs=3 is 30 steps', 'at step 20']),
    ({'warmup_epochs': 2.0}, ['warmup_epochs=2 is 20 steps']),
    ({'warmup_epochs': 1.9}, []),
    (
      {'schedule': 'staircase', 'decay_epochs': 2.0},
      ['decay_epochs=2', 'falls'],
    ),
    ({'schedule': 'staircase', 'decay_epochs': 1.9}, []),
    ({'decay_epochs': 2.0}, []),  # A cosine has none.
  ],
  ids=str,
)
def test_what_comes_after_the_end_is_said(changes, words):
  arguments = {
    'schedule': 'cosine',
    'init_value': 0.1,
    'steps_per_epoch': 10.0,
    'num_train_steps': 20,
    **changes,
  }
  found = learning_rate.what_never_happens(**arguments)
  assert len(found) == bool(words)
  assert all(word in found[0] for word in words)
  rate_fn = learning_rate.create_learning_rate_fn(**arguments)
  rates = [float(rate_fn(step)) for step in range(20)]
  if 'warmup_epochs' in changes:
    assert (max(rates) < 0.0999) == bool(words)
    assert not words or f'at most {max(rates):g}' in found[0]
  elif 'schedule' in changes:
    assert (min(rates) == max(rates)) == bool(words)


def test_a_fall_that_is_never_due_needs_no_int32():
  rate_fn = learning_rate.staircase_decay(0.1, 0.96, 1e6, 40_037.0)
  assert float(rate_fn(999_999_999)) == pytest.approx(0.1)
  # Many falls a step, to the largest step.
  rate_fn = learning_rate.staircase_decay(0.1, 0.96, 1e-9, 0.02)
  assert float(rate_fn(999_999_999)) == 0
