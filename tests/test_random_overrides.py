"""Overrides drawn at random work or are one sentence, and others are told."""

import dataclasses
import functools
import importlib

import pytest

from benchmarks import override_draws, override_outcomes, random_overrides
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.training import freezing

# Of the 500 that `benchmarks/random_overrides.py` draws.
NUM_DRAWS = 100
DRAW = override_draws.Draw(
  'digits', ('train.seed',), ('3',), ('--config.train.seed=3',), True
)


@functools.cache
def drawn():
  return tuple(override_draws.draws(500, seed=0))


def test_all_fields_of_all_configs_are_drawn():
  assert drawn() == tuple(override_draws.draws(500, seed=0))
  fields = {field for draw in drawn() for field in draw.fields}
  assert fields > set(override_draws.SECTIONS)
  assert {x.config for x in drawn()} == set(override_draws.all_configs())
  never = set(override_draws.all_fields()) - fields
  assert not never
  must_work = [x for x in drawn() if x.must_work]
  assert 100 < len(must_work) < 300
  assert any(x.values == ('None',) for x in must_work)
  assert any(x.fields[0] == 'data.on_bad_image' for x in must_work)


def test_fields_that_no_config_lists_are_among_them():
  listed = set()
  for name in override_draws.all_configs():
    config = importlib.import_module(f'configs.{name}').get_config()
    listed |= {
      f'{s}.{x}' for s in override_draws.SECTIONS for x in config.get(s, {})
    }
  assert {'train.init_seed', 'model.num_classes'} <= (
    override_draws.all_fields().keys() - listed
  )


@pytest.mark.parametrize(
  ('said', 'expected'),
  [
    ('a warning\nerror: config.train.seed=x must be a number', 'one sentence'),
    ('error: "\'seed\'"', 'no words for users'),
    ("error: config.train.seed is <class 'int'>", 'no words for users'),
    ('error: give another', 'names no field'),
    ('Traceback (most recent call last)\nerror: seed', 'traceback'),
    ('error: seed\x1b[31m', 'no sentence'),
    (f'error: seed {"x" * 5000}', 'no sentence'),
    ('error: seed\nerror: seed', 'several sentences'),
    ('seed', 'no sentence'),
    ('', 'no sentence'),
  ],
)
def test_sentences_are_judged(said, expected):
  assert override_outcomes.judge_sentence(DRAW, said) == expected


@pytest.mark.parametrize(
  ('changes', 'value', 'expected'),
  [
    ({}, 3, 'works'),
    ({}, 4, 'train.seed not taken'),
    ({}, float('nan'), 'a number that is not finite'),
    ({'seconds': 11.0}, 3, 'slow'),
    ({'status': None}, 3, 'traceback'),
    ({'status': 1, 'said': 'error: seed'}, 3, 'refused for no reason'),
  ],
)
def test_outcomes_are_judged(changes, value, expected):
  config = {'train': {'seed': value}}
  outcome = override_outcomes.Outcome(0, '', 1.0, config)
  outcome = dataclasses.replace(outcome, **changes)
  assert override_outcomes.judge(DRAW, outcome, [config]) == expected


@pytest.mark.parametrize(
  ('value', 'text', 'expected'),
  [
    (None, '', True),
    (None, 'None', True),
    (0.5, 'None', False),
    (100, '1e2', True),
    (True, 'true', True),
    (False, 'true', False),
    ([0.1, 1], '(0.1, 1)', True),
    (['conv*'], 'conv*', True),
    (['a', 'b'], 'a,b', True),
    ('1', '1', True),
    ([1], '(1, 2)', False),
  ],
)
def test_a_value_is_what_its_text_means(value, text, expected):
  assert override_outcomes.is_taken(value, text) == expected


def test_each_works_or_is_one_sentence(tmp_path, monkeypatch):
  pytest.importorskip('tensorflow')
  # Tracing a network takes a second; the script does it for every draw.
  monkeypatch.setattr(
    experiment_lib,
    '_create_is_frozen',
    lambda experiment: freezing.nothing_is_frozen,
  )
  random_overrides.prepare_digits()
  found = {}
  for number, draw in enumerate(drawn()[:NUM_DRAWS]):
    place = tmp_path / str(number)
    place.mkdir()
    found[draw], _ = random_overrides.run_draw(draw, place, traces=False)
  wrong = {k: v for k, v in found.items() if v not in ('works', 'one sentence')}
  assert not wrong
  assert set(found.values()) == {'works', 'one sentence'}
