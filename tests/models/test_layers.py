"""Tests of the layers, each against an independent definition."""

import re

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax.models import layers, pooling


class TwoDropouts(nn.Module):
  """Two layers of the same rate that differ in name only."""

  rate: float = 0.4

  @nn.compact
  def __call__(self, x, train, keys):
    return [
      layers.Dropout(self.rate, name=name)(x, train, keys)
      for name in ('first', 'second')
    ]


def test_dropout_masks_depend_on_key_and_name_alone():
  x = jnp.ones((6, 3, 50))
  keys = jax.random.split(jax.random.key(0), 6)
  first, second = TwoDropouts().apply({}, x, True, keys)
  assert np.any(np.asarray(first != second))
  for rows in (slice(0, 1), slice(1, 4), slice(4, 6)):
    part, _ = TwoDropouts().apply({}, x[rows], True, keys[rows])
    np.testing.assert_array_equal(part, first[rows])
  order = np.array([3, 0, 5, 1, 4, 2])
  moved, _ = TwoDropouts().apply({}, x, True, keys[order])
  np.testing.assert_array_equal(moved, first[order])
  masks = {np.asarray(mask != 0).tobytes() for mask in first}
  assert len(masks) == 6  # No two examples share a mask.


@pytest.mark.parametrize('rate', [0.4, 0.7])
def test_dropout_keeps_the_rate_and_the_mean(rate):
  x = jax.random.uniform(jax.random.key(1), (8, 10_000), minval=1, maxval=2)
  keys = jax.random.split(jax.random.key(0), 8)
  y, _ = TwoDropouts(rate).apply({}, x, True, keys)
  kept = np.asarray(y) != 0
  np.testing.assert_allclose(y[kept], (x / (1 - rate))[kept], rtol=1e-6)
  # Five standard deviations of a share of 80,000 coins.
  spread = 5 * np.sqrt(rate * (1 - rate) / x.size)
  assert abs(kept.mean() - (1 - rate)) < spread
  np.testing.assert_allclose(y.mean(), x.mean(), rtol=0.05)


def test_dropout_without_keys_uses_its_own_stream():
  x = jnp.ones((4, 100))
  masks = [
    TwoDropouts().apply({}, x, True, None, rngs={'dropout': jax.random.key(k)})
    for k in (0, 0, 1)
  ]
  np.testing.assert_array_equal(masks[0][0], masks[1][0])
  assert np.any(np.asarray(masks[0][0] != masks[2][0]))
  assert len({row.tobytes() for row in np.asarray(masks[0][0])}) == 4


def test_dropout_is_the_identity_where_it_should_be():
  x = jnp.arange(12.0).reshape(3, 4)
  keys = jax.random.split(jax.random.key(0), 3)
  for out in TwoDropouts().apply({}, x, False, keys):
    assert out is x
  for out in TwoDropouts(0.0).apply({}, x, True, keys):
    assert out is x


@pytest.mark.parametrize('window', [1, 3, 5])
def test_kernels_start_uniform_within_their_bound(window):
  block = layers.ConvBlock(24, 64, window=window)
  x = jnp.zeros((1, 8, 8, 24))
  params = block.init(jax.random.key(0), x, False)['params']
  kernel = np.asarray(params['kernel'])
  assert kernel.shape == (window, window, 24, 64)
  bound = np.sqrt(3 / (window * window * 24))  # Caffe's "xavier".
  assert np.abs(kernel).max() <= bound
  assert np.abs(kernel).max() > 0.99 * bound
  # Uniform: a quarter of the weights in each quarter of the range.
  counts, _ = np.histogram(kernel, bins=4, range=(-bound, bound))
  share = counts / kernel.size
  assert np.abs(share - 0.25).max() < 5 * np.sqrt(3 / 16 / kernel.size)
  np.testing.assert_array_equal(params['bias'], np.full(64, 0.2, np.float32))


@pytest.mark.parametrize('padding', ['same', 'symmetric'])
@pytest.mark.parametrize('size', [(9, 9), (8, 11), (7, 6)])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('window', [1, 3, 7])
def test_convolution_and_gradients_equal_the_library(
  window, stride, size, padding
):
  rng = np.random.default_rng(0)
  # Integers, so that sums are exact in any order.
  draw = lambda shape: jnp.asarray(rng.integers(-3, 4, shape), jnp.float32)
  x, kernel = draw((2, *size, 3)), draw((window, window, 3, 4))

  def ours(x, kernel):
    return layers.convolve(x, kernel, stride, padding, jnp.float32)

  def library(x, kernel):
    pads = 'SAME' if padding == 'same' else ((window // 2,) * 2,) * 2
    return lax.conv_general_dilated(
      x,
      kernel,
      (stride, stride),
      pads,
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )

  y = ours(x, kernel)
  np.testing.assert_array_equal(y, library(x, kernel))
  cotangent = draw(y.shape)
  expected = jax.vjp(library, x, kernel)[1](cotangent)
  found = jax.vjp(ours, x, kernel)[1](cotangent)
  assert all(np.count_nonzero(g) > 0 for g in expected)
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_array_equal(a, b)


def test_gradients_on_cpu_are_convolutions_of_one_layout():
  """XLA:CPU has no fast convolution of another inside loops."""

  def gradients(convolve):
    loss = lambda x, kernel: jnp.sum(convolve(x, kernel) ** 2)
    return jax.jit(jax.grad(loss, argnums=(0, 1)))

  def layouts(convolve, platform):
    traced = gradients(convolve).trace(
      jnp.zeros((2, 8, 8, 3)), jnp.zeros((3, 3, 3, 4))
    )
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    return re.findall(r'dim_numbers = (\S+),', text)

  def ours(x, kernel):
    return layers.convolve(x, kernel, 1, 'same', jnp.float32)

  def library(x, kernel):
    return lax.conv_general_dilated(
      x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )

  assert len(layouts(ours, 'cpu')) == 3
  assert len(set(layouts(ours, 'cpu'))) == 1
  assert len(set(layouts(library, 'cpu'))) > 1
  for platform in ('cuda', 'tpu'):
    assert layouts(ours, platform) == layouts(library, platform)


@pytest.mark.parametrize('padding', ['same', 'symmetric'])
@pytest.mark.parametrize('size', [(8, 8), (9, 12)])
@pytest.mark.parametrize('window', [4, 7])
def test_space_to_depth_equals_the_convolution(window, size, padding):
  pads = pooling.explicit_padding(padding, size, window, 2)
  rng = np.random.default_rng(0)
  draw = lambda shape: jnp.asarray(rng.integers(-3, 4, shape), jnp.float32)
  x, kernel = draw((2, *size, 3)), draw((window, window, 3, 4))

  def plain(x, kernel):
    return layers._plain_convolve(2, pads, x, kernel)

  def space_to_depth(x, kernel):
    return layers._space_to_depth_convolve(pads, x, kernel)

  expected, pullback = jax.vjp(plain, x, kernel)
  found, ours = jax.vjp(space_to_depth, x, kernel)
  np.testing.assert_array_equal(found, expected)
  cotangent = draw(expected.shape)
  gradients = pullback(cotangent)
  assert all(np.count_nonzero(g) > 0 for g in gradients)
  for a, b in zip(ours(cotangent), gradients, strict=True):
    np.testing.assert_array_equal(a, b)


def test_only_convolutions_of_pixels_are_space_to_depth_and_only_on_cuda():
  def strides(platform, channels, stride):
    def ours(x, kernel):
      return layers.convolve(x, kernel, stride, 'same', jnp.float32)

    traced = jax.jit(ours).trace(
      jnp.zeros((1, 8, 8, channels)), jnp.zeros((7, 7, channels, 4))
    )
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    return re.findall(r'stride = \[(\d)', text)

  assert strides('cuda', 3, 2) == ['1']
  assert strides('cuda', 8, 2) == strides('cpu', 3, 2) == ['2']
  assert strides('tpu', 3, 2) == ['2']


def test_conv_block_is_convolution_bias_and_relu():
  block = layers.ConvBlock(2, 3, window=3)
  x = jax.random.normal(jax.random.key(0), (1, 4, 4, 2))
  variables = block.init(jax.random.key(1), x, False)
  y = np.asarray(block.apply(variables, x, False))
  kernel, bias = (
    np.asarray(variables['params'][k]) for k in ('kernel', 'bias')
  )
  padded = np.pad(x[0], ((1, 1), (1, 1), (0, 0)))
  for row, column in np.ndindex(4, 4):
    patch = padded[row : row + 3, column : column + 3]
    expected = np.tensordot(patch, kernel, 3) + bias
    np.testing.assert_allclose(
      y[0, row, column], np.maximum(expected, 0), rtol=1e-4, atol=1e-5
    )
  assert (y == 0).any()
