"""Tests of the accuracies and of the sums they are made of."""

import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax import metrics


@pytest.fixture(scope='module')
def examples():
  rng = np.random.default_rng(0)
  logits = rng.standard_normal((64, 12)).astype(np.float32)
  labels = rng.integers(0, 12, 64).astype(np.int32)
  return logits, labels, rng.random(64) < 0.7


def rank_of_label(logits, labels):
  """Number of classes with a larger logit than the label's."""
  own = logits[np.arange(len(labels)), labels]
  return (logits > own[:, None]).sum(-1)


@pytest.mark.parametrize('k', [1, 2, 5, 11, 12])
def test_correct_within_counts_the_larger_logits(examples, k):
  logits, labels, _ = examples
  expected = rank_of_label(logits, labels) < k
  assert k == 12 or not expected.all()
  result = metrics.correct_within(logits, labels, k)
  np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize('num_classes', [1, 2, 4, 5])
def test_five_guesses_are_all_of_few_classes(num_classes):
  rng = np.random.default_rng(0)
  logits = rng.standard_normal((32, num_classes)).astype(np.float32)
  labels = rng.integers(0, num_classes, 32)
  assert metrics.correct_within(logits, labels, 5).all()


@pytest.mark.parametrize('k', [1, 5])
def test_equal_logits_score_no_better_than_chance(k):
  labels = np.repeat(np.arange(10), 3)
  for value in (0.0, -3.5):
    logits = np.full((30, 10), value, np.float32)
    assert metrics.correct_within(logits, labels, k).sum() == 3 * k


def test_ties_go_to_the_lower_index():
  logits = np.array([[1.0, 2.0, 2.0, 0.0]] * 4, np.float32)
  result = metrics.correct_within(logits, np.arange(4), 1)
  np.testing.assert_array_equal(result, [False, True, False, False])


@pytest.mark.parametrize('k', [1, 5])
def test_nan_logits_are_never_correct(k):
  labels = np.arange(10)
  all_nan = np.full((10, 10), np.nan, np.float32)
  assert not metrics.correct_within(all_nan, labels, k).any()
  own_nan = np.zeros((10, 10), np.float32)
  own_nan[labels, labels] = np.nan
  assert not metrics.correct_within(own_nan, labels, k).any()


def test_sums_are_those_of_the_unmasked(examples):
  logits, labels, mask = examples
  assert 0 < mask.sum() < len(mask)
  sums = metrics.classification_sums(logits, labels, mask)
  wide = logits.astype(np.float64)
  own = wide[np.arange(len(labels)), labels]
  loss = np.log(np.exp(wide).sum(-1)) - own
  rank = rank_of_label(logits, labels)
  assert sums.keys() == {'num_images', 'top1', 'top5', 'loss'}
  assert sums['num_images'] == mask.sum()
  assert sums['top1'] == ((rank < 1) & mask).sum()
  assert sums['top5'] == ((rank < 5) & mask).sum()
  np.testing.assert_allclose(sums['loss'], loss[mask].sum(), rtol=1e-5)
  counts = [sums[name] for name in ('num_images', 'top1', 'top5')]
  assert all(c.dtype == jnp.int32 and c.shape == () for c in counts)
  assert sums['loss'].dtype == jnp.float32


def test_padding_counts_for_nothing_whatever_it_holds(examples):
  logits, labels, mask = examples
  poisoned = logits.copy()
  poisoned[~mask] = np.nan
  expected = metrics.classification_sums(logits, labels, mask)
  result = metrics.classification_sums(poisoned, labels, mask)
  for name, value in expected.items():
    np.testing.assert_array_equal(result[name], value)
  nothing = metrics.classification_sums(poisoned, labels, np.zeros_like(mask))
  assert all(value == 0 for value in nothing.values())


def test_sums_of_parts_add_up(examples):
  whole = metrics.classification_sums(*examples)
  parts = [
    metrics.classification_sums(*(x[slice(a, b)] for x in examples))
    for a, b in [(0, 10), (10, 11), (11, 64)]
  ]
  for name, value in whole.items():
    total = sum(float(part[name]) for part in parts)
    np.testing.assert_allclose(total, value, rtol=1e-6)


def test_means_divide_by_the_number_of_images():
  sums = {'num_images': 8, 'top1': 3, 'top5': 6, 'loss': 18.0}
  assert metrics.means_of_sums(sums) == {
    'top1': 0.375,
    'top5': 0.75,
    'loss': 2.25,
    'num_images': 8,
  }
  arrays = {name: jnp.asarray(value) for name, value in sums.items()}
  assert metrics.means_of_sums(arrays) == metrics.means_of_sums(sums)
