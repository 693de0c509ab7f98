"""Error against cost: every number of crops, and every part of an ensemble."""

from collections.abc import Mapping, Sequence
import dataclasses
import itertools
from typing import Any

import numpy as np

from inception_jax.ensemble import together as ensemble
from inception_jax.evaluation import scores
from inception_jax.paper import results as paper_results

# With so few classes or fewer everything is among the first five.
NO_TOP5_CLASSES = 5
# Of more members than this each alone is scored, and those together that come
# first: all parts would be more than a thousand.
MAX_MEMBERS = 8


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
  """A line of Table 3.

  Attributes:
    num_models: members that answer together.
    num_crops: of each picture.
    aggregation: of the crops; of the models always their mean probability.
    members: which, by number.
    scores: what they reach.
  """

  num_models: int
  num_crops: int
  aggregation: str
  members: tuple[int, ...]
  scores: scores.Scores

  @property
  def cost(self) -> int:
    """Passes through a network for each picture."""
    return self.num_models * self.num_crops

  def to_json(self) -> dict[str, Any]:
    means = self.scores.means()
    count = means['num_images']
    low, high = scores.wilson_interval(count - self.scores.top5, count)
    low1, high1 = scores.wilson_interval(count - self.scores.top1, count)
    return {
      'models': self.num_models,
      'crops': self.num_crops,
      'aggregation': self.aggregation,
      'members': list(self.members),
      'cost': self.cost,
      'top5_error': 1 - means['top5'],
      'top5_error_interval': [low, high],
      'top1_error': 1 - means['top1'],
      'top1_error_interval': [low1, high1],
      'loss': means['loss'],
      'num_images': count,
    }


def compare(members: ensemble.Ensemble) -> list[ComparisonRow]:
  """Scores every view of the pictures by every part of an ensemble.

  Args:
    members: whose answers are complete.

  Returns:
    Rows, the cheapest first; with other aggregations than the mean probability
    of each member and of all only.
  """
  count = len(members.members)
  single = [(number,) for number in range(count)]
  first_ones = [tuple(range(size)) for size in range(2, count + 1)]
  every = [*single, *first_ones]
  if count <= MAX_MEMBERS:
    every = [
      part
      for size in range(1, count + 1)
      for part in itertools.combinations(range(count), size)
    ]
  ends = [*single, *first_ones[-1:]]
  views = members.members[0].answers.views
  rows = [
    [
      ComparisonRow(len(part), *view, part, scores.Scores())
      for part in (every if view.aggregation == 'mean_probability' else ends)
    ]
    for view in views
  ]
  # All views of some pictures before the next, so that files are read once.
  for answered in zip(*(members.read(*view) for view in views), strict=True):
    for of_view, found in zip(rows, answered, strict=True):
      for row in of_view:
        together = ensemble.mean_probability(found.log_probs[list(row.members)])
        row.scores.add(together, found.labels)
  rows = [row for of_view in rows for row in of_view]
  return sorted(rows, key=lambda row: (row.num_models, row.num_crops))


def table_3(
  rows: Sequence[ComparisonRow], crops: Sequence[int]
) -> list[ComparisonRow]:
  """The paper's lines: one member and all, with these numbers of crops.

  The one member is that of section 7: "When we use one model, we chose the one
  with the lowest top-1 error rate on the validation data."

  Args:
    rows: of `compare`.
    crops: see `crop_columns`.
  """
  largest = max(row.num_models for row in rows)
  best = best_member(rows)
  wanted = {(size, number) for size in (1, largest) for number in crops}
  return [
    row
    for row in rows
    if (row.num_models, row.num_crops) in wanted
    and row.aggregation == 'mean_probability'
    and row.members in (best, tuple(range(largest)))
  ]


def best_member(rows: Sequence[ComparisonRow]) -> tuple[int, ...]:
  """The member with the lowest top-1 error, as `ComparisonRow.members`.

  With the fewest crops, which is how a single network is usually chosen; the
  paper does not say. Equal ones are told apart by their loss.
  """
  crops = min(row.num_crops for row in rows)
  alone = [
    row
    for row in rows
    if row.num_models == 1
    and row.num_crops == crops
    and row.aggregation == 'mean_probability'
  ]

  def badness(row):
    means = row.scores.means()
    return -means['top1'], means['loss'], row.members

  return min(alone, key=badness).members


def kinds_of_errors(num_classes: int) -> tuple[str, ...]:
  """Which errors say something with this number of classes, first the main."""
  return ('top5', 'top1') if num_classes > NO_TOP5_CLASSES else ('top1',)


def table_2(top5_error: float) -> list[dict[str, Any]]:
  """The challenge's entries, and how much less than each we and they err.

  Args:
    top5_error: ours, 0 to 1.

  Returns:
    For each entry the fields of `paper.results.Entry`, and the relative
    reductions of the error, `googlenet_reduction` and `reduction`, ours.
  """
  googlenet = paper_results.TABLE_2[-1].top5_error
  return [
    {
      **entry._asdict(),
      'googlenet_reduction': 1 - googlenet / entry.top5_error,
      'reduction': 1 - top5_error / entry.top5_error,
    }
    for entry in paper_results.TABLE_2
  ]


def crop_columns(rows: Sequence[ComparisonRow]) -> tuple[int, ...]:
  """Of all numbers of crops one, ten if there are, and the largest."""
  known = sorted({row.num_crops for row in rows})
  return tuple(sorted({known[0], known[-1], *({10} & set(known))}))


def by_size(rows: Sequence[ComparisonRow]) -> list[Mapping[str, Any]]:
  """What each further member gains, with all crops.

  Returns:
    For each number of models: `models, crops, combinations`, and of these the
    `mean_top5_error, min_top5_error, max_top5_error` and likewise `top1`.
  """
  crops = max(row.num_crops for row in rows)
  found = []
  for size in sorted({row.num_models for row in rows}):
    same = [
      row.scores.means()
      for row in rows
      if row.num_models == size
      and row.num_crops == crops
      and row.aggregation == 'mean_probability'
    ]
    line = {'models': size, 'crops': crops, 'combinations': len(same)}
    for name in ('top5', 'top1'):
      wrong = [1 - means[name] for means in same]
      line[f'mean_{name}_error'] = float(np.mean(wrong))
      line[f'min_{name}_error'] = min(wrong)
      line[f'max_{name}_error'] = max(wrong)
    line['mean_loss'] = float(np.mean([means['loss'] for means in same]))
    found.append(line)
  return found
