"""Resizing in whole numbers against Pillow."""

import jax
import numpy as np
from PIL import Image
import pytest

from inception_jax.data import resampling


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('axis', [0, 1, None])
def test_the_same_pixels_as_pillow(seed, axis):
  rng = np.random.default_rng(seed)
  old = rng.integers(1, 90, 2).tolist()
  new = [max(1, round(length * rng.uniform(0.1, 3))) for length in old]
  if axis is not None:
    new[1 - axis] = old[1 - axis]
  elif old[0] / new[0] > old[1] / new[1]:
    # Pillow 13 begins with the height if that shrinks much more.
    new[0] = round(old[0] * new[1] / old[1]) + 1
  image = rng.integers(0, 256, (*old, 3), np.uint8)
  image[rng.random(old) < 0.3] = 255  # Sums at the very end.
  expected = Image.fromarray(image).resize(new[::-1], Image.Resampling.BILINEAR)
  rows, columns = map(resampling.bilinear_taps, old, new)
  found = jax.jit(resampling.resize)(image, rows, columns)
  np.testing.assert_array_equal(found, np.array(expected))


@pytest.mark.parametrize(
  ('length', 'resized', 'count'),
  [(512, 256, 5), (511, 256, 5), (513, 256, 7), (256, 256, 3), (1, 352, 3)],
)
def test_number_of_taps(length, resized, count):
  taps = resampling.bilinear_taps(length, resized)
  assert taps.shape == (resized, 1 + count)
  weights = taps[:, 1:] / 2**22
  np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
  # None of what lies beyond the end.
  places = taps[:, :1] + np.arange(count)
  assert not weights[places >= length].any()
