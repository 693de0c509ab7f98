"""What a run reports: JSON lines and TensorBoard events."""

from collections.abc import Mapping
from typing import Any

from absl import logging
from etils import epath

from inception_jax.runs import events
from inception_jax.runtime import json_files


class Recorder:
  """Writes the metrics of a run into its directory.

  `metrics.jsonl` holds what is the same in every repetition, `timing.jsonl`
  what is not. A checkpoint holds the lines of `metrics.jsonl` up to its step,
  and a resumed run starts from these, so an interrupted run ends with the file
  of an unbroken one, whatever became of the file.

  Args:
    workdir: run directory.
    step: step to resume at.
    writes: whether this process writes; the others only keep their lines.
    known: the lines in the checkpoint of this step; None if it holds none, as
      those of earlier versions. Then the file's own are taken.

  Raises:
    InputError: if a file cannot be read, or its own lines are damaged.
  """

  def __init__(
    self,
    workdir: epath.PathLike,
    step: int,
    writes: bool,
    known: str | None = None,
  ):
    workdir = self.folder = epath.Path(workdir)
    self._writes = writes
    path = workdir / 'metrics.jsonl'
    self.metrics = json_files.JsonLines(path, known, is_valid=_is_metrics)
    self.metrics.drop_after(step)
    if known is None and step and not self.metrics.text:
      logging.warning(
        '%s is missing or empty, and the checkpoint of an earlier version does'
        ' not hold its lines; it begins after step %d',
        path,
        step,
      )
    self._timing = json_files.JsonLines(
      workdir / 'timing.jsonl', skips_damage=True
    )
    self._events = None
    if writes:
      self._events = events.Events(workdir / 'tensorboard', step + 1)

  def train_metrics(self, step: int, values: Mapping[str, float]) -> None:
    self.metrics.append({'step': step, 'train': dict(values)})
    self._scalars('train', step, values)

  def evaluation(
    self, step: int, values: Mapping[str, Mapping[str, float]]
  ) -> None:
    self.metrics.append({'step': step, 'evaluation': dict(values)})
    for weights, scores in values.items():
      self._scalars(f'evaluation_{weights}', step, scores)

  def timing(self, step: int, values: Mapping[str, float]) -> None:
    self._timing.append({'step': step, **values})
    self._scalars('timing', step, values)

  def picture(self, name: str, png: bytes, step: int) -> None:
    """Adds the contents of a PNG file to the events."""
    if self._events is not None:
      self._events.add_picture(name, png, step)

  def last_evaluation(self) -> dict[str, Any]:
    """Results of the newest evaluation, empty before the first."""
    found = {}
    for line in self.metrics:
      found = line.get('evaluation', found)
    return found

  def flush(self, sync: bool = False) -> None:
    """Brings the files up to date; `sync` also on the disk."""
    if self._writes:
      self.metrics.flush(sync)
      self._timing.flush(sync)
      self._events.flush()

  def close(self) -> None:
    try:
      self.flush(sync=True)
    finally:
      if self._events is not None:
        self._events.close()

  def _scalars(
    self, group: str, step: int, values: Mapping[str, float]
  ) -> None:
    if self._events is not None:
      for name, value in values.items():
        self._events.add_scalar(f'{group}/{name}', value, step)


def _is_metrics(line: Mapping[str, Any]) -> bool:
  """Whether a line of `metrics.jsonl` is one that a run has written."""
  evaluation = line.get('evaluation', {})
  return (
    not line.keys() - {'step', 'train', 'evaluation'}
    and _is_numbers(line.get('train', {}))
    and isinstance(evaluation, dict)
    and all(_is_numbers(scores) for scores in evaluation.values())
  )


def _is_numbers(values: Any) -> bool:
  # Of all whole numbers that JSON can hold, not all are floats. What was not
  # finite in a run of an earlier version is null.
  return isinstance(values, dict) and all(
    x is None
    or isinstance(x, float)
    or (isinstance(x, int) and abs(x) < 1 << 53)
    for x in values.values()
  )
