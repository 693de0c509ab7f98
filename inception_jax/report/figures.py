"""Figures of the report."""

from collections.abc import Sequence

from matplotlib import figure as mpl_figure
from matplotlib import ticker
import numpy as np

from inception_jax.evaluation import scores
from inception_jax.paper import results as paper_results
from inception_jax.report import comparison
from inception_jax.runtime import words
from inception_jax.visualisation import drawn_names

# Names of more classes could not be read.
_MAX_NAMED_CLASSES = 30
_NAME_WIDTH = 24


def error_against_cost(
  rows: Sequence[comparison.ComparisonRow],
  with_paper: bool,
  kinds: Sequence[str] = ('top5', 'top1'),
) -> mpl_figure.Figure:
  """Top-5 and top-1 error over the passes through a network for each picture.

  Args:
    rows: of `comparison.compare`; of each number of models the mean of its
      combinations is drawn, with the range from the best to the worst.
    with_paper: whether the paper's figures are of the same task.
    kinds: of errors, a panel each: see `comparison.kinds_of_errors`.
  """
  size = (1.4 + 5.8 * len(kinds), 4.6)
  figure = mpl_figure.Figure(figsize=size, layout='constrained')
  panels = figure.subplots(1, len(kinds), squeeze=False)[0]
  for axes, name in zip(panels, kinds, strict=True):
    for size in sorted({row.num_models for row in rows}):
      found = {}
      for row in rows:
        if row.num_models == size and row.aggregation == 'mean_probability':
          wrong = 100 * (1 - row.scores.means()[name])
          found.setdefault(row.cost, []).append(wrong)
      costs = sorted(found)
      means = [np.mean(found[cost]) for cost in costs]
      label = words.count(size, 'model')
      (line,) = axes.plot(costs, means, marker='o', markersize=4, label=label)
      axes.vlines(
        costs,
        [min(found[cost]) for cost in costs],
        [max(found[cost]) for cost in costs],
        color=line.get_color(),
        alpha=0.5,
      )
    if with_paper and name == 'top5':
      for size, marker in ((1, 's'), (7, 'D')):
        places = [x for x in paper_results.TABLE_3 if x[0] == size]
        axes.plot(
          [models * crops for models, crops in places],
          [100 * paper_results.TABLE_3[x] for x in places],
          color='black',
          linestyle=':',
          marker=marker,
          markersize=4,
          label=f'paper, {size} model{"s" if size > 1 else ""}, its full'
          ' validation set',
        )
    axes.set_xscale('log')
    # Plain numbers, also where there is no power of ten.
    axes.xaxis.set_major_formatter(ticker.LogFormatter())
    axes.xaxis.set_minor_formatter(ticker.LogFormatter(labelOnlyBase=False))
    axes.set(
      xlabel='models × crops',
      ylabel=f'{name.replace("top", "top-")} error (%)',
    )
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
  # Both have the same lines, and the left one the paper's too.
  handles, labels = figure.axes[0].get_legend_handles_labels()
  figure.legend(handles, labels, loc='outside right upper', fontsize=8)
  count = rows[0].scores.num_images
  figure.suptitle(
    f'Error against cost, {words.count(count, "image")}', fontsize=11
  )
  return figure


def reliability(calibration: scores.Calibration) -> mpl_figure.Figure:
  """Accuracy over confidence, and how many pictures have which."""
  figure = mpl_figure.Figure(figsize=(5.4, 5.6), layout='constrained')
  upper, lower = figure.subplots(
    2, 1, sharex=True, gridspec_kw={'height_ratios': [3, 1]}
  )
  edges = np.linspace(0, 1, len(calibration.counts) + 1)
  middles, width = (edges[1:] + edges[:-1]) / 2, edges[1]
  upper.bar(
    middles, np.nan_to_num(calibration.accuracy), width, edgecolor='white'
  )
  upper.plot([0, 1], [0, 1], color='black', linestyle=':')
  upper.set(ylabel='accuracy', xlim=(0, 1), ylim=(0, 1))
  upper.set_title(
    f'Reliability; expected calibration error {calibration.expected_error:.1%}',
    fontsize=11,
  )
  lower.bar(middles, calibration.counts, width, edgecolor='white')
  lower.set(xlabel='probability of the predicted class', ylabel='images')
  return figure


def _shortened(names: Sequence[str], kept: np.ndarray) -> list[str]:
  """Names of some classes, which are the same in all figures."""
  short = drawn_names.distinct(names, _NAME_WIDTH)
  return [short[i] for i in kept]


def class_accuracy(
  found: scores.Confusions, names: Sequence[str]
) -> mpl_figure.Figure:
  """Top-1 accuracy of each class with pictures, the worst first."""
  kept = np.flatnonzero(found.num_images)
  kept = kept[np.argsort(found.top1[kept], kind='stable')]
  is_named = len(kept) <= _MAX_NAMED_CLASSES
  height = max(2.6, 0.26 * len(kept) + 1) if is_named else 4.0
  figure = mpl_figure.Figure(figsize=(7.5, height), layout='constrained')
  axes = figure.subplots()
  if is_named:
    short = _shortened(names, kept)
    labels = [
      f'{name} ({count})'
      for name, count in zip(short, found.num_images[kept], strict=True)
    ]
    # At numbered places: bars at equal texts would be one bar.
    axes.barh(range(len(kept)), found.top1[kept])
    axes.set_yticks(range(len(kept)), labels)
    axes.invert_yaxis()
    axes.set(xlabel='top-1 accuracy', xlim=(0, 1))
    axes.grid(axis='x', alpha=0.3)
  else:
    axes.fill_between(np.arange(len(kept)), found.top1[kept], step='mid')
    axes.set(xlabel='classes, the worst first', ylabel='top-1 accuracy')
    axes.set(ylim=(0, 1), xlim=(0, len(kept) - 1))
    axes.grid(alpha=0.3)
  axes.set_title('Accuracy of each class (number of images)', fontsize=11)
  return figure
