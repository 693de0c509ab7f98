"""Damaged pictures of every format and mode, beside the reference decoders."""

import numpy as np
import pytest

from benchmarks import damaged_pictures

_NUM = 2 * len(damaged_pictures.KINDS)


@pytest.fixture(scope='module')
def result(tmp_path_factory):
  folder = tmp_path_factory.mktemp('damaged')
  return damaged_pictures.measure(folder, _NUM, seed=0)


def test_every_picture_is_what_the_reference_decoder_makes_of_it(result):
  assert damaged_pictures.is_right(result), result
  assert result['num_damaged'] == _NUM
  # Else this would show little.
  assert result['reference_refuses'] > _NUM // 3
  assert result['reference_accepts'] > _NUM // 5


def test_every_kind_is_there_whole_and_damaged(result):
  assert result['num_whole'] == len(damaged_pictures.KINDS) + 1
  assert {x['num'] for x in result['kinds'].values()} == {2}


def test_a_reader_that_differs_is_found_out():
  black = np.zeros((2, 2, 3), np.uint8)
  expected = {'a': None, 'b': black, 'c': black, 'd': black, 'e': None}
  found = {'a': black, 'b': None, 'c': black + 1, 'd': black, 'e': None}
  wrong = damaged_pictures.compare(expected, found)
  assert wrong == {'accepted': ['a'], 'refused': ['b'], 'other_pixels': ['c']}
  right = {'wrong': {}, 'whole_refused': [], 'predict_differs': []}
  assert damaged_pictures.is_right(right)
  assert not damaged_pictures.is_right({**right, 'wrong': wrong})
  assert not damaged_pictures.is_right({**right, 'predict_differs': ['a']})
