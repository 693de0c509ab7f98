"""Names that users chose, in figures, tables and logs."""

import io

from matplotlib import figure as mpl_figure
import numpy as np
import odd_names
from PIL import Image
import pytest

from inception_jax.evaluation import scores
from inception_jax.report import figures
from inception_jax.visualisation import (
  activations,
  drawn_names,
  fonts,
  plots,
)
from inception_jax.visualisation import confusions as confusions_lib

ODD = odd_names.NAMES


def test_different_names_look_different():
  same_beginning = [f'Canon EOS 5D Mark IV, lens {i}' for i in range(30)]
  for names in (same_beginning, [f'{"a" * 90}{i}{"b" * 90}' for i in range(9)]):
    found = drawn_names.distinct(names, 24)
    assert len(set(found)) == len(names)
    assert max(map(len, found)) <= 24 + len(' [29]')
  assert drawn_names.distinct(['tench, Tinca tinca', 'cat'], 24) == [
    'tench',
    'cat',
  ]
  found = drawn_names.distinct(ODD, 24)
  assert len(set(found)) == len(ODD)
  assert all(x.isprintable() and x.strip() for x in found)


def test_equal_beginnings_have_bars_of_their_own():
  names = [f'Canon EOS 5D Mark IV, lens {i}' for i in range(30)]
  confusions = scores.Confusions(30)
  labels = np.repeat(np.arange(30), 2)
  answers = np.where(np.arange(60) % 2, labels, 0)
  log_probs = np.full((60, 30), -5.0, np.float32)
  log_probs[np.arange(60), answers] = -0.1
  confusions.add(log_probs, labels)
  (axes,) = figures.class_accuracy(confusions, names).axes
  places = {bar.get_y() for bar in axes.patches}
  assert len(places) == len(axes.patches) == 30
  widths = sorted(bar.get_width() for bar in axes.patches)
  assert widths == [0.5] * 29 + [1.0]
  shown = [text.get_text() for text in axes.get_yticklabels()]
  assert len(set(shown)) == 30 and all('(2)' in text for text in shown)


@pytest.mark.filterwarnings('error')
def test_figures_show_odd_names_as_they_are():
  image = np.zeros((8, 8, 3), np.uint8)
  count = len(ODD)
  confusions = scores.Confusions(count)
  confusions.add(
    np.log(np.eye(count, dtype=np.float32) + 0.1), np.arange(count)
  )
  heatmap = activations.draw_heatmap(
    image,
    np.ones((2, 2, 4), np.float32),
    drawn_names.distinct(ODD[:4], 60),
    np.full(4, 0.25),
  )
  for figure in (
    plots.image_grid([image] * count, drawn_names.distinct(ODD, 18)),
    confusions_lib.matrix(confusions.matrix, ODD),
    figures.class_accuracy(confusions, ODD),
    heatmap,
  ):
    with Image.open(io.BytesIO(plots.to_png(figure))) as picture:
      assert min(picture.size) > 100


def test_text_is_no_formula():
  def pixels(text):
    figure = mpl_figure.Figure(figsize=(3, 1))
    axes = figure.subplots()
    axes.set_title(text)
    axes.set_xticks([0.5], [text])
    with Image.open(io.BytesIO(plots.to_png(figure))) as picture:
      return np.asarray(picture)

  # As a formula it would be narrower than with one dollar.
  for plain, formula in (('$a^b$', r'\$a^b\$'), ('$x_y$', r'\$x_y\$')):
    assert (pixels(plain) != pixels(formula)).any()
  assert (pixels('$ab$') != pixels('ab')).any()


def test_characters_without_a_font_are_escapes_and_not_boxes(
  monkeypatch, caplog
):
  monkeypatch.setattr(fonts, '_fallback', lambda character: None)
  fonts._warn.cache_clear()
  found = drawn_names.distinct(['猫', '犬', 'Größe', 'кошка'], 24)
  assert found == [r'\u732b', r'\u72ac', 'Größe', 'кошка']
  assert fonts.families('猫') == ['DejaVu Sans']
  assert len(caplog.messages) == 1 and 'Noto Sans CJK' in caplog.messages[0]


def test_characters_of_another_font_are_drawn_in_it(monkeypatch):
  monkeypatch.setattr(
    fonts, '_fallback', {'猫': 'DejaVu Serif', '犬': None}.get
  )
  assert drawn_names.distinct(['猫犬'], 24) == [r'猫\u72ac']
  assert fonts.families('a猫\n') == ['DejaVu Sans', 'DejaVu Serif']


def test_a_class_has_one_name_in_all_figures():
  names = ['', 'b', ' ', 'c']
  confusions = scores.Confusions(4)
  log_probs = np.log(np.eye(4, dtype=np.float32)[[3, 1, 2, 3]] + 0.1)
  confusions.add(log_probs, np.array([0, 1, 2, 2]))
  (axes,) = figures.class_accuracy(confusions, names).axes
  bars = {x.get_text().rpartition(' ')[0] for x in axes.get_yticklabels()}
  axes = confusions_lib.matrix(confusions.matrix, names).axes[0]
  assert bars == {x.get_text() for x in axes.get_yticklabels()}
  assert bars == {'(no name) [0]', 'b', '(no name) [2]'}
