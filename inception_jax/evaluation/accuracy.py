"""Accuracy over every image exactly once."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from inception_jax import metrics
from inception_jax.runtime import progress, words
from inception_jax.training import stop_signal

# A short evaluation needs no bar.
_SECONDS_WITHOUT_BAR = 2.0

Batch = dict[str, jax.Array]
# `(labels, predictions)`, both int `[n]`.
CountFn = Callable[[np.ndarray, np.ndarray], None]


def evaluate(
  eval_step: Callable[[Any, Batch], dict[str, jax.Array]],
  variables: Mapping[str, Any],
  batches: Iterable[Batch],
  num_images: int,
  num_batches: int | None = None,
  used: str | None = None,
  count_fn: CountFn | None = None,
  stop: stop_signal.StopSignal | None = None,
) -> dict[str, dict[str, float]]:
  """Evaluates several sets of weights in one pass over the images.

  Args:
    eval_step: `(variables, batch) -> sums` over all devices; and `labels` and
      `predictions` of its images, -1 for padding, if `count_fn` is given.
    variables: the weights to evaluate, by name.
    batches: every image once, padding masked.
    num_images: number of images that must be counted.
    num_batches: number of batches, for the progress bar; None if unknown.
    used: name of the weights whose predictions `count_fn` takes.
    count_fn: takes labels and predictions of some images at a time.
    stop: asked after each batch; None where signals end the command.

  Returns:
    By name of the weights: `top1, top5` (0 to 1), `loss` (nats), `num_images`;
    and `num_skipped` where bad images were left out.

  Raises:
    RuntimeError: if the images counted and skipped are not `num_images`.
    EvaluationStoppedError: if `stop` says so.
  """
  totals = {name: {} for name in variables}
  take = lambda sums: _add(totals, sums, used, count_fn, stop)
  pending = None
  for batch in progress.progress_bar(
    batches,
    desc='evaluate',
    total=num_batches,
    unit='batch',
    delay=_SECONDS_WITHOUT_BAR,
    disable=jax.process_index() != 0,
  ):
    if stop is not None:
      batch = {**batch, 'stop': stop.flags()}
    sums = {name: eval_step(value, batch) for name, value in variables.items()}
    # One batch late, so that the devices never wait for the host.
    if pending is not None:
      take(pending)
    pending = sums
  if pending is not None:
    take(pending)
  results = {}
  for name, sums in totals.items():
    counted = int(sums.get('num_images', 0))
    skipped = int(sums.get('num_skipped', 0))
    if counted + skipped != num_images:
      raise RuntimeError(
        f'evaluation counted {words.count(counted, "image")} and skipped'
        f' {skipped} where there are {num_images}'
      )
    results[name] = metrics.means_of_sums(sums)
    if skipped:
      results[name]['num_skipped'] = skipped
  return results


def _add(
  totals: dict[str, dict[str, float]],
  sums: Any,
  used: str | None,
  count_fn: CountFn | None,
  stop: stop_signal.StopSignal | None,
) -> None:
  for name, values in jax.device_get(sums).items():
    request = values.pop('stop', None)
    if stop is not None and request is not None:
      stop.check_evaluation(request.item())
    labels = values.pop('labels', None)
    predictions = values.pop('predictions', None)
    if count_fn is not None and name == used:
      counts = predictions >= 0
      count_fn(labels[counts], predictions[counts])
    for key, value in values.items():
      totals[name][key] = totals[name].get(key, 0) + value.item()
