"""Tests of local response normalisation, against independent definitions."""

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax.models.local_response_norm import local_response_norm

LRN = {'depth': 11, 'alpha': 1e-4, 'beta': 0.5, 'k': 2.0}


def lrn_by_loop(x, depth, alpha, beta, k):
  """Krizhevsky et al. 2012, section 3.3, one number after another."""
  out = np.empty(x.shape, np.float64)
  for place in np.ndindex(x.shape):
    i = place[-1]
    window = x[place[:-1]][max(0, i - depth // 2) : i + depth // 2 + 1]
    total = np.sum(window.astype(np.float64) ** 2)
    out[place] = x[place] / (k + alpha * total) ** beta
  return out


@pytest.mark.parametrize(
  'constants',
  [
    LRN,
    {'depth': 5, 'alpha': 0.3, 'beta': 0.75, 'k': 1.0},
    {'depth': 1, 'alpha': 0.3, 'beta': 0.5, 'k': 1.0},
  ],
  ids=['google', 'caffe_like', 'depth_1'],
)
def test_lrn_equals_its_definition(constants):
  rng = np.random.default_rng(0)
  x = (40 * rng.standard_normal((2, 2, 3, 17))).astype(np.float32)
  y = local_response_norm(x, **constants)
  np.testing.assert_allclose(y, lrn_by_loop(x, **constants), rtol=1e-5)


def test_lrn_equals_tensorflow():
  tf = pytest.importorskip('tensorflow')
  rng = np.random.default_rng(0)
  x = (40 * rng.standard_normal((2, 5, 4, 24))).astype(np.float32)
  expected = tf.nn.local_response_normalization(
    x, depth_radius=5, bias=2.0, alpha=1e-4, beta=0.5
  ).numpy()
  assert np.abs(expected - x / np.sqrt(2)).max() > 1  # Alpha matters here.
  y = local_response_norm(x, **LRN)
  np.testing.assert_allclose(y, expected, rtol=1e-5)
  other = local_response_norm(x, **{**LRN, 'depth': 5})
  assert np.abs(other - expected).max() > 0.1


def test_lrn_of_bfloat16_is_computed_in_float32():
  x = 40 * jax.random.normal(jax.random.key(0), (2, 4, 4, 24))
  x = x.astype(jnp.bfloat16)
  y = local_response_norm(x, **LRN)
  assert y.dtype == jnp.bfloat16
  wide = local_response_norm(x.astype(jnp.float32), **LRN)
  np.testing.assert_array_equal(y, wide.astype(jnp.bfloat16))
  square = x * x
  assert square.dtype == jnp.bfloat16
  total = lax.reduce_window(
    square, jnp.bfloat16(0), lax.add, (1, 1, 1, 11), (1, 1, 1, 1), 'SAME'
  )
  narrow = x * lax.rsqrt(2 + jnp.bfloat16(1e-4) * total)
  assert np.any(np.asarray(narrow != y))  # Narrow arithmetic would show.


def test_lrn_refuses_even_depth():
  with pytest.raises(ValueError, match='odd, not 4'):
    local_response_norm(jnp.zeros((1, 1, 1, 8)), 4, 1e-4, 0.5, 2.0)
