"""Pictures of a run, as PNG."""

from collections.abc import Iterable, Mapping, Sequence
import io
from typing import Any

from etils import epath
from matplotlib import figure as mpl_figure
import numpy as np


def save_figure(figure: mpl_figure.Figure, path: epath.PathLike) -> None:
  """Writes a figure as PNG, to a local or remote path."""
  buffer = io.BytesIO()
  figure.savefig(buffer, format='png', dpi=110)
  epath.Path(path).write_bytes(buffer.getvalue())


def learning_curves(
  lines: Iterable[Mapping[str, Any]], chance_loss: float
) -> mpl_figure.Figure:
  """Loss of each head and accuracy of each kind of weights over the steps.

  Args:
    lines: of `metrics.jsonl`.
    chance_loss: loss of a head that has learnt nothing, nats.

  Returns:
    A figure of two panels.
  """
  lines = list(lines)
  train = [line for line in lines if 'train' in line]
  evaluations = [line for line in lines if 'evaluation' in line]
  figure = mpl_figure.Figure(figsize=(11, 4.2), layout='constrained')
  losses, accuracies = figure.subplots(1, 2)
  names = sorted(
    {name for line in train for name in line['train']}, reverse=True
  )
  train_losses = []
  for name in names:
    steps = [line['step'] for line in train]
    values = [line['train'][name] for line in train]
    if name.startswith('loss_'):
      train_losses += values
      losses.plot(steps, values, label=f'train {name[5:]}')
    elif name.startswith('top1_'):
      accuracies.plot(
        steps, values, label=f'train {name[5:]}', alpha=0.5, linewidth=1
      )
  for kind in _kinds(evaluations):
    points = [
      (line['step'], line['evaluation'][kind])
      for line in evaluations
      if kind in line['evaluation']
    ]
    steps = [step for step, _ in points]
    style = {'linestyle': '--', 'marker': 'o', 'markersize': 3}
    losses.plot(
      steps,
      [score['loss'] for _, score in points],
      label=f'eval {kind}',
      **style,
    )
    accuracies.plot(
      steps,
      [score['top1'] for _, score in points],
      label=f'eval {kind}',
      **style,
    )
  losses.axhline(chance_loss, color='grey', linestyle=':', label='ln(classes)')
  # An early evaluation of averaged statistics can be far off the scale.
  largest = max([chance_loss, *train_losses])
  losses.set(
    xlabel='step', ylabel='cross-entropy (nats)', ylim=(0, 1.2 * largest)
  )
  accuracies.set(xlabel='step', ylabel='top-1 accuracy', ylim=(0, 1.02))
  for axes in (losses, accuracies):
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
      axes.legend(fontsize=8)
  return figure


def _kinds(evaluations: Sequence[Mapping[str, Any]]) -> list[str]:
  """Names of the weights that were evaluated, in order of appearance."""
  return list(dict.fromkeys(k for e in evaluations for k in e['evaluation']))


def learning_rate(epochs: np.ndarray, values: np.ndarray) -> mpl_figure.Figure:
  """The learning rate over the epochs, both float `[n]`."""
  figure = mpl_figure.Figure(figsize=(6.4, 3.6), layout='constrained')
  axes = figure.subplots()
  axes.plot(epochs, values)
  axes.set(xlabel='epoch', ylabel='learning rate', ylim=(0, None))
  axes.grid(alpha=0.3)
  return figure


def image_grid(
  images: np.ndarray, titles: Sequence[str], columns: int = 8
) -> mpl_figure.Figure:
  """Contact sheet of images with titles.

  Args:
    images: uint8 `[n, height, width, 3]`.
    titles: one an image.
    columns: images in a row.

  Returns:
    A figure.
  """
  rows = -(-len(images) // columns)
  figure = mpl_figure.Figure(
    figsize=(1.5 * columns, 1.7 * rows), layout='constrained'
  )
  grid = figure.subplots(rows, columns, squeeze=False).ravel()
  for axes in grid:
    axes.axis('off')
  for axes, image, title in zip(grid, images, titles, strict=False):
    axes.imshow(image, interpolation='nearest')
    axes.set_title(title, fontsize=8)
  return figure
