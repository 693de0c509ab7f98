"""Tests of accuracies, intervals, calibration and confusions."""

import statistics

import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax import metrics
from inception_jax.evaluation import scores


def log_probs_and_labels(seed, count=200, num_classes=12):
  rng = np.random.default_rng(seed)
  # Rounded, so that there are ties.
  logits = np.round(rng.standard_normal((count, num_classes)), 1)
  logits = logits.astype(np.float32)
  labels = rng.integers(0, num_classes, count).astype(np.int32)
  return logits - np.log(np.exp(logits).sum(-1, keepdims=True)), labels


def test_scores_are_those_of_the_device():
  log_probs, labels = log_probs_and_labels(0)
  found = scores.Scores()
  for part in (slice(0, 70), slice(70, 200)):
    found.add(log_probs[part], labels[part])
  sums = metrics.classification_sums(
    jnp.array(log_probs), jnp.array(labels), jnp.ones(200, bool)
  )
  expected = metrics.means_of_sums({k: v.item() for k, v in sums.items()})
  assert 0 < expected['top1'] < expected['top5'] < 1
  assert found.means() == {
    **expected,
    'loss': pytest.approx(expected['loss'], rel=1e-5),
  }


@pytest.mark.parametrize(
  'count, total', [(0, 10), (10, 10), (3, 200), (500, 50_000), (1, 1)]
)
def test_wilson_interval(count, total):
  low, high = scores.wilson_interval(count, total)
  assert type(low) is type(high) is float  # As JSON wants them.
  # The shares from which the sample's is 1.96 standard deviations away.
  share = count / total
  quantile = statistics.NormalDist().inv_cdf(0.975)
  for end in (low, high):
    away = total * (share - end) ** 2
    assert away == pytest.approx(quantile**2 * end * (1 - end), abs=1e-12)
  assert low < high and low <= share <= high


@pytest.mark.parametrize('total', [1, 7, 1000, 50_000, 10**9])
def test_nothing_and_all_are_their_own_ends(total):
  assert scores.wilson_interval(0, total)[0] == 0.0
  assert scores.wilson_interval(total, total)[1] == 1.0


def test_calibration_in_closed_form():
  # 10 pictures at 0.8, of which 6 are right; 5 at 0.5, of which 4 are.
  first, second = np.log([0.2, 0.8]), np.log([0.5 + 1e-9, 0.5 - 1e-9])
  log_probs = np.stack([first] * 10 + [second] * 5)
  labels = np.array([1] * 6 + [0] * 4 + [0] * 4 + [1])
  found = scores.Calibration(num_bins=10)
  found.add(log_probs[:7], labels[:7])
  found.add(log_probs[7:], labels[7:])
  assert found.counts.sum() == 15
  assert found.expected_error == pytest.approx((10 * 0.2 + 5 * 0.3) / 15)
  assert np.isnan(found.accuracy[0])
  np.testing.assert_allclose(
    found.accuracy[found.counts > 0], [0.8, 0.6], rtol=1e-9
  )
  certain = scores.Calibration()
  certain.add(np.array([[0.0, -100.0]]), np.array([0]))
  assert certain.counts[-1] == 1 and certain.expected_error == 0


def test_confusions():
  log_probs = np.log(
    [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.2, 0.3], [0.4, 0.3, 0.3]]
  )
  labels = np.array([0, 0, 0, 2])
  found = scores.Confusions(3)
  found.add(log_probs, labels)
  np.testing.assert_array_equal(found.matrix, [[2, 1, 0], [0, 0, 0], [1, 0, 0]])
  np.testing.assert_array_equal(found.num_images, [3, 0, 1])
  assert found.top1[0] == pytest.approx(2 / 3) and np.isnan(found.top1[1])
  assert found.top5[2] == 1
  assert found.most_frequent(5) == [(0, 1, 1), (2, 0, 1)]


def test_the_worst_mistakes_are_the_most_confident():
  log_probs, labels = log_probs_and_labels(1)
  found = scores.WorstMistakes(5)
  for start in range(0, 200, 30):
    part = slice(start, start + 30)
    found.add(log_probs[part], labels[part], np.arange(200)[part])
  wrong = np.flatnonzero(log_probs.argmax(-1) != labels)
  order = sorted(wrong, key=lambda i: (-log_probs[i].max(), i))[:5]
  mistakes = found.worst_first()
  assert [mistake.index for mistake in mistakes] == order
  first = mistakes[0]
  assert first.confidence == pytest.approx(np.exp(log_probs[order[0]].max()))
  assert first.label == labels[order[0]]
  assert first.label_probability < first.confidence


def test_a_bin_of_the_calibration_has_its_upper_end():
  found = scores.Calibration(4)
  shares = np.array([[0.5, 0.3, 0.2], [0.75, 0.25, 0.0], [0.76, 0.2, 0.04]])
  with np.errstate(divide='ignore'):
    found.add(np.log(shares), np.array([0, 0, 0]))
  assert found.counts.tolist() == [0, 1, 1, 1]


def test_shares_are_shown_with_their_interval():
  shown = scores.with_interval(0.735, 1000)
  assert shown == '73.5 % (70.7 to 76.1 % with 95 % confidence)'
  assert scores.with_interval(1.0, 4).startswith('100.0 % (51.0 to 100.0 %')


def test_a_paired_difference_covers_the_true_one():
  rng = np.random.default_rng(0)
  covered = 0
  for _ in range(1000):
    kind = rng.choice(4, 100, p=[0.7, 0.15, 0.05, 0.1])
    first, second = np.isin(kind, (0, 1)), np.isin(kind, (0, 2))
    difference, low, high = scores.paired_difference(first, second)
    assert difference == pytest.approx(first.mean() - second.mean())
    other = scores.paired_difference(second, first)
    assert other == pytest.approx((-difference, -high, -low))
    covered += low <= 0.1 <= high
  assert 930 <= covered <= 980
  assert scores.paired_difference(first, first) == (0.0, 0.0, 0.0)
