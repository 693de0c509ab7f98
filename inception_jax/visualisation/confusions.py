"""Figures of which class is taken for which."""

from collections.abc import Sequence

from matplotlib import figure as mpl_figure
import numpy as np

from inception_jax.visualisation import drawn_names

# Names of more classes could not be read.
MAX_NAMED_CLASSES = 50
_NAME_WIDTH = 24
_NUM_PAIRS = 30


def figure_of(counts: np.ndarray, names: Sequence[str]) -> mpl_figure.Figure:
  """The matrix, or of more classes than have room the commonest mistakes.

  Args:
    counts: int `[classes, classes]`, rows are labels, columns predictions.
    names: of the classes.
  """
  kept = np.flatnonzero(counts.sum(1))
  draw = pairs if len(kept) > MAX_NAMED_CLASSES else matrix
  return draw(counts, names)


def matrix(counts: np.ndarray, names: Sequence[str]) -> mpl_figure.Figure:
  """The confusion matrix, rows scaled to one; of classes with pictures."""
  kept = np.flatnonzero(counts.sum(1))
  total = counts.sum(1)[kept][:, None]
  counts = counts[np.ix_(kept, kept)]
  shares = counts / total
  side = min(max(4.0, 0.4 * len(kept)), 10.0)
  figure = mpl_figure.Figure(figsize=(side + 1.6, side), layout='constrained')
  axes = figure.subplots()
  drawn = axes.imshow(shares, 'viridis', vmin=0, vmax=1)
  axes.set(xlabel='predicted class', ylabel='class')
  if len(kept) <= MAX_NAMED_CLASSES:
    short = drawn_names.distinct(names, _NAME_WIDTH)
    short = [short[i] for i in kept]
    axes.set_xticks(range(len(kept)), short, rotation=90, fontsize=8)
    axes.set_yticks(range(len(kept)), short, fontsize=8)
    for i, j in np.argwhere(counts):
      axes.text(
        j,
        i,
        counts[i, j],
        ha='center',
        va='center',
        fontsize=7 if len(kept) <= 30 else 5,
        color='black' if shares[i, j] > 0.5 else 'white',
      )
  figure.colorbar(drawn, ax=axes, label='share of the class')
  return figure


def pairs(counts: np.ndarray, names: Sequence[str]) -> mpl_figure.Figure:
  """The commonest mistakes, as shares of the pictures of their class."""
  totals = counts.sum(1)
  wrong = counts.copy()
  np.fill_diagonal(wrong, 0)
  order = np.argsort(-wrong, axis=None, kind='stable')[:_NUM_PAIRS]
  found = [divmod(int(place), len(wrong)) for place in order]
  found = [(i, j) for i, j in found if wrong[i, j]]
  short = drawn_names.distinct(names, _NAME_WIDTH)
  height = max(2.0, 0.26 * len(found) + 1)
  figure = mpl_figure.Figure(figsize=(8.5, height), layout='constrained')
  axes = figure.subplots()
  axes.barh(range(len(found)), [wrong[i, j] / totals[i] for i, j in found])
  axes.set_yticks(
    range(len(found)),
    [
      f'{short[i]} → {short[j]} ({wrong[i, j]} of {totals[i]})'
      for i, j in found
    ],
    fontsize=8,
  )
  axes.invert_yaxis()
  axes.set(xlabel='share of the class', xlim=(0, 1))
  axes.grid(axis='x', alpha=0.3)
  right = int(np.trace(counts))
  axes.set_title(
    f'Commonest mistakes; {right:,} of {int(totals.sum()):,} images are right',
    fontsize=11,
  )
  return figure
