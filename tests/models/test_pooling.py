"""Tests of pooling, each against an independent definition."""

import functools

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax.models import pooling, window_forms


def library_max_pool(x, stride, padding):
  pads = 'SAME' if padding == 'same' else ((1, 1), (1, 1))
  return nn.max_pool(x, (3, 3), (stride, stride), pads)


def pool_gradient(pool):
  def gradient(x, cotangent):
    return jax.vjp(pool, x)[1](cotangent)[0]

  return jax.jit(gradient)


@pytest.mark.parametrize('stride', [1, 2, 3])
@pytest.mark.parametrize('window', [1, 3, 5, 7])
def test_same_padding_is_that_of_xla(window, stride):
  for size in ((1, 1), (7, 8), (13, 224)):
    expected = lax.padtype_to_pads(
      size, (window, window), (stride, stride), 'SAME'
    )
    assert list(pooling.same_padding(size, window, stride)) == expected


def test_symmetric_padding_ignores_size_and_stride():
  for size in ((7, 8), (224, 224)):
    pads = pooling.explicit_padding('symmetric', size, 7, 2)
    assert pads == ((3, 3), (3, 3))


@pytest.mark.parametrize('window, stride', [(3, 2), (2, 2), (5, 3)])
def test_ceil_is_like_same_where_windows_begin_at_the_edge(window, stride):
  """And the last window holds at least one pixel of the picture."""
  for size in range(window, 40):
    (before, after), _ = pooling.explicit_padding(
      'ceil', (size, size), window, stride
    )
    assert before == 0 and 0 <= after < stride
    outputs = (size + after - window) / stride + 1
    assert outputs == -(-(size - window) // stride) + 1
    same = pooling.same_padding((size, size), window, stride)[0]
    if (window, stride) == (3, 2) and size % 2 == 0:
      assert same == (before, after)
  assert pooling.same_padding((9, 9), 3, 2)[0] == (1, 1)
  assert pooling.explicit_padding('ceil', (9, 9), 3, 2)[0] == (0, 0)


def test_average_at_the_edge_is_of_what_is_there():
  x = np.random.default_rng(0).random((2, 6, 14, 3), np.float32)
  y = pooling.avg_pool_ceil(jnp.asarray(x), 5, 3)
  assert y.shape == (2, 2, 4, 3)
  np.testing.assert_allclose(y[:, 1, 3], x[:, 3:, 9:].mean((1, 2)), rtol=1e-5)
  np.testing.assert_allclose(y[:, 0, 1], x[:, :5, 3:8].mean((1, 2)), rtol=1e-5)
  even = pooling.avg_pool_ceil(jnp.asarray(x[:, :, :8]), 5, 3)
  assert even.shape == (2, 2, 2, 3)


def test_unknown_padding_is_named():
  with pytest.raises(ValueError, match="not 'valid'"):
    pooling.explicit_padding('valid', (8, 8), 3, 1)


@pytest.mark.parametrize('padding', ['same', 'symmetric'])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [(7, 7), (8, 8), (9, 6), (3, 14)])
def test_max_pool_equals_the_library_on_ties(size, stride, padding):
  rng = np.random.default_rng(0)
  # Two values only, one of them zero as after a ReLU: nearly every window
  # has several maxima. Integers, so that sums are exact in any order.
  x = jnp.asarray(rng.integers(0, 2, (2, *size, 5)), jnp.float32)

  def ours(x):
    return pooling.max_pool(x, 3, stride, padding)

  def library(x):
    return library_max_pool(x, stride, padding)

  y = ours(x)
  np.testing.assert_array_equal(y, library(x))
  cotangent = jnp.asarray(rng.integers(-9, 10, y.shape), jnp.float32)
  expected = pool_gradient(library)(x, cotangent)
  assert np.count_nonzero(expected) > 0
  np.testing.assert_array_equal(pool_gradient(ours)(x, cotangent), expected)


@pytest.mark.parametrize(
  'window, stride, padding, dtype',
  [
    (3, 1, 'same', jnp.bfloat16),
    (3, 2, 'same', jnp.bfloat16),
    (3, 2, 'symmetric', jnp.float32),
    (3, 2, 'ceil', jnp.float32),
    (2, 2, 'ceil', jnp.float32),
    (5, 3, 'same', jnp.float32),
  ],
)
def test_forms_of_max_pool_are_equal_on_ties(window, stride, padding, dtype):
  size = 9, 14  # One is odd.
  sizes = (
    window,
    stride,
    pooling.explicit_padding(padding, size, window, stride),
  )
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.integers(0, 2, (2, *size, 5)), dtype)
  expected = window_forms.square(x, *sizes)
  y, places = window_forms.sliced_passes_with_places(x, *sizes)
  assert y.dtype == dtype and places.dtype == jnp.uint8
  values = {
    'two_passes': window_forms.two_passes(x, *sizes),
    'sliced_passes': window_forms.sliced_passes(x, *sizes),
    'with_places': y,
  }
  for name, value in values.items():
    np.testing.assert_array_equal(value, expected, err_msg=name)
  cotangent = jnp.asarray(rng.integers(-9, 10, y.shape), dtype)
  gradient = window_forms.square_grad(x, cotangent, *sizes)
  assert np.count_nonzero(gradient) > 0
  gradients = {
    'two_passes': window_forms.two_passes_grad(x, cotangent, *sizes),
    'gathered': window_forms.gathered(cotangent, x.shape, *sizes, places),
  }
  for name, value in gradients.items():
    assert value.dtype == dtype, name
    np.testing.assert_array_equal(value, gradient, err_msg=name)


def test_a_number_that_is_none_shows_in_every_form():
  x = jnp.zeros((1, 6, 6, 1)).at[0, 2, 3, 0].set(jnp.nan)
  sizes = 3, 2, ((0, 1), (0, 1))
  expected = np.isnan(window_forms.square(x, *sizes))
  assert expected.any() and not expected.all()
  for form in (window_forms.two_passes, window_forms.sliced_passes):
    np.testing.assert_array_equal(np.isnan(form(x, *sizes)), expected)


@pytest.mark.parametrize('size', [(14, 14), (7, 15)])
def test_gathered_gradient_of_the_mean_is_that_of_the_library(size):
  rng = np.random.default_rng(0)
  x = jnp.zeros((2, *size, 3))
  total = lambda x: 25 * nn.avg_pool(x, (5, 5), (3, 3))
  y, pullback = jax.vjp(total, x)
  cotangent = jnp.asarray(rng.integers(-9, 10, y.shape), jnp.float32)
  (expected,) = pullback(cotangent)
  found = window_forms.gathered(cotangent, x.shape, 5, 3, ((0, 0), (0, 0)))
  assert np.count_nonzero(expected) > 0
  np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)


def test_pools_have_the_form_of_their_backend():
  def programs(pool, size):
    gradient = pool_gradient(pool)
    traced = gradient.trace(
      jnp.zeros((1, 8, 8, 2)), jnp.zeros((1, size, size, 2))
    )
    return {
      platform: traced.lower(lowering_platforms=(platform,)).as_text()
      for platform in ('cpu', 'cuda', 'rocm', 'tpu')
    }

  texts = programs(lambda x: pooling.max_pool(x, 3, 2), 4)
  for platform, text in texts.items():
    # Not deterministic on GPUs.
    assert ('select_and_scatter' in text) == (platform == 'tpu'), platform
    assert ('optimization_barrier' in text) == (platform == 'cuda'), platform
  texts = programs(lambda x: pooling.avg_pool_valid(x, 5, 3), 2)
  for platform, text in texts.items():
    assert ('reduce_window' in text) == (platform != 'cuda'), platform


def test_max_pool_padding_never_wins():
  x = jnp.full((1, 5, 5, 1), -3.0)
  for padding in ('same', 'symmetric'):
    np.testing.assert_array_equal(pooling.max_pool(x, 3, 1, padding), x)


def test_avg_pool_valid_of_the_paper_head():
  x = jax.random.normal(jax.random.key(0), (2, 14, 14, 3))
  y = pooling.avg_pool_valid(x, 5, 3)
  assert y.shape == (2, 4, 4, 3)  # Szegedy et al. 2014, section 5.
  np.testing.assert_allclose(
    y[:, 1, 3], x[:, 3:8, 9:14].mean((1, 2)), rtol=1e-5, atol=1e-6
  )
  np.testing.assert_allclose(
    y, nn.avg_pool(x, (5, 5), (3, 3)), rtol=1e-5, atol=1e-6
  )


def adaptive_windows(length):
  """Rows that each of the four outputs averages, found with unit vectors."""
  rows = jnp.eye(length)[None, :, None, :]  # [1, rows, 1, channel = row]
  x = jnp.broadcast_to(rows, (1, length, length, length))
  pool = jax.jit(functools.partial(pooling.adaptive_avg_pool, size=4))
  by_row = pool(x)[0, :, 0]
  by_column = pool(x.swapaxes(1, 2))[0, 0]
  np.testing.assert_allclose(by_row, by_column, atol=1e-6)
  np.testing.assert_allclose(by_row.sum(-1), 1, atol=1e-6)
  return [list(np.flatnonzero(weights)) for weights in by_row]


def test_adaptive_pool_windows():
  assert adaptive_windows(14) == [
    [0, 1, 2, 3],
    [3, 4, 5, 6],
    [7, 8, 9, 10],
    [10, 11, 12, 13],
  ]
  assert adaptive_windows(8) == [[0, 1], [2, 3], [4, 5], [6, 7]]
  assert adaptive_windows(4) == [[0], [1], [2], [3]]
  assert adaptive_windows(2) == [[0], [0], [1], [1]]
