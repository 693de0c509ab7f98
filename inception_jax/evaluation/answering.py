"""From pictures to answers on disk, going on behind what is there."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from inception_jax.data import device
from inception_jax.evaluation import answers as answers_lib
from inception_jax.runtime import agreement, cluster, progress

HostBatch = dict[str, np.ndarray]


def complete(
  answers: answers_lib.Answers | None,
  answer_step: Callable[[Any, jax.Array], jax.Array],
  variables: Any,
  batches_fn: Callable[[int, int], Iterator[HostBatch]],
  name: str,
) -> None:
  """Computes the answers that are missing.

  Called by all processes of a run; the main one writes.

  Args:
    answers: where they are kept; None on other processes than the main one.
    answer_step: compiled `(variables, images) -> log_probs` over all devices.
    variables: the weights, on the devices.
    batches_fn: from the first picture and the one behind the last to this
      process's share of the batches of these pictures.
    name: of the network, for the progress bar.

  Raises:
    InputError: if an answer is not a number, or a picture cannot be decoded.
    TrainingError: if answers cannot be written.
  """
  gaps = agreement.broadcast(answers.missing() if answers else None)
  total = answers.num_images if answers else 0
  with progress.progress_bar(
    desc=f'evaluate {name}',
    total=total,
    initial=total - sum(stop - start for start, stop in gaps),
    unit='img',
    disable=answers is None or not gaps,
  ) as bar:
    for start, stop in gaps:
      writer = _Writer(answers, start)
      pending = None
      for batch in device.prefetch(batches_fn(start, stop)):
        log_probs = answer_step(variables, batch['image'])
        batch = {k: v for k, v in batch.items() if k != 'image'}
        # One batch late, so that the devices never wait for the host.
        if pending is not None:
          bar.update(writer.add(*pending))
        pending = log_probs, batch
      bar.update(writer.add(*pending))
      writer.close(stop)


class _Writer:
  """Collects answers until there are enough for a file."""

  def __init__(self, answers: answers_lib.Answers | None, start: int):
    self._answers = answers
    self._start = start
    self._blocks: list[answers_lib.Block] = []

  def add(self, log_probs: jax.Array, batch: dict[str, jax.Array]) -> int:
    """Takes a batch of this process; returns how many pictures all have."""
    rows = cluster.gather(
      {
        'log_probs': _local_rows(log_probs),
        **{k: _local_rows(batch[k]) for k in ('label', 'mask', 'skipped')},
      }
    )
    if self._answers is None:
      return 0
    real = rows['mask'] | rows['skipped']  # The others are padding.
    block = answers_lib.Block(
      rows['log_probs'][real], rows['label'][real], rows['mask'][real]
    )
    self._blocks.append(block)
    if sum(map(len, self._blocks)) >= self._answers.file_size:
      self._write_files()
    return len(block)

  def close(self, stop: int) -> None:
    """Writes what is left before picture `stop`."""
    if self._answers is None:
      return
    if self._start + sum(map(len, self._blocks)) != stop:
      raise RuntimeError(
        f'evaluation came to picture'
        f' {self._start + sum(map(len, self._blocks))}, not to {stop}'
      )
    if sum(map(len, self._blocks)):
      self._answers.write(self._start, self._joined())

  def _joined(self) -> answers_lib.Block:
    return answers_lib.Block(
      *(np.concatenate(x) for x in zip(*self._blocks, strict=True))
    )

  def _write_files(self) -> None:
    size, block = self._answers.file_size, self._joined()
    while len(block) >= size:
      self._answers.write(
        self._start, answers_lib.Block(*(x[:size] for x in block))
      )
      self._start += size
      block = answers_lib.Block(*(x[size:] for x in block))
    self._blocks = [block]


def _local_rows(array: jax.Array) -> np.ndarray:
  """What the devices of this process hold, one under the other."""
  shards = sorted(
    array.addressable_shards, key=lambda shard: shard.index[0].start or 0
  )
  rows = np.concatenate([np.asarray(shard.data) for shard in shards])
  return rows.reshape(-1, *rows.shape[2:])
