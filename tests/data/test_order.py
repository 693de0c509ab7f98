"""Tests of the order of the data."""

import numpy as np
import pytest

from inception_jax.data import order


def batch(step, batch_size=8, num_records=21, seed=3, slots=None):
  slots = np.arange(batch_size) if slots is None else slots
  positions = order.example_positions(step, slots, batch_size)
  return order.record_indices(seed, positions, num_records)


def test_each_epoch_is_a_permutation_and_epochs_differ():
  # 21 batches of 8 are exactly 8 epochs of 21 records.
  stream = np.concatenate([batch(step) for step in range(21)]).reshape(8, 21)
  for epoch in stream:
    assert sorted(epoch) == list(range(21))
  assert len({tuple(epoch) for epoch in stream}) == 8


def test_seeds_differ():
  assert (batch(0) != batch(0, seed=4)).any()


@pytest.mark.parametrize('num_shares', [1, 2, 4, 8])
def test_global_batch_does_not_depend_on_its_division(num_shares):
  whole = batch(5)
  shares = np.split(np.arange(8), num_shares)
  divided = np.concatenate([batch(5, slots=share) for share in shares])
  np.testing.assert_array_equal(divided, whole)


def test_batches_larger_than_the_dataset():
  np.testing.assert_array_equal(
    np.bincount(batch(0, batch_size=64, num_records=21)[:63]), np.full(21, 3)
  )


def test_golden_order():
  # NumPy has frozen this stream. If this moves, every run resumes differently:
  # do not update it without a new major version.
  assert batch(0).tolist() == [16, 15, 11, 1, 10, 14, 4, 9]


def test_uniforms_belong_to_the_position():
  many = order.example_uniforms(7, np.arange(100, 200), 40)
  assert many.shape == (100, 40) and many.dtype == np.float32
  np.testing.assert_array_equal(
    order.example_uniforms(7, np.array([150]), 40)[0], many[50]
  )
  assert len(np.unique(many)) > 3990
  assert 0 <= many.min() and many.max() < 1
  assert abs(many.mean() - 0.5) < 0.01
  assert (order.example_uniforms(8, np.array([150]), 40)[0] != many[50]).all()


def test_permutation_is_read_only():
  with pytest.raises(ValueError, match='read-only'):
    order.epoch_permutation(0, 0, 5)[0] = 1
