"""Tests of figures: what is drawn, and where."""

import numpy as np
import pytest

from inception_jax.visualisation import activations as figures
from inception_jax.visualisation import features as feature_visualisation

RNG = np.random.default_rng(0)


def _images(axes):
  return [np.asarray(image.get_array()) for image in axes.get_images()]


def test_filters_are_scaled_one_by_one_around_grey():
  kernel = RNG.normal(size=(7, 7, 3, 10)).astype(np.float32)
  kernel[..., 1] *= 100
  kernel[..., 2] = 0
  figure = figures.draw_filters(kernel)
  drawn = [axes for axes in figure.axes if axes.get_images()]
  assert [axes.get_title() for axes in drawn] == [str(i) for i in range(10)]
  for number, axes in enumerate(drawn):
    (image,) = _images(axes)
    if number == 2:
      np.testing.assert_array_equal(image, 0.5)
      continue
    assert np.abs(image - 0.5).max() == pytest.approx(0.5)
    slope = (image - 0.5) / kernel[..., number]
    np.testing.assert_allclose(slope, slope[0, 0, 0], rtol=1e-4)
    assert slope[0, 0, 0] > 0
  assert '7×7' in figure.get_suptitle()


def test_strongest_channels():
  activations = np.zeros((2, 2, 4))
  activations[..., 1] = 2
  activations[0, 0, 2] = 9  # The largest mean.
  activations[0, 0, 3] = 8.5  # The mean is that of channel 1, almost.
  channels = figures.strongest_channels(activations, 3)
  assert channels == [2, 3, 1]
  assert all(isinstance(channel, int) for channel in channels)


def test_activations_show_the_strongest_channels():
  image = RNG.integers(256, size=(64, 64, 3)).astype(np.uint8)
  few, many = RNG.random((8, 8, 3)), RNG.random((4, 5, 20))
  figure = figures.draw_activations(image, {'conv1': few, 'inception_4c': many})
  picture, *places = [axes for axes in figure.axes if axes.get_images()]
  np.testing.assert_array_equal(_images(picture)[0], image)
  assert len(places) == 3 + 8
  for name, values, row in (
    ('conv1\n8×8×3', few, places[:3]),
    ('inception_4c\n4×5×20', many, places[3:]),
  ):
    assert row[0].texts[0].get_text() == name
    order = np.argsort(-values.mean((0, 1)))
    for axes, channel in zip(row, order, strict=False):
      assert axes.get_title() == f'channel {channel}'
      np.testing.assert_array_equal(_images(axes)[0], values[..., channel])
      assert axes.get_images()[0].get_clim() == (0, values[..., channel].max())


@pytest.mark.parametrize('num_classes', [1, 2, 3])
def test_heat_lies_where_the_map_is_large(num_classes):
  image = RNG.integers(256, size=(70, 70, 3)).astype(np.uint8)
  maps = np.full((7, 7, num_classes), -1.0)
  maps[1, 5, 0] = 4.0
  maps[5, 0, -1] += 3.0
  names = ['snow $ leopard $', 'lynx', 'tiger'][:num_classes]
  figure = figures.draw_heatmap(
    image, maps, names, np.array([0.987, 0.012, 0.0004])[:num_classes]
  )
  figure.canvas.draw()
  picture, *places = [axes for axes in figure.axes if axes.get_title()]
  np.testing.assert_array_equal(_images(picture)[0], image)
  assert len(places) == num_classes
  titles = [axes.get_title() for axes in places]
  assert (
    titles
    == [
      'snow $ leopard $\n98.7%',
      'lynx\n1.2%',
      'tiger\nbelow 0.1%',
    ][:num_classes]
  )
  # Dollars are dollars.
  assert not any(axes.title.get_parse_math() for axes in places)
  for number, axes in enumerate(places):
    below, heat = _images(axes)
    np.testing.assert_array_equal(below, image)
    assert heat.shape == (70, 70)
    drawn = axes.get_images()[1]
    assert drawn.get_clim() == (0, 4)  # The same for all.
    # Nothing is drawn where there is no evidence.
    np.testing.assert_array_equal(drawn.get_alpha() == 0, heat <= 0)
    if number in (0, num_classes - 1):
      row, column = (1, 5) if number == 0 else (5, 0)
      peak = np.argwhere(heat == heat.max()).mean(0)
      wanted = np.array([row, column]) * 10 + 4.5
      assert np.abs(peak - wanted).max() <= 5


def test_evidence_against_is_drawn_if_there_is_no_other():
  image = np.zeros((32, 32, 3), np.uint8)
  maps = np.array([[-3.0, -1.0], [-2.0, -2.5]])[..., None]
  figure = figures.draw_heatmap(image, maps, ['a'], np.ones(1))
  heat = figure.axes[1].get_images()[1]
  assert heat.get_clim() == (-3, -1)
  assert heat.get_alpha()[0, -1] > 0.5 and heat.get_alpha()[0, 0] == 0


def test_feature_says_from_where_to_where():
  values = np.concatenate([[0.25], np.full(31, 9.0), [8.0, 10.0] * 8])
  image = RNG.integers(256, size=(32, 32, 3)).astype(np.uint8)
  ascent = feature_visualisation.Ascent(image, values.astype(np.float32))
  channel = feature_visualisation.channel_feature('inception_4c', 17)
  (axes,) = figures.draw_feature(channel, ascent).axes
  np.testing.assert_array_equal(_images(axes)[0], image)
  assert axes.get_title() == (
    'inception_4c, channel 17\nmean activation 0.25 → 9'
  )
  of_class = channel._replace(end_point='logits', title='kit fox')
  (axes,) = figures.draw_feature(of_class, ascent).axes
  assert axes.get_title() == 'kit fox\nlogit 0.25 → 9'
  assert not axes.title.get_parse_math()
