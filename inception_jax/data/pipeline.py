"""Encoded records to batches of uint8 images.

The host decodes, crops and resizes; everything with colours happens on the
devices (see `training.augment`), so that bytes cross and not floats.
"""

from collections.abc import Callable, Iterable, Iterator
import queue

import numpy as np

from inception_jax.data import (
  ahead,
  bad_images,
  batch_decoding,
  crop_rules,
  cropping,
  crops_144,
  order,
)
from inception_jax.data import records as records_lib

# Batches that are decoded, or wait, while the caller uses another.
_BATCHES_AHEAD = 3

# image uint8 [n, *crop.shape], label int32 [n], slot int32 [n]: the examples
# of this process, slot being the place in the global batch. mask and skipped,
# bool [n]: whether an example counts, and whether it does not because its
# image is bad (what is neither is padding).
HostBatch = dict[str, np.ndarray]


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
    on_bad_image: what a bad image does: 'fail' ends the run, 'skip' puts the
      next good record of the set in its place; see `bad_images`.

  Yields:
    Batches of n examples.

  Raises:
    InputError: if an image is bad and `on_bad_image` is 'fail', or more than
      `bad_images.MAX_BAD_SHARE` of the records are.
  """
  slots = np.asarray(slots, np.int32)
  decoder = _Decoder(records, crop, num_threads, on_bad_image)
  mask, skipped = np.ones(len(slots), bool), np.zeros(len(slots), bool)

  def load(step):
    positions = order.example_positions(step, slots, batch_size)
    images, labels = bad_images.decode_next_good(
      decoder.decode,
      order.record_indices(seed, positions, len(records)),
      order.example_uniforms(seed, positions, cropping.UNIFORMS_PER_CROP),
      len(records),
    )
    return {
      'image': images,
      'label': labels,
      'mask': mask,
      'skipped': skipped,
      'slot': slots,
    }

  yield from decoder.map_ahead(load, range(start_step, num_train_steps))


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
  decoder = _Decoder(records, crop, num_threads, on_bad_image)
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

  yield from decoder.map_ahead(load, range(-(-(stop - start) // batch_size)))


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
  """Decodes records, some batches at once, in C++ threads.

  Args:
    records: what to decode.
    crop: how images are cut.
    num_threads: see `divide_threads`.
    on_bad_image: see `bad_images.Account`.
  """

  def __init__(
    self,
    records: records_lib.Records,
    crop: batch_decoding.CropSpec,
    num_threads: int | None,
    on_bad_image: str,
  ):
    threads = divide_threads(num_threads)
    self._records = records
    self._crop = crop
    self._bad_images = bad_images.Account(records, on_bad_image)
    self._num_loaders = len(threads)
    self._threads: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in threads:
      self._threads.put(number)
    self._uses_all_cores = sum(threads) >= ahead.num_cores()

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

    Raises:
      InputError: see `bad_images.Account.add`.
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
      self._bad_images.add(indices[bad])
    return images, labels, bad

  def map_ahead(
    self, load: Callable[[int], HostBatch], steps: Iterable[int]
  ) -> Iterator[HostBatch]:
    """Loads one step after the other, some ahead of their use.

    Each of a few Python threads reads a whole batch and has `tf.data` decode it
    in C++ threads; nothing in C++ ever calls back into Python. (A generator
    inside `tf.data` does, and hangs the interpreter when it exits half-way.)
    """
    return ahead.map_ahead(
      load, steps, num_threads=self._num_loaders, num_ahead=_BATCHES_AHEAD
    )
