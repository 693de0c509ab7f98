"""Tests of the network on many crops, and of what is made of the answers."""

import jax
import numpy as np
import pytest
import random_runs

from inception_jax.data import crops_144
from inception_jax.evaluation import crop_views

SPEC = crops_144.MultiCrop(
  32, (36, 40), ('first', 'last'), ('top_left', 'center', 'whole')
)


@pytest.fixture(scope='module')
def network():
  return random_runs.random_run('inception_v1_bn_shallow', 32)


def packed(count):
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (count, *SPEC.shape)).astype(np.uint8)


def test_every_crop_goes_through_the_network(network):
  images = packed(3)
  found = jax.jit(
    crop_views.create_crop_logits_fn(network.model, network.preprocessing, SPEC)
  )(network.variables, images)
  crops = np.concatenate(
    [
      crop_views.cut(part[:, place], SPEC)
      for part in crop_views.unpack(images, SPEC)
      for place in range(len(SPEC.squares))
    ],
    axis=1,
  )
  assert found.shape == (3, 24, random_runs.NUM_CLASSES)
  expected, _ = jax.jit(network.model.apply)(
    network.variables, network.preprocessing(crops.reshape(-1, 32, 32, 3))
  )
  assert np.ptp(expected, axis=0).min() > 0.01  # Crops differ.
  np.testing.assert_allclose(
    found.reshape(expected.shape), expected, rtol=0, atol=1e-4
  )


def closed_form(logits, how):
  """In float64, one image and class at a time."""
  logits = logits.astype(np.float64)
  shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  if how == 'mean_probability':
    result = shares.mean(1)
  elif how == 'max_probability':
    result = shares.max(1)
  else:
    result = np.exp(logits.mean(1))
  return result / result.sum(-1, keepdims=True)


@pytest.mark.parametrize('how', crop_views.AGGREGATIONS)
def test_aggregation(how):
  rng = np.random.default_rng(1)
  logits = (3 * rng.standard_normal((4, 6, 5))).astype(np.float32)
  expected = closed_form(logits, how)
  found = crop_views.aggregate(logits, how)
  np.testing.assert_allclose(np.exp(found), expected, rtol=1e-5)
  others = [closed_form(logits, x) for x in crop_views.AGGREGATIONS if x != how]
  for other in others:  # The three are three.
    assert np.abs(other - expected).max() > 0.01
  one = crop_views.aggregate(logits[:, :1], how)
  np.testing.assert_allclose(
    one, jax.nn.log_softmax(logits[:, 0]), rtol=1e-5, atol=1e-6
  )


def test_improbable_classes_do_not_become_impossible():
  logits = np.array([[[0.0, 200.0], [0.0, 190.0]]], np.float32)
  found = crop_views.aggregate(logits)
  assert found[0, 0] == pytest.approx(-190 - np.log(2), rel=1e-6)
