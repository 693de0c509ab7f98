"""Encoded records to batches of uint8 images.

The host decodes, crops and resizes; everything with colours happens on the
devices (see `training.augment`), so that bytes cross and not floats.
"""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
import dataclasses
import functools
import os

from absl import logging
import numpy as np
import tensorflow as tf

from inception_jax import errors
from inception_jax.data import crops, order
from inception_jax.data import records as records_lib

# Batches that are decoded while the caller uses another.
_BATCHES_AHEAD = 2

# image uint8 [n, size, size, 3], label int32 [n], mask bool [n], slot int32
# [n]: the examples of this process, slot being the place in the global batch.
HostBatch = dict[str, np.ndarray]


def hide_accelerators() -> None:
  """Keeps TensorFlow from taking the memory of the GPUs that JAX uses."""
  try:
    tf.config.set_visible_devices([], 'GPU')
  except RuntimeError:  # A notebook has used TensorFlow already.
    logging.warning('TensorFlow has taken GPUs; restart to leave them to JAX')


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
    return indices, images, labels, uniforms

  decode = _create_decoder(
    _TrainCrop(image_size, records.encoding, area_range, aspect_ratio_range),
    num_threads,
  )
  steps = range(start_step, num_train_steps)
  mask = np.ones(len(slots), bool)
  for image, label in _decoded(read, decode, steps, records.name):
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
    indices = np.minimum(place(step), len(records) - 1)
    images, labels = records.read(indices)
    return indices, images, labels, np.zeros((len(slots), 1), np.float32)

  decode = _create_decoder(
    _EvalCrop(image_size, records.encoding, crop_fraction), num_threads
  )
  batches = _decoded(read, decode, range(num_steps), records.name)
  for step, (image, label) in enumerate(batches):
    yield {
      'image': image,
      'label': label,
      'mask': place(step) < len(records),
      'slot': slots,
    }


@dataclasses.dataclass(frozen=True)
class _TrainCrop:
  """From an encoded image and its random numbers to the training crop."""

  image_size: int
  encoding: str | None
  area_range: tuple[float, float]
  aspect_ratio_range: tuple[float, float]

  def __call__(self, encoded: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    window_fn = functools.partial(
      crops.distorted_crop_window,
      uniforms=uniforms,
      area_range=self.area_range,
      aspect_ratio_range=self.aspect_ratio_range,
    )
    image = crops.decode_window(encoded, window_fn, self.encoding)
    return crops.resize(image, self.image_size)


@dataclasses.dataclass(frozen=True)
class _EvalCrop:
  """From an encoded image to the evaluation crop."""

  image_size: int
  encoding: str | None
  crop_fraction: float

  def __call__(self, encoded: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    del uniforms  # Nothing is random here.
    window_fn = functools.partial(
      crops.central_square_window, crop_fraction=self.crop_fraction
    )
    image = crops.decode_window(encoded, window_fn, self.encoding)
    return crops.resize(image, self.image_size)


@functools.lru_cache(maxsize=16)
def _create_decoder(
  crop: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], num_threads: int | None
) -> Callable[[tf.Tensor, np.ndarray], tf.Tensor]:
  """Decodes a batch in C++ threads; traced once for each kind of crop.

  Args:
    crop: from one encoded image and its random numbers to uint8 pixels.
    num_threads: threads; None is one a core.

  Returns:
    A function from encoded images `[n]` and random numbers `[n, count]` to
    uint8 `[n, size, size, 3]`.
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

  return decode


def _decoded(
  read: Callable[[int], tuple[np.ndarray, list[bytes], np.ndarray, np.ndarray]],
  decode: Callable[[tf.Tensor, np.ndarray], tf.Tensor],
  steps: Iterable[int],
  name: str,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Images and labels of one step after the other, decoded ahead.

  Two Python threads each read a whole batch and have `tf.data` decode it in
  C++ threads; nothing in C++ ever calls back into Python. (A generator inside
  `tf.data` does, and hangs the interpreter when it exits half-way.)

  Args:
    read: from a step to indices, encoded images, labels and random numbers.
    decode: see `_create_decoder`.
    steps: steps to decode, in order.
    name: of the records, for messages.

  Yields:
    uint8 `[n, size, size, 3]` and int32 `[n]` of each step.
  """

  def load(step):
    indices, encoded, labels, uniforms = read(step)
    try:
      return decode(tf.constant(encoded), uniforms).numpy(), labels
    except tf.errors.InvalidArgumentError as error:
      raise _bad_image(decode, indices, encoded, uniforms, name) from error

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


def _bad_image(decode, indices, encoded, uniforms, name) -> errors.InputError:
  """Names the first record of a batch that cannot be decoded."""
  for place, image in enumerate(encoded):
    try:
      decode(tf.constant([image]), uniforms[place : place + 1])
    except tf.errors.InvalidArgumentError:
      index = indices[place]
      break
  return errors.InputError(
    f'record {index} of {name} is no image that can be decoded; prepare the'
    ' dataset again without it'
  )
