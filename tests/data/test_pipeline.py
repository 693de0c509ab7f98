"""Tests of the batches."""

import itertools

import numpy as np
import pytest

from inception_jax import errors
from inception_jax.data import pipeline, records


@pytest.fixture(scope='module')
def digits():
  return records.open_records('digits', 'train')


def train_batches(source, start, slots=None, batch_size=12, **overrides):
  arguments = {
    'seed': 0,
    'start_step': start,
    'num_train_steps': 10**6,
    'batch_size': batch_size,
    'slots': np.arange(batch_size) if slots is None else slots,
    'image_size': 16,
    'area_range': (0.5, 1.0),
    'aspect_ratio_range': (0.8, 1.25),
    **overrides,
  }
  return pipeline.train_batches(source, **arguments)


def nth(iterator, n):
  return next(itertools.islice(iterator, n, None))


def assert_same(first, second):
  assert first.keys() == second.keys()
  for name in first:
    np.testing.assert_array_equal(first[name], second[name])


def test_batch_is_the_same_reached_or_asked_for(digits):
  reached = nth(train_batches(digits, 0), 5)
  assert_same(reached, next(train_batches(digits, 5)))
  other = next(train_batches(digits, 6))
  assert (reached['image'] != other['image']).any()


def test_types_and_shapes(digits):
  batch = next(train_batches(digits, 0))
  assert batch['image'].shape == (12, 16, 16, 3)
  assert batch['image'].dtype == np.uint8
  assert batch['label'].dtype == np.int32 and batch['mask'].all()


@pytest.mark.parametrize('num_hosts', [2, 4])
def test_global_batch_does_not_depend_on_hosts(digits, num_hosts):
  whole = next(train_batches(digits, 3))
  parts = [
    next(train_batches(digits, 3, slots))
    for slots in np.split(np.arange(12), num_hosts)
  ]
  joined = {
    name: np.concatenate([part[name] for part in parts]) for name in whole
  }
  assert_same(joined, whole)


def test_one_epoch_has_every_record_once(digits):
  # 1,437 = 3 * 479: a batch size that divides the epoch.
  batches = train_batches(digits, 0, batch_size=479, num_train_steps=3)
  labels = np.concatenate([batch['label'] for batch in batches])
  _, expected = digits.read(np.arange(len(digits)))
  np.testing.assert_array_equal(np.sort(labels), np.sort(expected))


def test_crops_vary_from_epoch_to_epoch(digits):
  # The same record in two epochs is cut differently.
  first = next(train_batches(digits, 0, batch_size=1437, image_size=8))
  second = next(train_batches(digits, 1, batch_size=1437, image_size=8))
  pictures = {image.tobytes() for image in first['image']}
  again = sum(image.tobytes() in pictures for image in second['image'])
  assert again < 150


def test_abandoned_iterator_ends_its_threads(digits):
  batches = train_batches(digits, 0)
  next(batches)
  batches.close()
  assert next(batches, None) is None


@pytest.mark.parametrize('batch_size', [1437, 1000, 64, 2000])
def test_evaluation_has_every_image_once(digits, batch_size):
  batches = list(
    pipeline.eval_batches(
      digits,
      batch_size=batch_size,
      slots=np.arange(batch_size),
      image_size=8,
      crop_fraction=1.0,
    )
  )
  assert all(len(batch['image']) == batch_size for batch in batches)
  labels = np.concatenate([b['label'][b['mask']] for b in batches])
  np.testing.assert_array_equal(labels, digits.read(np.arange(1437))[1])


def test_hosts_have_the_same_number_of_evaluation_batches(digits):
  counts = []
  for slots in np.split(np.arange(1000), 2):
    batches = list(
      pipeline.eval_batches(
        digits,
        batch_size=1000,
        slots=slots,
        image_size=8,
        crop_fraction=1.0,
      )
    )
    counts.append([int(batch['mask'].sum()) for batch in batches])
  # The second host has nothing but padding in the last batch.
  assert counts == [[500, 437], [500, 0]]


def test_undecodable_record_is_named(digits):
  class Broken:
    name = 'broken train'
    encoding = 'png'

    def __len__(self):
      return 12

    def read(self, indices):
      images, labels = digits.read(indices)
      bad = [b'no image' if i == 7 else x for i, x in zip(indices, images)]  # noqa: B905
      return bad, labels

  with pytest.raises(errors.InputError, match='record 7 of broken train'):
    next(train_batches(Broken(), 0))
