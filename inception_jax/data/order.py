"""Which record stands where: a pure function of (seed, step, slot).

NumPy only. The whole state of the input is the step, so nothing needs saving,
resuming is exact, and neither devices nor hosts change the global batch.
"""

import functools

import numpy as np

# Seeds of NumPy's legacy generator are 32 bits.
_MAX_SEED = 2**32


@functools.lru_cache(maxsize=4)
def epoch_permutation(seed: int, epoch: int, num_records: int) -> np.ndarray:
  """Order of the records in one epoch, a true permutation.

  `np.random.RandomState` is used because NumPy has frozen its stream.

  Args:
    seed: seed of the run.
    epoch: index of the epoch, from 0.
    num_records: number of records.

  Returns:
    int64 `[num_records]`, read-only.
  """
  generator = np.random.RandomState([seed % _MAX_SEED, epoch])
  order = generator.permutation(num_records)
  order.setflags(write=False)
  return order


def example_positions(
  step: int, slots: np.ndarray, batch_size: int
) -> np.ndarray:
  """Places of a batch's examples in the endless stream, int64 `[len(slots)]`.

  Epochs follow each other without a gap: a batch may end one and begin the
  next, so each record is seen exactly once an epoch for any batch size.
  """
  return step * batch_size + np.asarray(slots, np.int64)


def record_indices(
  seed: int, positions: np.ndarray, num_records: int
) -> np.ndarray:
  """Records at places of the endless stream.

  Args:
    seed: seed of the run.
    positions: int64 `[n]`, from `example_positions`.
    num_records: number of records in the training set.

  Returns:
    int64 `[n]`, each in `[0, num_records)`.
  """
  epochs, offsets = np.divmod(positions, num_records)
  indices = np.empty_like(positions)
  for epoch in np.unique(epochs):
    here = epochs == epoch
    order = epoch_permutation(seed, int(epoch), num_records)
    indices[here] = order[offsets[here]]
  return indices


def example_uniforms(
  seed: int, positions: np.ndarray, count: int
) -> np.ndarray:
  """Random numbers of each example, for its crop.

  Philox is a counter-based generator whose raw stream NumPy keeps, so the
  numbers of an example are found directly from its place.

  Args:
    seed: seed of the run.
    positions: int64 `[n]`, places in the endless stream.
    count: how many numbers an example needs.

  Returns:
    float32 `[n, count]`, uniform in [0, 1).
  """
  raw = np.stack(
    [
      np.random.Philox(key=[seed % _MAX_SEED, position]).random_raw(count)
      for position in positions
    ]
  )
  return (raw >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
