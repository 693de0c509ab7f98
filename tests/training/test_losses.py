"""Tests of the training loss against its closed form in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax.training import losses


def cross_entropy(logits, labels):
  """Of each example, in float64."""
  logits = np.asarray(logits, np.float64)
  log_sum = np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1))
  return log_sum + logits.max(-1) - logits[np.arange(len(labels)), labels]


@pytest.fixture(scope='module')
def heads():
  rng = np.random.default_rng(0)
  draw = lambda: (3 * rng.standard_normal((16, 7))).astype(np.float32)
  return {'main': draw(), 'aux_4a': draw(), 'aux_4d': draw()}


@pytest.fixture(scope='module')
def labels():
  return np.random.default_rng(1).integers(0, 7, 16).astype(np.int32)


def test_head_logits_are_the_main_and_the_auxiliary_ones():
  ends = {
    'conv1': 0,
    'aux_logits_4a': 1,
    'inception_4a': 2,
    'aux_logits_4d': 3,
    'logits': 4,
  }
  expected = {'main': 5, 'aux_4a': 1, 'aux_4d': 3}
  assert losses.head_logits(5, ends) == expected
  assert losses.head_logits(5, {'logits': 5}) == {'main': 5}


@pytest.mark.parametrize('aux_weight', [0.0, 0.3, 2.0])
def test_total_is_main_plus_weighted_auxiliary(heads, labels, aux_weight):
  total, parts = losses.total_loss(heads, labels, aux_weight)
  means = {k: cross_entropy(v, labels).mean() for k, v in heads.items()}
  assert len({round(value, 3) for value in means.values()}) == 3
  expected = means['main'] + aux_weight * (means['aux_4a'] + means['aux_4d'])
  np.testing.assert_allclose(total, expected, rtol=1e-5)
  assert parts['loss'] == total
  for name, mean in means.items():
    np.testing.assert_allclose(parts[f'loss_{name}'], mean, rtol=1e-5)
    top1 = (heads[name].argmax(-1) == labels).mean()
    np.testing.assert_allclose(parts[f'top1_{name}'], top1)
  assert len(parts) == 7


def test_main_alone_is_the_plain_cross_entropy(heads, labels):
  total, parts = losses.total_loss({'main': heads['main']}, labels, 0.3)
  expected = cross_entropy(heads['main'], labels).mean()
  np.testing.assert_allclose(total, expected, rtol=1e-5)
  assert parts.keys() == {'loss', 'loss_main', 'top1_main'}


def test_equal_logits_lose_ln_of_the_classes():
  equal = jnp.zeros((14, 7))
  labels = jnp.arange(14) % 7
  heads = {'main': equal, 'aux_4a': equal, 'aux_4d': equal}
  total, parts = losses.total_loss(heads, labels, 0.3)
  np.testing.assert_allclose(total, 1.6 * np.log(7), rtol=1e-6)
  np.testing.assert_allclose(parts['top1_main'], 1 / 7)


def test_parts_are_float32_scalars_also_for_bfloat16_logits(heads, labels):
  narrow = {k: jnp.asarray(v, jnp.bfloat16) for k, v in heads.items()}
  total, parts = losses.total_loss(narrow, labels, 0.3)
  assert total.dtype == jnp.float32
  for value in parts.values():
    assert (value.shape, value.dtype) == ((), jnp.float32)
  wide = {k: np.float32(v) for k, v in narrow.items()}
  again, _ = losses.total_loss(wide, labels, 0.3)
  np.testing.assert_array_equal(total, again)


def test_large_logits_do_not_overflow():
  logits = jnp.array([[1e4, 0.0, -1e4]])
  total, _ = losses.total_loss({'main': logits}, jnp.array([2]), 0.3)
  np.testing.assert_allclose(total, 2e4)


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 0.9])
def test_smoothed_labels_are_partly_uniform(heads, labels, smoothing):
  _, parts = losses.total_loss(heads, labels, 0.3, smoothing)
  for name, logits in heads.items():
    uniform = np.mean(
      [cross_entropy(logits, np.full(16, label)) for label in range(7)], 0
    )
    own = cross_entropy(logits, labels)
    expected = ((1 - smoothing) * own + smoothing * uniform).mean()
    assert parts[f'loss_{name}'] == pytest.approx(expected, rel=1e-6)


def test_a_head_that_has_learnt_nothing_has_the_same_loss_when_smoothed(labels):
  heads = {'main': np.zeros((16, 7), np.float32)}
  loss, _ = losses.total_loss(heads, labels, 0.3, 0.2)
  assert loss == pytest.approx(np.log(7), rel=1e-6)
