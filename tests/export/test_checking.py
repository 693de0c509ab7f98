"""The pictures and the comparison of exported files."""

import numpy as np
import pytest
import random_runs

from inception_jax.export import checking
from inception_jax.runtime import errors


def compare(ours, theirs, softmax=False, exact=False):
  return checking.compare(
    np.array(ours, np.float32), np.array(theirs, np.float32), softmax, exact
  )


def test_pictures_are_the_same_every_time_and_varied():
  pictures = checking.pictures(33, 12)
  assert pictures.shape == (12, 33, 33, 3) and pictures.dtype == np.uint8
  np.testing.assert_array_equal(pictures, checking.pictures(33, 12))
  assert pictures.std((1, 2, 3)).min() > 5
  assert np.ptp(pictures.mean((1, 2)), axis=0).min() > 20
  # Neighbours are alike, as in photographs and not as in noise.
  wide = pictures.astype(float)
  steps = np.abs(np.diff(wide, axis=1)).mean()
  assert (
    1 < steps < 0.5 * np.abs(wide - wide.mean((1, 2), keepdims=True)).mean()
  )


def test_pictures_do_not_move():
  found = int(checking.pictures(32, 2).astype(np.int64).sum())
  assert found == 712709, (
    f'the sum is {found}: check.json of earlier exports speaks of other'
    ' pictures; if that is wanted, put this number here'
  )


def test_differences_and_first_choices():
  found = compare([[1.0, 3.0], [5.0, 2.0]], [[1.5, 3.0], [5.0, 6.0]])
  assert found == {
    'num_images': 2,
    'compared': 'logits',
    'max_abs_diff': 4.0,
    'mean_abs_diff': 4.5 / 4,
    'top1_agreement': 0.5,
    'tolerance': 1e-4,
  }
  with pytest.raises(checking.ExportError, match=r'x differ.* 4 .*50%'):
    checking.check({**found, 'compared': 'x'}, 'model.onnx')


def test_any_of_equal_logits_may_come_first():
  ours = [[2.0, 7.0, 7.0]]
  assert compare(ours, [[2.0, 7.0, 7.00001]])['top1_agreement'] == 1
  assert compare(ours, [[7.00001, 7.0, 7.0]])['top1_agreement'] == 0


@pytest.mark.parametrize(
  'largest, tolerance',
  [(0.01, 1e-6), (1.0, 1e-4), (25.0, 1e-4), (100.0, 4e-4)],
)
def test_tolerance_follows_the_size_of_logits(largest, tolerance):
  ours = np.array([[-largest, 0.0]], np.float32)
  found = compare(ours, ours)
  assert found['tolerance'] == pytest.approx(tolerance)
  checking.check(found, 'x')
  for share, good in ((0.9, True), (1.2, False)):
    found = compare(ours, ours + share * tolerance)
    if good:
      checking.check(found, 'x')
    else:
      with pytest.raises(checking.ExportError):
        checking.check(found, 'x')
  assert compare(ours, ours, exact=True)['tolerance'] == 0


def test_probabilities_are_compared_like_logits():
  ours = np.array([[3.0, -2.0, 0.5, -60.0]], np.float32)
  theirs = ours + np.array([[0.0, 0.25, 0.0, 0.0]], np.float32)
  wide = np.exp(theirs.astype(np.float64))
  found = compare(ours, wide / wide.sum(), softmax=True)
  assert found['compared'] == 'log_probabilities'
  assert found['max_abs_diff'] == pytest.approx(0.25, abs=0.01)
  # Far below what matters, and yet a probability that vanished is noticed.
  gone = np.exp(ours) / np.exp(ours).sum()
  gone[0, 3] = 0
  checking.check(compare(ours, gone, softmax=True), 'x')
  gone[0, 1] = 0
  assert compare(ours, gone, softmax=True)['max_abs_diff'] > 10


def test_values_that_are_no_numbers_fail():
  found = compare([[2.0, 1.0]], [[np.nan, 1.0]])
  assert found['top1_agreement'] == 1  # So that the difference must tell.
  with pytest.raises(checking.ExportError):
    checking.check(found, 'x')


def test_network_that_has_diverged_is_not_exported():
  loaded = random_runs.random_run('inception_v1_bn_shallow', 32, width=0.02)
  loaded.variables['params']['conv1']['kernel'][0, 0, 0, 0] = np.nan
  with pytest.raises(errors.InputError, match='not finite'):
    checking.logits_of(
      loaded.model,
      loaded.variables,
      loaded.preprocessing,
      checking.pictures(32, 2),
    )
