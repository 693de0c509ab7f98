"""Tests of what an experiment shows before it trains."""

import numpy as np
import pytest
import tiny_config

from inception_jax.data import crop_rules
from inception_jax.experiment import experiment, preview


@pytest.fixture(scope='module')
def built():
  config = tiny_config.get_plain_config()
  config.data.interpolations = crop_rules.INTERPOLATIONS
  return experiment.create_experiment(config)


def test_training_crops_are_what_the_network_sees():
  config = tiny_config.get_config()
  config.augmentation.mirror = True
  built = experiment.create_experiment(config)
  images, labels = preview.training_crops(built, step=3, count=8)
  batch = next(iter(built.train_batches(3)))
  np.testing.assert_array_equal(labels, batch['label'])
  mirrored = 0
  for image, source in zip(images, batch['image'], strict=True):
    same, flipped = (image == source).all(), (image == source[:, ::-1]).all()
    assert same or flipped
    mirrored += not same
  assert 0 < mirrored < 8
  config.augmentation.update({'mirror': False, 'brightness': 0.5})
  built = experiment.create_experiment(config)
  images, _ = preview.training_crops(built, step=3, count=8)
  for image, source in zip(images, batch['image'], strict=True):
    factor = image.sum() / source.sum()
    assert 0.5 < factor < 1.5 and abs(factor - 1) > 1e-3
    expected = np.clip(factor * source.astype(np.float64), 0, 255)
    if factor < 1:  # Else some of it is clipped, and the factor larger.
      np.testing.assert_allclose(image, expected, atol=2)


def test_pieces_are_all_there_and_all_differ(built):
  pieces = preview.pieces(built)
  assert list(pieces) == [
    'none',
    'crop area',
    'crop aspect ratio',
    *(f'resized {name}' for name in crop_rules.INTERPOLATIONS),
    'mirror',
    'brightness',
    'contrast',
    'saturation',
    'hue',
    'lighting_std',
    'all',
  ]
  pictures = {
    title: preview.training_crops(variant, step=0, count=8)[0]
    for title, variant in pieces.items()
  }
  # The digits are grey, which neither saturation nor hue changes.
  grey = [pictures.pop(name) for name in ('saturation', 'hue')]
  for picture in grey:
    assert np.abs(picture.astype(int) - pictures['none']).max() <= 1
  assert len({p.tobytes() for p in pictures.values()}) == len(pictures)
  np.testing.assert_array_equal(
    pictures['all'], preview.training_crops(built, step=0, count=8)[0]
  )


def test_pieces_that_a_config_lacks_are_not_shown():
  config = tiny_config.get_config()
  config.data.train_crop = 'center_square'
  pieces = preview.pieces(experiment.create_experiment(config))
  assert list(pieces) == ['none', 'all']
