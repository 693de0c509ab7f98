"""Tests of mapping by threads."""

import time

import pytest

from inception_jax.data import ahead


def test_results_are_in_order_and_not_far_ahead():
  taken = []

  def items():
    for i in range(40):
      taken.append(i)
      yield i

  def work(i):
    time.sleep(0.01 * (i % 3))
    return i * i

  results = ahead.map_ahead(work, items(), num_threads=2)
  assert next(results) == 0
  assert len(taken) == 9
  assert list(results) == [i * i for i in range(1, 40)]


def test_what_is_not_wanted_any_more_is_not_done():
  done = []

  def work(i):
    time.sleep(0.01)
    done.append(i)

  results = ahead.map_ahead(work, range(40), num_threads=1, num_ahead=20)
  next(results)
  results.close()
  assert len(done) < 10


def test_errors_come_out():
  with pytest.raises(ZeroDivisionError):
    list(ahead.map_ahead(lambda i: 1 // i, [1, 0]))
