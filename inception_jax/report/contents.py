"""What a report holds: the paper's tables and the details, as JSON."""

from collections.abc import Sequence
import dataclasses
from typing import Any

from inception_jax.data import crops_144
from inception_jax.data import dataset as dataset_lib
from inception_jax.data import labels as labels_lib
from inception_jax.ensemble import predictions as predictions_lib
from inception_jax.ensemble import together as ensemble
from inception_jax.evaluation import protocol as protocol_lib
from inception_jax.evaluation import scores
from inception_jax.paper import results as paper_results
from inception_jax.report import comparison

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


@dataclasses.dataclass(frozen=True)
class Contents:
  """What a report holds.

  Attributes:
    rows: every line of the comparison.
    details: of all runs together, with all crops.
    result: what the command returns, beside `output`.
    everything: `result` and more, for `report.json`.
    is_paper_task: whether classes and crops are the paper's.
  """

  rows: list[comparison.ComparisonRow]
  details: Details
  result: dict[str, Any]
  everything: dict[str, Any]
  is_paper_task: bool


def compile_contents(
  predictions: predictions_lib.SetPredictions, protocol: protocol_lib.Protocol
) -> Contents:
  """Compares the runs and counts what they get wrong.

  Args:
    predictions: of the runs; on the main process.
    protocol: which crops; its aggregation is that of the details.

  Raises:
    InputError: if predictions are damaged or images were skipped.
  """
  members = predictions.ensemble
  rows = comparison.compare(members)
  details = _details(predictions, protocol.aggregation)
  is_paper_task = _is_paper_task(predictions.dataset)
  table = comparison.table_3(rows, comparison.crop_columns(rows))
  lines = _table_3_to_json(table, is_paper_task)
  last = max(row.num_crops for row in rows)
  result = {
    'members': _members_to_json(predictions),
    'protocol': protocol.name,
    'folds': predictions.folds,
    'num_images': table[0].scores.num_images,
    'num_classes': sum(x.is_class for x in members.labels.labels),
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
  return Contents(rows, details, result, everything, is_paper_task)


def _members_to_json(
  predictions: predictions_lib.SetPredictions,
) -> list[dict[str, Any]]:
  return [
    {
      'workdir': member.name,
      'weights': loaded.weights,
      'step': loaded.step,
      'digest': loaded.digest,
    }
    for member, loaded in zip(
      predictions.ensemble.members, predictions.runs, strict=True
    )
  ]


def _table_3_to_json(
  table: Sequence[comparison.ComparisonRow], is_paper_task: bool
) -> list[dict[str, Any]]:
  """Lines of Table 3, with the paper's errors where the task is the same."""
  lines = [row.to_json() for row in table]
  for line in lines:
    line['change_from_base'] = line['top5_error'] - lines[0]['top5_error']
    if is_paper_task:
      paper = paper_results.TABLE_3.get((line['models'], line['crops']))
      line['paper_top5_error'] = paper
  return lines


def _details(
  predictions: predictions_lib.SetPredictions, aggregation: str
) -> Details:
  members = predictions.ensemble
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
  predictions_lib.check_count(predictions, counted, skipped)
  return Details(confusions, calibration, mistakes.worst_first())


def _is_paper_task(dataset: dataset_lib.Dataset) -> bool:
  """Whether classes and crops are the paper's: its 144, or nested in them."""
  crop = dataset.eval_crop
  if isinstance(crop, crops_144.MultiCrop):
    whole = crops_144.protocol('multi_crop_144', crop.size)
    if crop not in whole.nested():
      return False
  return set(dataset.class_names) == set(labels_lib.imagenet_names())


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
