"""Pictures of a run, as PNG."""

from collections.abc import Iterable, Mapping, Sequence
import io
import math
from typing import Any
import warnings

from etils import epath
import matplotlib
from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure
from matplotlib import text as mpl_text
import numpy as np

from inception_jax.visualisation import fonts


def to_png(figure: mpl_figure.Figure) -> bytes:
  """A figure as the contents of a PNG file.

  All text is drawn as it is: dollars and the like make no formulas.
  """
  buffer = io.BytesIO()
  texts = figure.findobj(mpl_text.Text)
  families = fonts.families(''.join(text.get_text() for text in texts))
  for text in texts:
    text.set_parse_math(False)
    text.set_fontfamily(families)
  with (
    # Of what comes yet.
    matplotlib.rc_context({'text.parse_math': False, 'font.family': families}),
    warnings.catch_warnings(),
  ):
    # Of characters that the font does not have, which are drawn as boxes.
    warnings.filterwarnings('ignore', 'Glyph .* missing')
    figure.savefig(buffer, format='png', dpi=110)
  return buffer.getvalue()


def save_figure(figure: mpl_figure.Figure, path: epath.PathLike) -> None:
  """Writes a figure as PNG, to a local or remote path."""
  epath.Path(path).write_bytes(to_png(figure))


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
  _plot_training(losses, accuracies, train)
  _plot_evaluations(losses, accuracies, evaluations)
  losses.axhline(chance_loss, color='grey', linestyle=':', label='ln(classes)')
  # An early evaluation of averaged statistics can be far off the scale.
  largest = max([chance_loss, *_losses_of(train)])
  losses.set(
    xlabel='step', ylabel='cross-entropy (nats)', ylim=(0, 1.2 * largest)
  )
  accuracies.set(xlabel='step', ylabel='top-1 accuracy', ylim=(0, 1.02))
  for axes in (losses, accuracies):
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
      axes.legend(fontsize=8)
  return figure


def _plot_training(
  losses: mpl_axes.Axes,
  accuracies: mpl_axes.Axes,
  lines: Sequence[Mapping[str, Any]],
) -> None:
  """One solid curve a head in each panel."""
  steps = [line['step'] for line in lines]
  names = {name for line in lines for name in line['train']}
  for name in sorted(names, reverse=True):
    values = [_number(line['train'].get(name)) for line in lines]
    label = f'train {name[5:]}'
    if name.startswith('loss_'):
      losses.plot(steps, values, label=label)
    elif name.startswith('top1_'):
      accuracies.plot(steps, values, label=label, alpha=0.5, linewidth=1)


def _number(value: float | None) -> float:
  """A value of a line; NaN, which is not drawn, where there is none."""
  return math.nan if value is None else value


def _losses_of(lines: Sequence[Mapping[str, Any]]) -> list[float]:
  """Losses of all heads at all steps, those that are numbers."""
  return [
    value
    for line in lines
    for name, value in line['train'].items()
    if name.startswith('loss_') and math.isfinite(_number(value))
  ]


def _plot_evaluations(
  losses: mpl_axes.Axes,
  accuracies: mpl_axes.Axes,
  lines: Sequence[Mapping[str, Any]],
) -> None:
  """One dashed curve a kind of weights in each panel."""
  style = {'linestyle': '--', 'marker': 'o', 'markersize': 3}
  for kind in _kinds(lines):
    there = [line for line in lines if kind in line['evaluation']]
    steps = [line['step'] for line in there]
    for axes, name in ((losses, 'loss'), (accuracies, 'top1')):
      values = [_number(line['evaluation'][kind].get(name)) for line in there]
      axes.plot(steps, values, label=f'eval {kind}', **style)


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
