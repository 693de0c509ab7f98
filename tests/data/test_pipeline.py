"""Tests of the batches."""

import collections
import itertools
import os
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from inception_jax.data import batch_decoding, crop_rules, pipeline, records


@pytest.fixture(scope='module')
def digits():
  return records.open_records('digits', 'train')


def crop(size):
  return crop_rules.DistortedCrop(
    size,
    area_range=(0.5, 1.0),
    aspect_ratio_range=(0.8, 1.25),
    aspect_ratio_law='log_uniform',
    interpolations=crop_rules.INTERPOLATIONS,
  )


def eval_batches(source, batch_size, slots=None, **overrides):
  return pipeline.eval_batches(
    source,
    batch_size=batch_size,
    slots=np.arange(batch_size) if slots is None else slots,
    crop=crop_rules.EvaluationCrop(8, 'center_square'),
    **overrides,
  )


def train_batches(source, start, slots=None, batch_size=12, **overrides):
  arguments = {
    'seed': 0,
    'start_step': start,
    'num_train_steps': 10**6,
    'batch_size': batch_size,
    'slots': np.arange(batch_size) if slots is None else slots,
    'crop': crop(16),
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
  first = next(train_batches(digits, 0, batch_size=1437, crop=crop(8)))
  second = next(train_batches(digits, 1, batch_size=1437, crop=crop(8)))
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
  batches = list(eval_batches(digits, batch_size))
  assert all(len(batch['image']) == batch_size for batch in batches)
  labels = np.concatenate([b['label'][b['mask']] for b in batches])
  np.testing.assert_array_equal(labels, digits.read(np.arange(1437))[1])
  assert not any(b['skipped'].any() for b in batches)


def test_hosts_have_the_same_number_of_evaluation_batches(digits):
  counts = []
  for slots in np.split(np.arange(1000), 2):
    batches = eval_batches(digits, 1000, slots)
    counts.append([int(batch['mask'].sum()) for batch in batches])
  # The second host has nothing but padding in the last batch.
  assert counts == [[500, 437], [500, 0]]


@pytest.mark.parametrize(
  ('num_threads', 'expected'),
  [
    (1, (1,)),
    (2, (1, 1)),
    (3, (1, 1, 1)),
    (4, (2, 1, 1)),
    (5, (2, 2, 1)),
    (8, (3, 3, 2)),
    (96, (32, 32, 32)),
    (1000, (32, 32, 32)),
  ],
)
def test_threads_are_divided_over_the_batches_in_flight(
  num_threads, expected, monkeypatch
):
  monkeypatch.setattr(pipeline.ahead, 'num_cores', lambda: 96)
  assert pipeline.divide_threads(num_threads) == expected


def test_batches_use_all_threads_and_no_more(digits, monkeypatch):
  used, lock = collections.Counter(), threading.Lock()
  at_once = []
  decode_batch = pipeline.batch_decoding.decode_batch

  def decode(encoded, uniforms, crop, num_threads, num_waiting):
    with lock:
      used[num_threads] += 1
      at_once.append(sum(used.elements()))
    time.sleep(0.05)
    try:
      return decode_batch(encoded, uniforms, crop, num_threads, num_waiting)
    finally:
      with lock:
        used[num_threads] -= 1

  monkeypatch.setattr(pipeline.ahead, 'num_cores', lambda: 5)
  monkeypatch.setattr(pipeline.batch_decoding, 'decode_batch', decode)
  list(train_batches(digits, 0, num_train_steps=12, num_threads=5))
  assert max(at_once) == 5


def test_one_image_is_decoded_at_once_where_one_is_asked(digits, monkeypatch):
  running, most, lock = [0], [0], threading.Lock()

  def cut():
    with lock:
      running[0] += 1
      most[0] = max(most[0], running[0])
    time.sleep(0.01)
    with lock:
      running[0] -= 1
    return np.zeros((9, 9, 3), np.uint8)

  def slow_crop(encoded, spec, known_jpeg=False):
    return tf.ensure_shape(tf.numpy_function(cut, [], tf.uint8), (9, 9, 3))

  monkeypatch.setattr(pipeline.ahead, 'num_cores', lambda: 8)
  monkeypatch.setattr(batch_decoding.cropping, 'evaluation_crop', slow_crop)
  batch_decoding._create_decode_fn.cache_clear()
  try:
    list(eval_batches(digits, 20, num_threads=1, stop=60))
  finally:  # For no other test.
    batch_decoding._create_decode_fn.cache_clear()
  assert most[0] == 1


def test_operations_are_not_divided_over_threads():
  crop = crop_rules.EvaluationCrop(8, 'center_square')
  for tolerant in (False, True):
    decode = batch_decoding._create_decode_fn(crop, 2, tolerant=tolerant)
    operations = [x.type for x in decode.graph.get_operations()]
    # Of TensorFlow's own library, and unseen in the pixels: only in the time.
    assert operations.count('MaxIntraOpParallelismDataset') == 1


def test_where_all_cores_decode_images_wait_for_them(digits, monkeypatch):
  asked = []
  decode_batch = batch_decoding.decode_batch

  def decode(encoded, uniforms, crop, num_threads, num_waiting):
    asked.append((num_threads, num_waiting))
    return decode_batch(encoded, uniforms, crop, num_threads, num_waiting)

  monkeypatch.setattr(batch_decoding, 'decode_batch', decode)
  monkeypatch.setattr(pipeline.ahead, 'num_cores', lambda: 8)
  for num_threads in (None, 8, 7):
    list(eval_batches(digits, 9, num_threads=num_threads, stop=9))
  assert asked == [(3, 3), (3, 3), (3, 0)]


def test_cores_are_those_that_the_process_may_use(monkeypatch):
  monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {3}, raising=False)
  assert pipeline.divide_threads(None) == (1,)
  monkeypatch.delattr(os, 'sched_getaffinity')  # As on a Mac.
  monkeypatch.setattr(os, 'cpu_count', lambda: 2)
  assert pipeline.divide_threads(None) == (1, 1)
