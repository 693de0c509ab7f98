"""Tests of what the report says; tests/commands makes whole ones."""

import pytest

from inception_jax.paper import results as paper_results
from inception_jax.report import comparison
from inception_jax.report import text as report_text

MEMBER = {'workdir': 'a', 'weights': 'ema', 'step': 3, 'digest': '0' * 64}


def line(models, crops, aggregation):
  errors = {
    name: 0.1
    for kind in ('top1', 'top5')
    for name in (
      f'{kind}_error',
      *(f'{how}_{kind}_error' for how in ('mean', 'min', 'max')),
    )
  }
  return {
    **errors,
    'models': models,
    'crops': crops,
    'aggregation': aggregation,
    'cost': models * crops,
    'top1_error_interval': [0, 1],
    'top5_error_interval': [0, 1],
    'combinations': 1,
    'loss': 1.0,
    'mean_loss': 1.0,
    'change_from_base': 0.0,
    'members': [0],
  }


@pytest.mark.parametrize('models', [1, 7])
def test_aggregations_have_a_section_if_there_are_several(models):
  def text(*kinds):
    return report_text.to_markdown(
      {
        'num_images': 10,
        'num_classes': 10,
        'members': [MEMBER] * models,
        'table_3': [line(1, 1, 'mean_probability')],
        'by_size': [line(i + 1, 10, '') for i in range(models)],
        'aggregations': [line(1, 10, kind) for kind in kinds],
        'calibration': {'expected_calibration_error': 0.1},
        'confusions': [],
      },
      with_paper=False,
    )

  title = '## What is made of the crops'
  assert title in text('mean_probability', 'max_probability')
  assert title not in text('mean_probability')


def test_csv_has_the_papers_figures_where_there_are_some():
  lines = [{**line(1, 1, ''), 'num_images': 10}]
  header, row = report_text.table_3_to_csv(lines).splitlines()
  assert header.endswith(',num_images') and row.endswith(',10')
  lines[0]['paper_top5_error'] = 0.1007
  header, row = report_text.table_3_to_csv(lines).splitlines()
  assert header.endswith(',paper_top5_error') and row.endswith(',10,0.1007')


def test_table_2_has_the_printed_reductions_beside_the_computed_ones():
  ours = {**line(7, 144, ''), 'top5_error': 0.08, 'num_images': 10}
  lines = comparison.table_2(0.08)
  assert [x['team'] for x in lines] == [x.team for x in paper_results.TABLE_2]
  printed = {
    (x['team'], x['top5_error']): x for x in lines if x['printed_reduction']
  }
  super_vision = printed.pop(('SuperVision', 0.153))
  clarifai = printed.pop(('Clarifai', 0.112))
  assert not printed
  assert super_vision['googlenet_reduction'] == pytest.approx(0.564, abs=5e-4)
  assert super_vision['printed_reduction'] == 0.565
  assert super_vision['reduction'] == pytest.approx((0.153 - 0.08) / 0.153)
  assert clarifai['googlenet_reduction'] == pytest.approx(0.404, abs=5e-4)
  assert clarifai['printed_reduction'] == 0.4
  assert lines[-1]['googlenet_reduction'] == 0 > lines[-1]['reduction']
  report = {'table_3': [ours], 'table_2': lines}
  header, *rows = report_text.table_2_to_csv(report).splitlines()
  assert header == (
    'team,year,place,top5_error,external_data,printed_reduction,'
    'googlenet_reduction,reduction'
  )
  assert len(rows) == 8 and rows[-1].startswith('"this (7 models, 144 crops)"')
  text = report_text.to_markdown(
    {
      **report,
      'num_images': 10,
      'num_classes': 1000,
      'members': [MEMBER],
      'table_3': [{**ours, 'paper_top5_error': 0.0667}],
      'by_size': [],
      'aggregations': [],
      'calibration': {'expected_calibration_error': 0.1},
      'confusions': [],
    },
    with_paper=True,
  )
  assert (
    '| SuperVision | 2012 | 1st | 15.30 % | ImageNet 22k | 56.4% | 56.5% |'
    ' 47.7% |'
  ) in text
  assert '| ImageNet 22k | 40.4% | 40% | 28.6% |' in text


@pytest.mark.parametrize('num_classes', [2, 5, 6])
def test_top_5_of_few_classes_is_left_out(num_classes):
  text = report_text.to_markdown(
    {
      'num_images': 10,
      'num_classes': num_classes,
      'members': [MEMBER] * 2,
      'table_3': [line(1, 1, 'mean_probability')],
      'by_size': [line(i + 1, 10, '') for i in range(2)],
      'aggregations': [line(1, 10, kind) for kind in ('a', 'b')],
      'calibration': {'expected_calibration_error': 0.1},
      'confusions': [],
    },
    with_paper=False,
  )
  assert 'top-1 error' in text and 'from base' in text
  assert ('top-5 error |' in text) == (num_classes > 5)
  assert (f'With {num_classes} classes top-5' in text) == (num_classes <= 5)


def test_names_are_shown_as_they_are():
  name = 'a|b *c* `d` [e](f)\n<i>\x1b[31m'
  text = report_text.to_markdown(
    {
      'num_images': 10,
      'num_classes': 10,
      'members': [{**MEMBER, 'workdir': name}],
      'table_3': [line(1, 1, 'mean_probability')],
      'by_size': [],
      'aggregations': [],
      'calibration': {'expected_calibration_error': 0.1},
      'confusions': [{'class': name, 'predicted': 'x', 'num_images': 1}],
    },
    with_paper=False,
  )
  assert '\x1b' not in text
  (row,) = (x for x in text.splitlines() if 'a' in x and '| x | 1 |' in x)
  assert r'a\|b \*c\* \`d\` \[e\]\(f\)' in row
  (member,) = (x for x in text.splitlines() if x.startswith('| 1 | `'))
  assert member.count('`') == 4
