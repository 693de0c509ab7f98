"""Numbers that pages quote are compared with the files that they come from."""

import json

import pytest

from benchmarks import quoted_numbers

RECORD = {
  'seconds': 131.4,
  'bytes': 3_400_000,
  'evaluation': {'top1': 0.9916},
  'older used, equal': 79,
  'cases': [
    {'batch': 8, 'shared': True, 'ratio': 1.379},
    {'batch': 32, 'shared': True, 'ratio': 12.73},
  ],
}


@pytest.fixture(autouse=True)
def _results(tmp_path, monkeypatch):
  (tmp_path / 'x.json').write_text(json.dumps(RECORD))
  monkeypatch.setattr(quoted_numbers, 'RESULTS', tmp_path)


def _row(result, keys):
  return (
    f'| what | result | source |\n|---|---|---|\n| a | {result} | {keys} |\n'
  )


@pytest.mark.parametrize(
  ('right', 'wrong', 'keys'),
  [
    ('99.2 % in 131 s', '99.3 % in 131 s', '`evaluation.top1`, `seconds`'),
    ('99 %', '0.99 %', '`evaluation.top1`'),
    ('131.4', '131.5', '`seconds`'),
    ('12.7', '12.8', '`cases.batch=32.ratio`'),
    ('1.38', '1.37', '`cases.0.ratio`'),
    ('3.4', '3.5', '`bytes / 1e6`'),
    ('0.01', '0.02', '`1 - evaluation.top1`'),
    ('top-1 of 79', 'top-1 of 80', '`older used, equal`'),
  ],
)
def test_tables(right, wrong, keys):
  assert not quoted_numbers.check('p', _row(right, f'`x.json`: {keys}'))
  (sentence,) = quoted_numbers.check('p', _row(wrong, f'`x.json`: {keys}'))
  assert sentence.startswith('p:3: ')


@pytest.mark.parametrize(
  ('result', 'source'),
  [
    ('131', '`x.json`: `minutes`'),
    ('131', '`y.json`: `seconds`'),
    ('131', '`seconds`'),
    ('131 and 132', '`x.json`: `seconds`'),
    ('1.38', '`x.json`: `cases.shared=true.ratio`'),
    ('1', '`x.json`: `cases.0.shared`'),
    ('1', '`x.json`: `evaluation`'),
  ],
)
def test_numbers_without_a_source(result, source):
  assert len(quoted_numbers.check('p', _row(result, source))) == 1


def test_sentences():
  comment = '<!--\n`x.json`: `seconds`,\n`evaluation.top1` -->'
  text = f'In 2014, not here.\n\nOn 2 cores 131 s, 99.2 %{comment} top-1.'
  assert not quoted_numbers.check('p', text)
  assert quoted_numbers.check('p', text.replace('131', '132'))
  assert quoted_numbers.check('p', text.replace('99.2', '99.1'))


def test_files_that_do_not_exist():
  assert not quoted_numbers.check('p', 'See `benchmarks/results/x.json`.')
  assert quoted_numbers.check('p', 'See `benchmarks/results/y.json`.')
