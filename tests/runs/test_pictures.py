"""What a run draws beside its plots."""

import numpy as np

from inception_jax.runs import pictures


def test_images_are_tiled_row_by_row():
  images = np.arange(5, dtype=np.uint8)[:, None, None, None] + np.ones(
    (1, 2, 3, 3), np.uint8
  )
  grid = pictures.tiled(images, 2)
  assert grid.shape == (6, 6, 3) and grid.dtype == np.uint8
  assert grid[::2, ::3, 0].tolist() == [[1, 2], [3, 4], [5, 0]]
  assert pictures.tiled(images[:1], 8).shape == (2, 3, 3)


def test_nothing_counted_is_no_event():
  confusions = object.__new__(pictures.Confusions)
  confusions.counts = np.zeros((2, 2), int)
  confusions.record(None, 3)  # Would fail if it drew.
  confusions.add(np.array([0, 0, 1]), np.array([1, 1, 1]))
  assert confusions.counts.tolist() == [[0, 2], [0, 1]]
