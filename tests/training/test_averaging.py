"""Tests of the averages against means computed in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax.training import averaging as averaging_lib
from inception_jax.training.averaging import Averaging


def random_variables(rng):
  draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
  return {
    'params': {'conv1': {'kernel': draw(3, 2), 'bias': draw(2)}},
    'batch_stats': {'bn': {'mean': draw(2), 'var': draw(2)}},
  }


@pytest.fixture(scope='module')
def iterates():
  rng = np.random.default_rng(0)
  return [random_variables(rng) for _ in range(40)]


def averaged(averaging, iterates):
  """What the averages amount to after every iterate."""
  update = jax.jit(averaging.update)
  averages, results = averaging.init(iterates[0]), []
  for step, variables in enumerate(iterates, 1):
    averages = update(averages, variables, jnp.int32(step))
    results.append(averaging_lib.averaged_variables(averages))
  return results, averages


def weighted_mean(iterates, weights):
  """Mean in float64 of whole iterates."""
  weights = np.asarray(weights, np.float64)
  return jax.tree.map(
    lambda *leaves: np.average(
      np.stack(leaves).astype(np.float64), axis=0, weights=weights
    ),
    *iterates,
  )


def assert_trees_close(tree, expected, rtol=2e-5, atol=1e-6):
  assert jax.tree.structure(tree) == jax.tree.structure(expected)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol),
    tree,
    expected,
  )


@pytest.mark.parametrize('decay', [0.5, 0.9, 0.999, 0.9999])
def test_ema_is_the_weighted_mean_from_the_first_update_on(decay, iterates):
  results, _ = averaged(Averaging(ema_decay=decay), iterates)
  # To a bit or two the weights themselves, not 1 - decay of them.
  assert_trees_close(results[0]['ema'], iterates[0], rtol=3e-7, atol=0)
  for count in (2, 3, 10, 40):
    weights = [decay ** (count - 1 - i) for i in range(count)]
    expected = weighted_mean(iterates[:count], weights)
    plain = weighted_mean(iterates[:count], np.ones(count))
    if decay < 0.99:
      gap = jax.tree.map(lambda a, b: np.abs(a - b).max(), expected, plain)
      assert max(jax.tree.leaves(gap)) > 1e-3
    assert_trees_close(results[count - 1]['ema'], expected)


@pytest.mark.parametrize('start', [0, 1, 7, 39])
def test_polyak_is_the_plain_mean_of_what_comes_after_its_start(
  start, iterates
):
  results, averages = averaged(Averaging(polyak_start_step=start), iterates)
  assert int(averages.polyak.count) == len(iterates) - start
  for count in (start + 1, 40):
    after = iterates[start:count]
    expected = weighted_mean(after, np.ones(len(after)))
    assert_trees_close(results[count - 1]['polyak'], expected)


def test_polyak_has_not_begun_before_its_start(iterates):
  results, averages = averaged(Averaging(polyak_start_step=40), iterates)
  assert int(averages.polyak.count) == 0
  zeros = jax.tree.map(np.zeros_like, iterates[0])
  assert_trees_close(results[-1]['polyak'], zeros, atol=0)


def test_batch_statistics_are_averaged_too(iterates):
  both = Averaging(ema_decay=0.9, polyak_start_step=0)
  results, _ = averaged(both, iterates)
  assert results[-1].keys() == {'ema', 'polyak'}
  for kind in results[-1].values():
    assert kind.keys() == {'params', 'batch_stats'}
    now, last = kind['batch_stats'], iterates[-1]['batch_stats']
    assert np.abs(now['bn']['mean'] - last['bn']['mean']).max() > 1e-2


def test_a_network_without_batch_norm_can_be_averaged(iterates):
  bare = [{**variables, 'batch_stats': {}} for variables in iterates[:3]]
  results, _ = averaged(Averaging(ema_decay=0.9, polyak_start_step=0), bare)
  assert results[-1]['ema']['batch_stats'] == {}
  expected = weighted_mean(bare, np.ones(3))
  assert_trees_close(results[-1]['polyak'], expected)


def test_what_is_not_kept_is_none(iterates):
  variables = iterates[0]
  nothing = Averaging().init(variables)
  assert nothing.ema is None and nothing.polyak is None
  assert jax.tree.leaves(nothing) == []
  results, averages = averaged(Averaging(), iterates[:2])
  assert averages == nothing and results[-1] == {}
  only_ema = Averaging(ema_decay=0.9).init(variables)
  assert only_ema.ema is not None and only_ema.polyak is None
  only_polyak = Averaging(polyak_start_step=0).init(variables)
  assert only_polyak.ema is None and only_polyak.polyak is not None


@pytest.mark.parametrize('decay', [0.9, 0.9999])
def test_a_constant_stays(decay, iterates):
  constant = [iterates[0]] * 200
  averaging = Averaging(ema_decay=decay, polyak_start_step=3)
  results, _ = averaged(averaging, constant)
  for step in (1, 5, 50, 200):
    assert_trees_close(results[step - 1]['ema'], iterates[0], rtol=2e-5, atol=0)
    if step > 3:
      assert_trees_close(
        results[step - 1]['polyak'], iterates[0], rtol=1e-6, atol=0
      )


@pytest.mark.parametrize(
  'arguments',
  [
    {'ema_decay': 0.0},
    {'ema_decay': 1.0},
    {'ema_decay': -0.1},
    {'ema_decay': float('nan')},
    {'ema_decay': 1 - 1e-9},  # 1 in float32: nothing but zeros.
    {'polyak_start_step': -1},
  ],
  ids=str,
)
def test_bad_arguments_are_refused(arguments):
  with pytest.raises(ValueError, match=next(iter(arguments))):
    Averaging(**arguments)


def test_uniform_mean_does_not_stall_after_many_iterates():
  # Iterates that drift: the later ones must count as much as the first.
  averaging = Averaging(polyak_start_step=0)
  num_steps = 1_000_000

  def body(averages, step):
    value = 1 + jnp.float32(0.02) * step / num_steps
    variables = {'params': {'kernel': value}, 'batch_stats': {}}
    return averaging.update(averages, variables, step), None

  start = averaging.init(
    {'params': {'kernel': jnp.float32(0)}, 'batch_stats': {}}
  )
  averages, _ = jax.jit(
    lambda start: jax.lax.scan(body, start, jnp.arange(1, num_steps + 1))
  )(start)
  mean = averaging_lib.averaged_variables(averages)['polyak']['params'][
    'kernel'
  ]
  # Without what rounding loses, the error is 1e-4 and more.
  assert abs(float(mean) - 1.01) < 1e-6


def test_averages_that_start_at_given_variables(iterates):
  averaging = Averaging(ema_decay=0.9, polyak_start_step=1)
  first, second, third = iterates[:3]
  averages = averaging.start_at(first)
  started = averaging_lib.averaged_variables(averages)
  for kind in ('ema', 'polyak'):
    jax.tree.map(np.testing.assert_array_equal, started[kind], first)
  assert int(averages.polyak.count) == 0
  averages = averaging.update(averages, second, jnp.int32(1))
  averages = averaging.update(averages, third, jnp.int32(2))
  result = averaging_lib.averaged_variables(averages)
  expected = weighted_mean(iterates[:3], [0.81, 0.09, 0.1])
  assert_trees_close(result['ema'], expected)
  # The uniform mean is of the iterates after its start alone.
  assert_trees_close(result['polyak'], third, rtol=1e-6)


@pytest.mark.parametrize(
  ('wanted', 'kept', 'kind'),
  [
    ('polyak', ('raw', 'ema', 'polyak'), 'polyak'),
    ('polyak', ('raw', 'ema'), 'ema'),
    ('polyak', ('raw',), 'raw'),
    ('ema', ('raw', 'polyak'), 'raw'),
    ('raw', ('raw', 'ema'), 'raw'),
    (None, ('raw', 'ema', 'polyak'), 'ema'),
    (None, ('raw', 'polyak'), 'raw'),
  ],
)
def test_default_kind(wanted, kept, kind):
  assert averaging_lib.default_kind(wanted, kept) == kind


def test_unknown_inference_weights():
  with pytest.raises(ValueError, match="or polyak, or None, not 'mean'"):
    averaging_lib.create_averaging(
      inference_weights='mean', steps_per_epoch=1, num_train_steps=1
    )


@pytest.mark.parametrize(
  'share, steps, decay',
  [(0.1, 300, 1 - 1 / 30), (0.1, 1, 0.5), (1, 10**9, 0.999999)],
)
def test_horizon_of_the_moving_average(share, steps, decay):
  create = functools.partial(
    averaging_lib.create_averaging,
    ema_horizon=share,
    steps_per_epoch=1,
    num_train_steps=steps,
  )
  assert create().ema_decay == pytest.approx(decay, abs=1e-9)
  with pytest.raises(ValueError, match='two ways to say the same'):
    create(ema_decay=0.9)
