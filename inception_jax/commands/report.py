"""The report mode: the paper's Tables 2 and 3 for runs of one's own."""

from collections.abc import Mapping, Sequence
import csv
import dataclasses
import io
from typing import Any

from absl import logging
from etils import epath
import ml_collections
import numpy as np

from inception_jax.commands import evaluate
from inception_jax.data import crop_spec
from inception_jax.data import dataset as dataset_lib
from inception_jax.data import labels as labels_lib
from inception_jax.ensemble import folder as ensemble_folder
from inception_jax.ensemble import together as ensemble
from inception_jax.evaluation import protocol as protocol_lib
from inception_jax.evaluation import scores
from inception_jax.paper import results as paper_results
from inception_jax.report import comparison
from inception_jax.report import figures as report_figures
from inception_jax.report import text as report_text
from inception_jax.runtime import cluster, errors, json_files
from inception_jax.visualisation import plots

_NUM_MISTAKES = 32
_NUM_CONFUSIONS = 20


@dataclasses.dataclass(frozen=True)
class Details:
  """What all runs together make of the pictures, with all crops.

  Attributes:
    confusions: what is taken for what.
    calibration: how often they are right by how sure they are.
    mistakes: the most confident ones, worst first.
  """

  confusions: scores.Confusions
  calibration: scores.Calibration
  mistakes: list[scores.Mistake]


def report(
  workdir: epath.PathLike,
  protocol: protocol_lib.Protocol,
  output: epath.PathLike | None = None,
  weights: str | None = None,
  config: ml_collections.ConfigDict | Mapping[str, Any] | None = None,
  answers: epath.PathLike | None = None,
) -> dict[str, Any]:
  """Evaluates runs and writes what is to be said of it.

  `report.md` and `report.json`; `table_3.csv`, error against cost as the paper
  prints it, and `error_against_cost.png`; `table_2.csv`, where the task is the
  paper's; accuracy of each class, `classes.csv`
  and `classes.png`; `confusions.csv` and `confusion.png`; `reliability.png`;
  and `mistakes.png`.

  Args:
    workdir: see `ensemble_folder.list_runs`.
    protocol: which crops; its aggregation is that of the details.
    output: folder; None is `report` in the run or, of several, in the folder
      that holds the first.
    weights: see `evaluate.answer`.
    config: likewise.
    answers: likewise.

  Returns:
    `output, members, protocol, num_images, table_3, by_size, aggregations,
    calibration`, and `table_2` where the task is the paper's.

  Raises:
    InputError: if a run, the protocol or the data cannot be used.
    TrainingError: if the report cannot be written.
  """
  workdirs = ensemble_folder.list_runs(workdir)
  default = workdirs[0] if len(workdirs) == 1 else workdirs[0].parent
  folder = epath.Path(output or default / 'report')
  answered = evaluate.answer(workdirs, protocol, weights, config, answers)
  found = None
  if answered.ensemble is not None:
    try:
      folder.mkdir(parents=True, exist_ok=True)
      found = _write(folder, answered, protocol)
    except OSError as error:
      raise errors.cannot_write(
        f'--output={folder}', error, 'give another folder'
      ) from error
  return cluster.broadcast(found)


def _write(
  folder: epath.Path,
  answered: evaluate.Answered,
  protocol: protocol_lib.Protocol,
) -> dict[str, Any]:
  members = answered.ensemble
  rows = comparison.compare(members)
  details = _details(answered, protocol.aggregation)
  # To Matplotlib what stands between two dollars is a formula.
  names = [label.name.replace('$', r'\$') for label in members.labels.labels]
  table = comparison.table_3(rows, comparison.crop_columns(rows))
  is_paper_task = _is_paper_task(answered.dataset)
  last = max(row.num_crops for row in rows)
  lines = [row.to_json() for row in table]
  for line in lines:
    line['change_from_base'] = line['top5_error'] - lines[0]['top5_error']
    if is_paper_task:
      paper = paper_results.TABLE_3.get((line['models'], line['crops']))
      line['paper_top5_error'] = paper
  result = {
    'output': str(folder),
    'members': [
      {
        'workdir': member.name,
        'weights': loaded.weights,
        'step': loaded.step,
        'digest': loaded.digest,
      }
      for member, loaded in zip(members.members, answered.runs, strict=True)
    ],
    'protocol': protocol.name,
    'num_images': table[0].scores.num_images,
    'table_3': lines,
    'by_size': comparison.by_size(rows),
    'aggregations': [
      row.to_json()
      for row in rows
      if row.num_crops in (10, last)
      and row.members in {line.members for line in table}
    ],
    'calibration': _calibration_to_json(details.calibration),
  }
  if is_paper_task:
    result['table_2'] = comparison.table_2(lines[-1]['top5_error'])
  everything = {
    **result,
    'rows': [row.to_json() for row in rows],
    'confusions': _confusions_to_json(details.confusions, members.labels),
    'mistakes': [dataclasses.asdict(x) for x in details.mistakes],
  }
  json_files.write_json(folder / 'report.json', everything)
  for name, text in {
    'table_3.csv': report_text.table_3_to_csv(lines),
    'table_2.csv': report_text.table_2_to_csv(result),
    'classes.csv': _classes_to_csv(details.confusions, members.labels),
    'confusions.csv': _matrix_to_csv(details.confusions, members.labels),
    'report.md': report_text.to_markdown(everything, is_paper_task),
  }.items():
    if text is not None:
      json_files.write_atomically(folder / name, text)
    else:  # Not that of another report.
      (folder / name).unlink(missing_ok=True)
  for name, figure in {
    'error_against_cost': report_figures.error_against_cost(
      rows, is_paper_task
    ),
    'reliability': report_figures.reliability(details.calibration),
    'confusion': report_figures.confusion(details.confusions, names),
    'classes': report_figures.class_accuracy(details.confusions, names),
    'mistakes': _mistakes_figure(answered, details.mistakes, names),
  }.items():
    path = folder / f'{name}.png'
    if figure is not None:
      plots.save_figure(figure, path)
    else:
      path.unlink(missing_ok=True)
  print(report_text.to_markdown(everything, is_paper_task))
  logging.info('the report is in %s', folder)
  return result


def _details(answered: evaluate.Answered, aggregation: str) -> Details:
  members = answered.ensemble
  confusions = scores.Confusions(len(members.labels))
  calibration = scores.Calibration()
  mistakes = scores.WorstMistakes(_NUM_MISTAKES)
  counted = skipped = 0
  for part in members.read(None, aggregation):
    together = ensemble.mean_probability(part.log_probs)
    confusions.add(together, part.labels)
    calibration.add(together, part.labels)
    mistakes.add(together, part.labels, part.indices)
    counted += len(part.labels)
    skipped += part.num_skipped
  evaluate.check_count(answered, counted, skipped)
  return Details(confusions, calibration, mistakes.worst_first())


def _is_paper_task(dataset: dataset_lib.Dataset) -> bool:
  """Whether classes and crops are the paper's: its 144, or nested in them."""
  crop = dataset.eval_crop
  if isinstance(crop, crop_spec.MultiCrop):
    whole = crop_spec.protocol('multi_crop_144', crop.size)
    if crop not in whole.nested():
      return False
  return set(dataset.class_names) == set(labels_lib.imagenet_names())


def _mistakes_figure(
  answered: evaluate.Answered,
  mistakes: Sequence[scores.Mistake],
  names: Sequence[str],
):
  """Contact sheet of the worst; None if there are none, or of noise."""
  if not mistakes:
    return None
  images = dataset_lib.eval_images(
    answered.dataset,
    np.array([mistake.index for mistake in mistakes]),
    answered.runs[0].eval_crop,
  )
  if images is None:
    return None
  short = [name.split(', ')[0][:18] for name in names]
  titles = [
    f'{short[x.label]}\n→ {short[x.prediction]} {x.confidence:.0%}'
    for x in mistakes
  ]
  return plots.image_grid(images, titles)


def _calibration_to_json(found: scores.Calibration) -> dict[str, Any]:
  bins = zip(found.counts, found.accuracy, found.confidence, strict=True)
  return {
    'expected_calibration_error': found.expected_error,
    'bins': [
      {
        'num_images': int(count),
        'accuracy': float(accuracy) if count else None,
        'confidence': float(confidence) if count else None,
      }
      for count, accuracy, confidence in bins
    ],
  }


def _confusions_to_json(
  found: scores.Confusions, label_map: labels_lib.LabelMap
) -> list[dict[str, Any]]:
  return [
    {
      'class': label_map[label].name,
      'predicted': label_map[prediction].name,
      'num_images': count,
    }
    for label, prediction, count in found.most_frequent(_NUM_CONFUSIONS)
  ]


def _classes_to_csv(
  found: scores.Confusions, label_map: labels_lib.LabelMap
) -> str:
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


def _matrix_to_csv(
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
