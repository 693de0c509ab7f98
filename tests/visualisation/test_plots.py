"""Tests of the pictures: that they hold what they were given."""

import io
import math

import numpy as np
from PIL import Image
import pytest

from inception_jax.visualisation import plots

CHANCE = math.log(10)
HEADS = ('main', 'aux_4a', 'aux_4d')


def train_line(step):
  values = {'loss': 3.0, 'learning_rate': 0.01, 'gradient_norm': 1.0}
  for index, head in enumerate(HEADS):
    values[f'loss_{head}'] = CHANCE * 0.9 ** (step / 10) + 0.1 * index
    values[f'top1_{head}'] = 1 - 0.9 ** (step / 10)
  return {'step': step, 'train': values}


def evaluation_line(step, kinds=('raw',)):
  scores = {'top1': step / 100, 'top5': 1.0, 'loss': 2.0, 'num_images': 50}
  return {'step': step, 'evaluation': {kind: scores for kind in kinds}}


TRAIN = [train_line(step) for step in range(10, 60, 10)]
LINES = {
  'whole': [*TRAIN, evaluation_line(50, ('raw', 'ema'))],
  'mean_begins_late': [
    TRAIN[0],
    evaluation_line(20),
    *TRAIN[1:],
    evaluation_line(50, ('raw', 'polyak')),
  ],
  'no_evaluation': TRAIN,
  'no_training': [evaluation_line(50)],
  'one_step': [train_line(1)],
  'nothing': [],
}


def pixels(path):
  data = path.read_bytes()
  assert data.startswith(b'\x89PNG\r\n\x1a\n')
  return np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))


def assert_not_blank(path):
  image = pixels(path)
  assert min(image.shape[:2]) > 100
  assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10
  assert 0.001 < (image < 250).any(-1).mean() < 0.9


@pytest.mark.parametrize('case', LINES)
def test_learning_curves_render(case, tmp_path):
  figure = plots.learning_curves(iter(LINES[case]), CHANCE)
  path = tmp_path / 'curves.png'
  plots.save_figure(figure, path)
  assert_not_blank(path)


def curves(axes):
  return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def test_learning_curves_hold_the_lines():
  figure = plots.learning_curves(LINES['mean_begins_late'], CHANCE)
  losses, accuracies = map(curves, figure.axes)
  assert losses.keys() == {
    *(f'train {head}' for head in HEADS),
    'eval raw',
    'eval polyak',
    'ln(classes)',
  }
  for head in HEADS:
    for name, axes in (('loss', losses), ('top1', accuracies)):
      points = [[x['step'], x['train'][f'{name}_{head}']] for x in TRAIN]
      assert axes[f'train {head}'] == points
  assert losses['eval raw'] == [[20, 2.0], [50, 2.0]]
  assert accuracies['eval raw'] == [[20, 0.2], [50, 0.5]]
  assert accuracies['eval polyak'] == [[50, 0.5]]
  assert [y for _, y in losses['ln(classes)']] == [CHANCE, CHANCE]


def test_a_wild_evaluation_does_not_set_the_scale():
  wild = evaluation_line(10)
  wild['evaluation']['raw'] = {**wild['evaluation']['raw'], 'loss': 1e6}
  figure = plots.learning_curves([*TRAIN, wild], CHANCE)
  assert figure.axes[0].get_ylim()[1] < 10


def test_learning_rate_renders(tmp_path):
  epochs = np.linspace(0, 10, 50)
  values = 0.01 * 0.96 ** (epochs // 2)
  figure = plots.learning_rate(epochs, values)
  (axes,) = figure.axes
  (line,) = axes.lines
  np.testing.assert_array_equal(
    line.get_xydata(), np.stack([epochs, values], 1)
  )
  plots.save_figure(figure, tmp_path / 'rate.png')
  assert_not_blank(tmp_path / 'rate.png')


def test_image_grid_shows_the_pixels_under_their_titles(tmp_path):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (11, 6, 5, 3)).astype(np.uint8)
  titles = [f'class {index}' for index in range(11)]
  figure = plots.image_grid(images, titles, columns=4)
  assert len(figure.axes) == 12
  for axes, image, title in zip(figure.axes, images, titles, strict=False):
    (shown,) = axes.images
    np.testing.assert_array_equal(shown.get_array(), image)
    assert axes.get_title() == title
  assert not figure.axes[11].images
  plots.save_figure(figure, tmp_path / 'grid.png')
  assert_not_blank(tmp_path / 'grid.png')


def test_image_grid_draws_the_colours_it_was_given(tmp_path):
  colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
  images = np.broadcast_to(colours[:, None, None], (3, 8, 8, 3))
  path = tmp_path / 'grid.png'
  plots.save_figure(plots.image_grid(images, ['r', 'g', 'b'], 3), path)
  image = pixels(path)
  centres = []
  for colour in colours:
    rows, columns = np.nonzero((image == colour).all(-1))
    assert len(rows) > 1000
    centres.append(columns.mean())
  assert centres == sorted(centres)  # Left to right.


def test_one_image_makes_a_grid(tmp_path):
  image = np.full((1, 4, 4, 3), 9, np.uint8)
  plots.save_figure(plots.image_grid(image, ['one']), tmp_path / 'grid.png')
  assert pixels(tmp_path / 'grid.png').min() < 10


@pytest.mark.parametrize('title', ['$x^$', r'$\foo$', 'a$b', '5 % {} _ \\'])
def test_any_name_of_a_class_is_a_title(title, tmp_path):
  figure = plots.image_grid(np.zeros((1, 4, 4, 3), np.uint8), [title])
  plots.save_figure(figure, tmp_path / 'x.png')
  assert figure.axes[0].get_title() == title
