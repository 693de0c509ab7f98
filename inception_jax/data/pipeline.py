"""Encoded records to batches of uint8 images.

The host decodes, crops and resizes; everything with colours happens on the
devices (see `training.augment`), so that bytes cross and not floats.
"""

from collections.abc import Callable, Iterable, Iterator
import queue
import threading
from typing import TypeVar

from absl import logging
import numpy as np
import tensorflow as tf

from inception_jax.data import (
  ahead,
  batch_decoding,
  crop_rules,
  cropping,
  crops_144,
  order,
)
from inception_jax.data import records as records_lib
from inception_jax.runtime import errors

# Batches that are decoded, or wait, while the caller uses another.
_BATCHES_AHEAD = 3
# More records than this share of the set that cannot be decoded are too many
# to go on without; one is always allowed.
MAX_BAD_SHARE = 0.01

# image uint8 [n, *crop.shape], label int32 [n], slot int32 [n]: the examples
# of this process, slot being the place in the global batch. mask and skipped,
# bool [n]: whether an example counts, and whether it does not because its
# image is bad (what is neither is padding).
HostBatch = dict[str, np.ndarray]
T = TypeVar('T')


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
  crop: batch_decoding.CropSpec,
  num_threads: int | None = None,
  on_bad_image: str = 'fail',
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
    crop: how images are cut.
    num_threads: threads that decode, at most one a core; None is one a core.
    on_bad_image: what an image that cannot be decoded does: 'fail' ends the
      run, 'skip' puts the next good record of the set in its place.

  Yields:
    Batches of n examples.

  Raises:
    InputError: if an image is bad and `on_bad_image` is 'fail', or more than
      `MAX_BAD_SHARE` of the records are.
  """
  slots = np.asarray(slots, np.int32)
  threads = divide_threads(num_threads)
  decoder = _Decoder(records, crop, threads, on_bad_image)

  def load(step):
    positions = order.example_positions(step, slots, batch_size)
    indices = order.record_indices(seed, positions, len(records))
    uniforms = order.example_uniforms(
      seed, positions, cropping.UNIFORMS_PER_CROP
    )
    images, labels, bad = decoder.decode(indices, uniforms)
    # A pure function of the step: the same after a resume and on any host.
    while bad.any():  # Ends: too many bad records are an error.
      indices[bad] = (indices[bad] + 1) % len(records)
      places = np.flatnonzero(bad)
      images[places], labels[places], bad[places] = decoder.decode(
        indices[places], uniforms[places]
      )
    return images, labels

  mask, skipped = np.ones(len(slots), bool), np.zeros(len(slots), bool)
  steps = range(start_step, num_train_steps)
  for image, label in _ahead(load, steps, len(threads)):
    yield {
      'image': image,
      'label': label,
      'mask': mask,
      'skipped': skipped,
      'slot': slots,
    }


def eval_batches(
  records: records_lib.Records,
  *,
  batch_size: int,
  slots: np.ndarray,
  crop: crop_rules.EvaluationCrop | crops_144.MultiCrop,
  num_threads: int | None = None,
  on_bad_image: str = 'fail',
  start: int = 0,
  stop: int | None = None,
) -> Iterator[HostBatch]:
  """Every record once, in order; the last batch is padded and masked.

  Args:
    records: records to evaluate on.
    batch_size: global batch size.
    slots: int `[n]`, places in the global batch that this process holds.
    crop: how images are cut.
    num_threads: threads that decode, at most one a core; None is one a core.
    on_bad_image: see `train_batches`; a skipped image is masked here.
    start: the record to begin with.
    stop: the record to end before; None is the end of the set.

  Yields:
    Batches of n examples; the number of batches is the same on all processes.

  Raises:
    InputError: see `train_batches`.
  """
  slots = np.asarray(slots, np.int32)
  threads = divide_threads(num_threads)
  decoder = _Decoder(records, crop, threads, on_bad_image)
  uniforms = np.zeros((len(slots), 1), np.float32)  # Nothing is random here.
  stop = len(records) if stop is None else min(stop, len(records))

  def load(step):
    positions = start + order.example_positions(step, slots, batch_size)
    # Padding repeats the last record.
    indices = np.minimum(positions, stop - 1)
    images, labels, bad = decoder.decode(indices, uniforms)
    real = positions < stop
    return {
      'image': images,
      'label': labels,
      'mask': real & ~bad,
      'skipped': real & bad,
      'slot': slots,
    }

  steps = range(-(-(stop - start) // batch_size))
  yield from _ahead(load, steps, len(threads))


def eval_images(
  records: records_lib.Records,
  indices: np.ndarray,
  crop: batch_decoding.CropSpec,
) -> np.ndarray:
  """Some pictures, uint8 `[n, *crop.shape]`; black where one is bad.

  Args:
    records: of which set.
    indices: int `[n]`.
    crop: how they are cut; nothing of it random.
  """
  encoded, _ = records.read(indices)
  uniforms = np.zeros((len(indices), 1), np.float32)
  return batch_decoding.decode_batch(
    encoded, uniforms, crop, ahead.num_cores()
  )[0]


def divide_threads(num_threads: int | None) -> tuple[int, ...]:
  """Threads that decode each of the batches that are decoded at once.

  Args:
    num_threads: threads that decode, in all, at most one a core; None is one a
      core.
  """
  num_threads = ahead.usable_threads(num_threads)
  num_batches = min(_BATCHES_AHEAD, num_threads)
  each, more = divmod(num_threads, num_batches)
  return (each + 1,) * more + (each,) * (num_batches - more)


class _Decoder:
  """Decodes records in C++ threads and keeps account of bad ones."""

  def __init__(
    self,
    records: records_lib.Records,
    crop: batch_decoding.CropSpec,
    threads: tuple[int, ...],
    on_bad_image: str,
  ):
    self._records = records
    self._threads: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in threads:
      self._threads.put(number)
    self._uses_all_cores = sum(threads) >= ahead.num_cores()
    self._crop = crop
    self._skips = on_bad_image == 'skip'
    self._bad: set[int] = set()
    self._lock = threading.Lock()

  def decode(
    self, indices: np.ndarray, uniforms: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decodes records.

    Args:
      indices: int `[n]`.
      uniforms: float32 `[n, count]`, random numbers of each.

    Returns:
      uint8 `[n, *crop.shape]`, black where the image is bad; labels, int32
      `[n]`; and whether each image is bad, bool `[n]`.
    """
    encoded, labels = self._records.read(indices)
    num_threads = self._threads.get()  # Of as many as there are callers.
    try:
      images, bad = batch_decoding.decode_batch(
        encoded,
        uniforms,
        self._crop,
        num_threads,
        num_waiting=num_threads if self._uses_all_cores else 0,
      )
    finally:
      self._threads.put(num_threads)
    if bad.any():
      self._count(indices[bad])
    return images, labels, bad

  def _count(self, bad: np.ndarray) -> None:
    with self._lock:
      new = sorted(set(bad.tolist()) - self._bad)
      self._bad.update(new)
      num_bad = len(self._bad)
    for index in new:
      what = f'{self._records.describe(index)} is no image that can be decoded'
      if not self._skips:
        raise errors.InputError(
          f'{what}; prepare the dataset again without it, or set'
          " data.on_bad_image='skip'"
        )
      logging.warning('%s; it is skipped', what)
    num_records = len(self._records)
    if num_bad > max(1, MAX_BAD_SHARE * num_records) or num_bad == num_records:
      raise errors.InputError(
        f'{num_bad} of the {num_records} images of {self._records.name}'
        f' cannot be decoded, more than {MAX_BAD_SHARE:.0%}; prepare the'
        ' dataset again without them'
      )


def _ahead(
  load: Callable[[int], T], steps: Iterable[int], num_loaders: int
) -> Iterator[T]:
  """Loads one step after the other, some ahead of their use.

  Each of a few Python threads reads a whole batch and has `tf.data` decode it
  in C++ threads; nothing in C++ ever calls back into Python. (A generator
  inside `tf.data` does, and hangs the interpreter when it exits half-way.)
  """
  return ahead.map_ahead(
    load, steps, num_threads=num_loaders, num_ahead=_BATCHES_AHEAD
  )
