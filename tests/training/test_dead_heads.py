"""Tests of the warning of heads that do not learn."""

import math

import pytest

from inception_jax.training import dead_heads

CLASSES = 10
CHANCE = math.log(CLASSES)


def head_losses(**losses):
  return {'loss': 9.0, **{f'loss_{k}': v for k, v in losses.items()}}


def dead(**losses):
  return dead_heads.dead_heads(head_losses(**losses), CLASSES)


def test_no_warning_while_all_heads_learn():
  assert dead(main=1.5, aux_4a=1.6, aux_4d=0.1) == {}


def test_a_dead_head_is_named_with_those_that_learn():
  warnings = dead(main=1.5, aux_4a=CHANCE, aux_4d=1.4)
  assert warnings.keys() == {'aux_4a'}
  text = warnings['aux_4a']
  assert 'head aux_4a has learnt nothing' in text
  assert 'its loss 2.303 is ln(10) = 2.303' in text
  assert 'while aux_4d and main learns' in text
  assert 'learning_rate.init_value' in text and 'inception_v1_bn' in text


def test_all_heads_dead():
  warnings = dead(main=CHANCE, aux_4a=CHANCE * 1.005, aux_4d=CHANCE * 0.995)
  assert warnings.keys() == {'main', 'aux_4a', 'aux_4d'}
  for text in warnings.values():
    assert 'while no other head learns' in text


@pytest.mark.parametrize('diverged', [CHANCE * 1.5, 1e9, math.inf, math.nan])
def test_a_diverged_head_does_not_learn(diverged):
  warnings = dead(main=diverged, aux_4a=CHANCE)
  assert warnings.keys() == {'aux_4a'}
  assert 'while no other head learns' in warnings['aux_4a']


@pytest.mark.parametrize(
  'share, is_dead',
  [(0.985, False), (0.995, True), (1.005, True), (1.02, False)],
)
def test_dead_is_within_one_percent(share, is_dead):
  assert ('main' in dead(main=share * CHANCE)) == is_dead


def test_barely_moving_is_not_learning():
  assert 'no other head' in dead(main=CHANCE, aux_4a=0.97 * CHANCE)['main']
  assert 'aux_4a learns' in dead(main=CHANCE, aux_4a=0.94 * CHANCE)['main']
