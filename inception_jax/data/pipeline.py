"""Encoded records to batches of uint8 images.

The host decodes, crops and resizes; everything with colours happens on the
devices (see `training.augment`), so that bytes cross and not floats.
"""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
import functools
import os

import numpy as np
import tensorflow as tf

from inception_jax.data import crops, order
from inception_jax.data import records as records_lib

# Batches that are decoded while the caller uses another.
_BATCHES_AHEAD = 2

# image uint8 [n, size, size, 3], label int32 [n], mask bool [n], slot int32
# [n]: the examples of this process, slot being the place in the global batch.
HostBatch = dict[str, np.ndarray]


def hide_accelerators() -> None:
  """Keeps TensorFlow from taking the memory of the GPUs that JAX uses."""
  tf.config.set_visible_devices([], 'GPU')


def train_batches(
  records: records_lib.Records,
  *,
  seed: int,
  start_step: int,
  num_train_steps: int,
  batch_size: int,
  slots: np.ndarray,
  image_size: int,
  area_range: tuple[float, float],
  aspect_ratio_range: tuple[float, float],
  num_threads: int | None = None,
) -> Iterator[HostBatch]:
  """Training batches from `start_step` on.

  Batch k is the same whether reached from 0 or asked for directly, and the
  global batch is the same however it is divided into `slots`.

  Args:
    records: training records.
    seed: seed of order and crops.
    start_step: step of the first batch.
    num_train_steps: step at which to end.
    batch_size: global batch size.
    slots: int `[n]`, places in the global batch that this process holds.
    image_size: height and width of the crops, pixels.
    area_range: see `crops.distorted_crop_window`.
    aspect_ratio_range: likewise.
    num_threads: threads that decode; None is one a core.

  Yields:
    Batches of n examples.
  """
  slots = np.asarray(slots, np.int32)

  def read(step):
    positions = order.example_positions(step, slots, batch_size)
    indices = order.record_indices(seed, positions, len(records))
    images, labels = records.read(indices)
    uniforms = order.example_uniforms(seed, positions, crops.UNIFORMS_PER_CROP)
    return images, labels, uniforms

  def crop(encoded, uniforms):
    window_fn = functools.partial(
      crops.distorted_crop_window,
      uniforms=uniforms,
      area_range=area_range,
      aspect_ratio_range=aspect_ratio_range,
    )
    image = crops.decode_window(encoded, window_fn, records.encoding)
    return crops.resize(image, image_size)

  steps = range(start_step, num_train_steps)
  mask = np.ones(len(slots), bool)
  for image, label in _decoded(read, crop, steps, num_threads):
    yield {'image': image, 'label': label, 'mask': mask, 'slot': slots}


def eval_batches(
  records: records_lib.Records,
  *,
  batch_size: int,
  slots: np.ndarray,
  image_size: int,
  crop_fraction: float,
  num_threads: int | None = None,
) -> Iterator[HostBatch]:
  """Every record once, in order; the last batch is padded and masked.

  Args:
    records: records to evaluate on.
    batch_size: global batch size.
    slots: int `[n]`, places in the global batch that this process holds.
    image_size: height and width of the crops, pixels.
    crop_fraction: see `crops.central_square_window`.
    num_threads: threads that decode; None is one a core.

  Yields:
    Batches of n examples; the number of batches is the same on all processes.
  """
  slots = np.asarray(slots, np.int32)
  num_steps = -(-len(records) // batch_size)

  def place(step):
    return order.example_positions(step, slots, batch_size)

  def read(step):
    # Padding repeats the last record.
    images, labels = records.read(np.minimum(place(step), len(records) - 1))
    return images, labels, np.zeros((len(slots), 1), np.float32)

  def crop(encoded, unused_uniforms):
    window_fn = functools.partial(
      crops.central_square_window, crop_fraction=crop_fraction
    )
    image = crops.decode_window(encoded, window_fn, records.encoding)
    return crops.resize(image, image_size)

  batches = _decoded(read, crop, range(num_steps), num_threads)
  for step, (image, label) in enumerate(batches):
    yield {
      'image': image,
      'label': label,
      'mask': place(step) < len(records),
      'slot': slots,
    }


def _decoded(
  read: Callable[[int], tuple[list[bytes], np.ndarray, np.ndarray]],
  crop: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
  steps: Iterable[int],
  num_threads: int | None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Images and labels of one step after the other, decoded ahead.

  Two Python threads each read a whole batch and have `tf.data` decode it in
  C++ threads; nothing in C++ ever calls back into Python. (A generator inside
  `tf.data` does, and hangs the interpreter when it exits half-way.)

  Args:
    read: from a step to encoded images, labels and random numbers.
    crop: from one encoded image and its random numbers to uint8 pixels.
    steps: steps to decode, in order.
    num_threads: threads that decode; None is one a core.

  Yields:
    uint8 `[n, size, size, 3]` and int32 `[n]` of each step.
  """
  options = tf.data.Options()
  options.threading.private_threadpool_size = num_threads or os.cpu_count() or 1
  options.deterministic = True

  @tf.function(
    input_signature=(
      tf.TensorSpec((None,), tf.string),
      tf.TensorSpec((None, None), tf.float32),
    )
  )
  def decode(encoded, uniforms):
    dataset = tf.data.Dataset.from_tensor_slices((encoded, uniforms))
    dataset = dataset.map(crop, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(tf.size(encoded, tf.int64))
    return dataset.with_options(options).get_single_element()

  def load(step):
    encoded, labels, uniforms = read(step)
    return decode(tf.constant(encoded), uniforms).numpy(), labels

  pending = collections.deque()
  with futures.ThreadPoolExecutor(_BATCHES_AHEAD) as pool:
    try:
      for step in steps:
        pending.append(pool.submit(load, step))
        if len(pending) > _BATCHES_AHEAD:
          yield pending.popleft().result()
      while pending:
        yield pending.popleft().result()
    finally:
      for future in pending:
        future.cancel()
