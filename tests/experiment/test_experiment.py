"""Tests of what an experiment's data and augmentation are together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_config

from inception_jax.data import crop_rules
from inception_jax.experiment import experiment
from inception_jax.training import augment

BATCH_SIZE = 8
# The batch that ends the first epoch of 100 digits and begins the second.
STEP = 100 // BATCH_SIZE


@pytest.fixture(scope='module')
def built():
  config = tiny_config.get_plain_config()
  config.data.train_split = 'train[:100]'
  config.data.interpolations = crop_rules.INTERPOLATIONS
  config.data.area_range = (0.08, 1.0)
  config.train.num_train_steps = STEP + 2
  return experiment.create_experiment(config)


def pixels(built, step, slots, reached_from):
  """What the network sees of `slots` of a batch, and their labels."""
  batches = built.dataset.train_batches(
    seed=built.options.seed,
    start_step=reached_from,
    num_train_steps=built.num_train_steps,
    batch_size=BATCH_SIZE,
    slots=slots,
  )
  for _ in range(step - reached_from + 1):
    batch = next(batches)
  batches.close()
  keys = augment.example_keys(built.keys[1], jnp.int32(step), batch['slot'])
  images = jax.jit(built.augmentation)(batch['image'], keys)
  return np.asarray(built.preprocessing(images)), batch['label']


@pytest.mark.parametrize('num_hosts', [1, 2, 4])
@pytest.mark.parametrize('reached_from', [0, STEP - 1, STEP])
def test_every_pixel_is_the_same_for_any_hosts_and_after_a_resume(
  built, num_hosts, reached_from
):
  augmentation = built.augmentation
  assert augmentation.mirror and augmentation.hue and augmentation.contrast
  whole, labels = pixels(built, STEP, np.arange(BATCH_SIZE), STEP)
  parts = [
    pixels(built, STEP, slots, reached_from)
    for slots in np.split(np.arange(BATCH_SIZE), num_hosts)
  ]
  joined = np.concatenate([part for part, _ in parts])
  np.testing.assert_array_equal(joined, whole)
  np.testing.assert_array_equal(
    np.concatenate([part for _, part in parts]), labels
  )
  # The next batch is another.
  later, _ = pixels(built, STEP + 1, np.arange(BATCH_SIZE), STEP + 1)
  assert (later != whole).any()


def test_the_profile_says_how_to_evaluate_unless_the_config_does():
  config = tiny_config.get_config()
  config.data.eval_crop = None
  built = experiment.create_experiment(config)
  assert built.dataset.eval_crop.name == 'shorter_side'
  config.data.eval_crop = 'warp'
  built = experiment.create_experiment(config)
  assert built.dataset.eval_crop.name == 'warp'
  assert built.dataset.eval_crop.size == config.data.image_size
