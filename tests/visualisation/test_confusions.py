"""Figures of which class is taken for which."""

import numpy as np

from inception_jax.visualisation import confusions, plots


def texts(axes):
  return [x.get_text() for x in axes.texts]


def test_few_classes_are_a_matrix_with_names():
  counts = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 5]])
  figure = confusions.figure_of(counts, ['cat', 'dog', 'owl'])
  axes = figure.axes[0]
  # There is no picture of the dog.
  assert [x.get_text() for x in axes.get_yticklabels()] == ['cat', 'owl']
  assert sorted(texts(axes)) == ['2', '3', '5']
  np.testing.assert_allclose(
    axes.images[0].get_array(), [[0.75, 0], [2 / 7, 5 / 7]]
  )
  assert plots.to_png(figure).startswith(b'\x89PNG')


def test_many_classes_are_their_commonest_mistakes():
  num = confusions.MAX_NAMED_CLASSES + 1
  counts = 10 * np.eye(num, dtype=int)
  counts[7, 9], counts[3, 4], counts[4, 3] = 5, 2, 1
  names = [f'class {i}' for i in range(num)]
  (axes,) = confusions.figure_of(counts, names).axes
  assert [x.get_text() for x in axes.get_yticklabels()] == [
    'class 7 → class 9 (5 of 15)',
    'class 3 → class 4 (2 of 12)',
    'class 4 → class 3 (1 of 11)',
  ]
  assert axes.get_title().endswith('510 of 518 images are right')
  # Nor does it fail where all are right.
  assert plots.to_png(confusions.figure_of(np.eye(num, dtype=int), names))


def test_as_many_as_have_names_have_room():
  num = confusions.MAX_NAMED_CLASSES
  figure = confusions.figure_of(np.ones((num, num), int), ['a long name'] * num)
  plots.to_png(figure)
  (_, bottom), (_, top) = (
    figure.axes[0].transData.transform((0, i)) for i in (num - 1, 0)
  )
  assert (top - bottom) / (num - 1) > 9  # Pixels of a line.
