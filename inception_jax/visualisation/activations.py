"""Figures of filters, activations and features."""

from collections.abc import Mapping, Sequence
import textwrap

import jax
from matplotlib import colors as mpl_colors
from matplotlib import figure as mpl_figure
import numpy as np

from inception_jax.visualisation import features as feature_visualisation
from inception_jax.visualisation import fonts

_NUM_CHANNELS = 8
_NUM_COLUMNS = 8
_MOST_OPAQUE = 0.7
# Values of single steps vary with the random transformation.
_NUM_LAST_STEPS = 16


def strongest_channels(activations: np.ndarray, count: int) -> list[int]:
  """Channels of `[height, width, channels]` by their mean, largest first."""
  means = activations.mean((0, 1))
  return np.argsort(-means, kind='stable')[:count].tolist()


def draw_filters(kernel: np.ndarray) -> mpl_figure.Figure:
  """The filters of the first layer, `[window, window, 3, filters]`, as RGB."""
  window, _, _, num_filters = kernel.shape
  rows = -(-num_filters // _NUM_COLUMNS)
  figure = mpl_figure.Figure(figsize=(7, 0.9 * rows + 0.9))
  top = 1 - 0.7 / (0.9 * rows + 0.9)
  grid = figure.subplots(
    rows,
    _NUM_COLUMNS,
    squeeze=False,
    gridspec_kw={'top': top, 'bottom': 0.02, 'left': 0.02, 'right': 0.98},
  ).ravel()
  for axes in grid:
    axes.axis('off')
  largest = np.abs(kernel).max((0, 1, 2))
  # A filter of zeros is grey.
  scaled = 0.5 + 0.5 * kernel / np.where(largest > 0, largest, 1)
  for number in range(num_filters):
    grid[number].imshow(scaled[..., number], interpolation='nearest')
    grid[number].set_title(str(number), fontsize=7, pad=2)
  figure.suptitle(
    f'Filters of conv1, {window}×{window} pixels, red, green and blue\n'
    'each scaled to its own largest weight; grey is zero',
    fontsize=9,
  )
  return figure


def draw_activations(
  image: np.ndarray, end_points: Mapping[str, np.ndarray]
) -> mpl_figure.Figure:
  """A picture beside the strongest channels of some end points.

  Args:
    image: uint8 `[size, size, 3]`.
    end_points: by name, `[height, width, channels]`.

  Returns:
    A figure with a row for each end point.
  """
  height = max(1.35 * len(end_points), 2.7) + 0.45
  figure = mpl_figure.Figure(figsize=(15, height))
  top, bottom = 1 - 0.68 / height, 0.08 / height
  picture = figure.add_axes((0.01, bottom, 0.25, top - bottom))
  picture.imshow(image)
  picture.axis('off')
  picture.set_title('what the network sees', fontsize=9)
  grid = figure.subplots(
    len(end_points),
    _NUM_CHANNELS,
    squeeze=False,
    gridspec_kw={
      'left': 0.345,
      'right': 0.99,
      'top': top,
      'bottom': bottom,
      'hspace': 0.25,
      'wspace': 0.05,
    },
  )
  for row, (name, values) in zip(grid, end_points.items(), strict=True):
    for axes in row:
      axes.axis('off')
    channels = strongest_channels(values, _NUM_CHANNELS)
    for axes, channel in zip(row, channels, strict=False):
      axes.imshow(values[..., channel], 'magma', vmin=0)
      axes.set_title(f'channel {channel}', fontsize=8, pad=3)
    shape = '×'.join(str(length) for length in values.shape)
    row[0].text(
      -0.12,
      0.5,
      f'{name}\n{shape}',
      transform=row[0].transAxes,
      ha='right',
      va='center',
      fontsize=9,
    )
  figure.suptitle(
    'Channels with the largest mean, strongest first; each from black (0) to'
    ' its own largest value',
    fontsize=10,
  )
  return figure


def draw_heatmap(
  image: np.ndarray,
  maps: np.ndarray,
  names: Sequence[str],
  probabilities: np.ndarray,
) -> mpl_figure.Figure:
  """A picture, and over it where each of some classes is seen.

  The places of a map are drawn as if they tiled the picture: with the authors'
  weights, the gradient of the middle one is centred at pixel 113 of 224.

  Args:
    image: uint8 `[size, size, 3]`.
    maps: `[height, width, n]`, see `class_activation_maps`.
    names: of the n classes.
    probabilities: `[n]`.

  Returns:
    A figure: the picture, the first map, and smaller ones of the rest.
  """
  rest = [f'rest{number}' for number in range(len(names) - 1)] or ['.']
  layout = [['picture', 'first', name] for name in rest]
  figure = mpl_figure.Figure(figsize=(12, 4.9), layout='constrained')
  axes = figure.subplot_mosaic(
    layout, width_ratios=[2, 2, 1], empty_sentinel='.'
  )
  axes['picture'].set_title('what the network sees', fontsize=11)
  sizes = (len(image),) * 2
  # One scale for all. Evidence against a class is not drawn, unless there is
  # no other, as before training.
  low = 0 if maps.max() > 0 else maps.min()
  norm = mpl_colors.Normalize(low, maps.max(), clip=True)
  for number, name in enumerate(names):
    place = axes[rest[number - 1] if number else 'first']
    large = jax.image.resize(maps[..., number], sizes, 'linear')
    large = jax.device_get(large)
    place.imshow(image)
    drawn = place.imshow(
      large, 'turbo', norm=norm, alpha=_MOST_OPAQUE * norm(large)
    )
    title = textwrap.fill(name, 20 if number else 36)
    place.set_title(
      f'{title}\n{_percent(probabilities[number])}',
      fontsize=9 if number else 11,
      parse_math=False,
    )
  axes['picture'].imshow(image)
  for place in axes.values():
    place.axis('off')
  figure.colorbar(
    drawn,
    ax=list(axes.values()),
    fraction=0.025,
    label='logit of each place; their mean is that of the picture',
  )
  return figure


def draw_feature(
  feature: feature_visualisation.Feature, ascent: feature_visualisation.Ascent
) -> mpl_figure.Figure:
  """What excites a feature, with the objective from where to where."""
  figure = mpl_figure.Figure(figsize=(4.8, 5.3), layout='constrained')
  axes = figure.subplots()
  axes.imshow(ascent.image, interpolation='bicubic')
  axes.axis('off')
  what = 'logit' if feature.end_point == 'logits' else 'mean activation'
  first, last = ascent.values[0], ascent.values[-_NUM_LAST_STEPS:].mean()
  title = textwrap.fill(fonts.drawable(feature.title), 40)
  axes.set_title(
    f'{title}\n{what} {first:.4g} → {last:.4g}',
    fontsize=10,
    parse_math=False,
  )
  return figure


def _percent(probability: float) -> str:
  return f'{probability:.1%}' if probability >= 0.001 else 'below 0.1%'
