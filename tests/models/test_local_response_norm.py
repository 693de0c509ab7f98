"""Tests of local response normalisation, against independent definitions."""

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax.models import local_response_norm as module
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


@pytest.mark.parametrize('beta', [0.5, 0.75])
@pytest.mark.parametrize(
  'dtype, rtol', [(jnp.float32, 1e-5), (jnp.bfloat16, 2**-7)]
)
def test_band_equals_window_in_values_and_gradients(dtype, rtol, beta):
  constants = (11, 1e-3, beta, 2.0)
  rng = np.random.default_rng(0)
  x = jnp.asarray(20 * rng.standard_normal((2, 3, 4, 40)), dtype)
  cotangent = jnp.asarray(rng.standard_normal(x.shape), dtype)

  def by_window(x):
    y, pullback = jax.vjp(lambda x: module._by_window(x, *constants), x)
    return y, pullback(cotangent)[0]

  def by_band(x):
    y, total = module._by_band(x, *constants)
    assert y.dtype == total.dtype == dtype
    return y, module._by_band_grad(x, total, cotangent, *constants)

  expected, found = jax.jit(by_window)(x), jax.jit(by_band)(x)
  # What the gradient adds to that of a fixed scale matters here.
  y, gradient = (np.asarray(array, np.float32) for array in expected)
  fixed = y / np.asarray(x, np.float32) * np.asarray(cotangent, np.float32)
  assert np.abs(gradient - fixed).max() > 0.1 * np.abs(gradient).max()
  for ours, theirs in zip(found, expected, strict=True):
    ours, theirs = np.asarray(ours, np.float32), np.asarray(theirs, np.float32)
    atol = rtol * np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)


def test_each_backend_has_its_form():
  x = jnp.zeros((1, 2, 2, 16), jnp.bfloat16)
  gradient = jax.jit(
    lambda x: jax.vjp(lambda x: local_response_norm(x, **LRN), x)[1](x)
  )
  for platform, band in (('cpu', False), ('cuda', True), ('tpu', True)):
    text = gradient.trace(x).lower(lowering_platforms=(platform,)).as_text()
    assert ('dot_general' in text) == band, platform
    assert ('reduce_window' in text) != band, platform
