"""The report in words: Markdown and CSV."""

from collections.abc import Mapping, Sequence
import csv
import io
import re
from typing import Any

import numpy as np

from inception_jax.data import labels as labels_lib
from inception_jax.evaluation import scores
from inception_jax.report import comparison
from inception_jax.runtime import errors, words


def table_3_to_csv(lines: Sequence[Mapping[str, Any]]) -> str:
  """Table 3, a line for each number of models and crops; errors in 0 to 1.

  Args:
    lines: of `commands.report.report`, with the paper's figures if these are of
      the same task.
  """
  with_paper = 'paper_top5_error' in lines[0]
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  header = ['models', 'crops', 'cost', 'top5_error', 'change_from_base']
  header += ['top5_error_low', 'top5_error_high', 'top1_error']
  header += ['top1_error_low', 'top1_error_high', 'num_images']
  header += ['paper_top5_error'] * with_paper
  writer.writerow(header)
  for line in lines:
    writer.writerow(
      [
        line['models'],
        line['crops'],
        line['cost'],
        line['top5_error'],
        line['change_from_base'],
        *line['top5_error_interval'],
        line['top1_error'],
        *line['top1_error_interval'],
        line['num_images'],
        *([line['paper_top5_error']] if with_paper else []),
      ]
    )
  return text.getvalue()


def table_2_to_csv(report: Mapping[str, Any]) -> str | None:
  """Table 2, a line for each entry and ours; errors and shares in 0 to 1.

  Args:
    report: see `commands.report.report`.

  Returns:
    The text; None if the task is not the paper's.
  """
  if 'table_2' not in report:
    return None
  lines = report['table_2']
  text = io.StringIO()
  writer = csv.DictWriter(text, lines[0], lineterminator='\n')
  writer.writeheader()
  writer.writerows(lines)
  ours = report['table_3'][-1]
  writer.writerow({'team': _our_entry(ours), 'top5_error': ours['top5_error']})
  return text.getvalue()


def classes_to_csv(
  found: scores.Confusions, label_map: labels_lib.LabelMap
) -> str:
  """Accuracy of each class that has images, a line a class; top-1, top-5."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(['class', 'name', 'num_images', 'top1', 'top5'])
  lines = zip(
    label_map.labels, found.num_images, found.top1, found.top5, strict=True
  )
  for label, count, top1, top5 in lines:
    if count:
      writer.writerow([label.class_name, label.name, count, top1, top5])
  return text.getvalue()


def confusions_to_csv(
  found: scores.Confusions, label_map: labels_lib.LabelMap
) -> str:
  """The confusion matrix, a line for each of its numbers that is not zero."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(['class', 'predicted', 'num_images'])
  names = label_map.class_names
  for label, prediction in np.argwhere(found.matrix):
    count = found.matrix[label, prediction]
    writer.writerow([names[label], names[prediction], count])
  return text.getvalue()


def to_markdown(report: Mapping[str, Any], with_paper: bool) -> str:
  """The report as Markdown.

  Args:
    report: see `commands.report.report`, with its confusions.
    with_paper: whether the paper's figures are of the same task.
  """
  count, num_classes = report['num_images'], report['num_classes']
  kinds = comparison.kinds_of_errors(num_classes)
  parts = [
    f'# Evaluation on {words.count(count, "image")}',
    _members(report['members']),
    *_folds(report.get('folds', 0)),
    *(
      [
        f'With {words.count(num_classes, "class", "classes")} top-5 errors say'
        ' nothing and are left out.'
      ]
      if len(kinds) == 1
      else []
    ),
    '## Table 3: models, crops, error',
    'Intervals are of 95 % (Wilson), for the number of images alone.'
    + (
      " The paper's figures are its own, on the full validation set of 50,000"
      ' images.'
      if with_paper
      else ''
    ),
    *_one_model(report),
    _table_3(report['table_3'], with_paper, kinds),
  ]
  if with_paper:
    parts += ['## Table 2: the challenge', _table_2(report)]
  if len(report['by_size']) > 1:
    parts += [
      '## What each further model gains',
      'With all crops; mean, best and worst of the combinations, which are all'
      f' there are of up to {comparison.MAX_MEMBERS} models, and the first ones'
      ' of more.',
      _by_size(report['by_size'], kinds),
    ]
  if len({line['aggregation'] for line in report['aggregations']}) > 1:
    parts += [
      '## What is made of the crops',
      'The paper averages probabilities, and found the maximum inferior.',
      _aggregations(report['aggregations'], kinds),
    ]
  error = report['calibration']['expected_calibration_error']
  parts += [
    '## Calibration',
    f'Expected calibration error, of 15 bins: {error:.2%}.',
  ]
  if report['confusions']:
    parts += ['## Commonest mistakes', _confusions(report['confusions'])]
  return '\n\n'.join(parts) + '\n'


def _folds(count: int) -> list[str]:
  """What the predictions are of, as a paragraph."""
  if not count:
    return []
  return [
    'Each image was predicted by a last layer that was fitted without it and'
    f' the others of its fold, of {count}; the run itself is fitted to the'
    ' training images.'
  ]


def _one_model(report: Mapping[str, Any]) -> list[str]:
  """Which of several models stands for one, as a paragraph."""
  if len(report['members']) == 1:
    return []
  (number,) = report['table_3'][0]['members']
  return [
    f'The one model is number {number + 1}, chosen as in the paper: it has the'
    f' lowest top-1 error with {_crops(report["table_3"][0]["crops"])} on these'
    ' images.'
  ]


def _crops(number: int) -> str:
  return 'one crop' if number == 1 else f'{number} crops'


def _percent(value: float) -> str:
  return f'{100 * value:.2f} %'


def _interval(ends: Sequence[float]) -> str:
  return f'{100 * ends[0]:.2f}–{100 * ends[1]:.2f}'


def _markdown(header: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
  rows = [header, ['---'] * len(header), *lines]
  return '\n'.join(f'| {" | ".join(map(str, row))} |' for row in rows)


def _cell(text: str, in_code: bool = False) -> str:
  """A text that a user chose, which Markdown shows as it is."""
  text = errors.on_one_line(text)
  if in_code:  # Nothing can be escaped there but what ends the cell.
    return text.replace('`', "'").replace('|', r'\|')
  return re.sub(r'([\\`*_{}\[\]<>()#+!|$~&-])', r'\\\1', text)


def _members(lines: Sequence[Mapping[str, Any]]) -> str:
  return _markdown(
    ['model', 'run', 'weights', 'step', 'digest of the network'],
    [
      [
        number,
        f'`{_cell(line["workdir"], in_code=True)}`',
        line['weights'],
        line['step'],
        f'`{line["digest"][:16]}…`',
      ]
      for number, line in enumerate(lines, 1)
    ],
  )


def _table_3(
  lines: Sequence[Mapping[str, Any]], with_paper: bool, kinds: Sequence[str]
) -> str:
  header = ['models', 'crops', 'cost']
  for kind in kinds:
    header += [_error_name(kind), '95 %']
    header += ['from base'] * (kind == kinds[0])
  if with_paper:
    header.append("paper's top-5 error, full validation set")
  found = []
  for line in lines:
    row = [line['models'], line['crops'], line['cost']]
    for kind in kinds:
      error = line[f'{kind}_error']
      row += [_percent(error), _interval(line[f'{kind}_error_interval'])]
      if kind == kinds[0]:
        change = error - lines[0][f'{kind}_error']
        row.append('base' if line is lines[0] else f'{100 * change:+.2f}')
    if with_paper:
      paper = line['paper_top5_error']
      row.append('' if paper is None else _percent(paper))
    found.append(row)
  return _markdown(header, found)


def _error_name(kind: str) -> str:
  return f'{kind.replace("top", "top-")} error'


def _our_entry(ours: Mapping[str, Any]) -> str:
  models = words.count(ours['models'], 'model')
  return f'this ({models}, {words.count(ours["crops"], "crop")})'


def _table_2(report: Mapping[str, Any]) -> str:
  ours = report['table_3'][-1]
  lines = []
  for entry in report['table_2']:
    printed = entry['printed_reduction']
    lines.append(
      [
        entry['team'],
        entry['year'],
        entry['place'],
        _percent(entry['top5_error']),
        entry['external_data'],
        f'{entry["googlenet_reduction"]:.1%}',
        '' if printed is None else f'{100 * printed:g}%',
        f'{entry["reduction"]:.1%}',
      ]
    )
  lines.append([_our_entry(ours), '', '', _percent(ours['top5_error'])])
  lines[-1] += [''] * 4
  header = ['team', 'year', 'place', 'top-5 error', 'external data']
  header += ["GoogLeNet's relative reduction", "as the paper's text prints it"]
  header += ["this one's"]
  return (
    'Theirs are of the test images of the challenge; this one is not, so its'
    ' reductions are no result of the challenge.\n\n' + _markdown(header, lines)
  )


def _by_size(lines: Sequence[Mapping[str, Any]], kinds: Sequence[str]) -> str:
  header = ['models', 'combinations']
  for kind in kinds:
    header += [_error_name(kind), 'best–worst']
  found = []
  for line in lines:
    row = [line['models'], line['combinations']]
    for kind in kinds:
      row.append(_percent(line[f'mean_{kind}_error']))
      ends = [line[f'{end}_{kind}_error'] for end in ('min', 'max')]
      row.append(_interval(ends))
    found.append([*row, f'{line["mean_loss"]:.4f}'])
  return _markdown([*header, 'loss'], found)


def _aggregations(
  lines: Sequence[Mapping[str, Any]], kinds: Sequence[str]
) -> str:
  header = ['models', 'crops', 'of the crops', *map(_error_name, kinds), 'loss']
  return _markdown(
    header,
    [
      [
        line['models'],
        line['crops'],
        line['aggregation'].replace('_', ' '),
        *(_percent(line[f'{kind}_error']) for kind in kinds),
        f'{line["loss"]:.4f}',
      ]
      for line in lines
    ],
  )


def _confusions(lines: Sequence[Mapping[str, Any]]) -> str:
  return _markdown(
    ['class', 'taken for', 'images'],
    [
      [_cell(x['class']), _cell(x['predicted']), x['num_images']] for x in lines
    ],
  )
