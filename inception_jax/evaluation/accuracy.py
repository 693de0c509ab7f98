"""Accuracy over every image exactly once."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax

from inception_jax import metrics
from inception_jax.runtime import progress, words

# A short evaluation needs no bar.
_SECONDS_WITHOUT_BAR = 2.0

Batch = dict[str, jax.Array]


def evaluate(
  eval_step: Callable[[Any, Batch], dict[str, jax.Array]],
  variables: Mapping[str, Any],
  batches: Iterable[Batch],
  num_images: int,
  num_batches: int | None = None,
) -> dict[str, dict[str, float]]:
  """Evaluates several sets of weights in one pass over the images.

  Args:
    eval_step: `(variables, batch) -> sums` over all devices.
    variables: the weights to evaluate, by name.
    batches: every image once, padding masked.
    num_images: number of images that must be counted.
    num_batches: number of batches, for the progress bar; None if unknown.

  Returns:
    By name of the weights: `top1, top5` (0 to 1), `loss` (nats), `num_images`;
    and `num_skipped` where bad images were left out.

  Raises:
    RuntimeError: if the images counted and skipped are not `num_images`.
  """
  totals = {name: {} for name in variables}
  pending = None
  for batch in progress.progress_bar(
    batches,
    desc='evaluate',
    total=num_batches,
    unit='batch',
    delay=_SECONDS_WITHOUT_BAR,
    disable=jax.process_index() != 0,
  ):
    sums = {name: eval_step(value, batch) for name, value in variables.items()}
    # One batch late, so that the devices never wait for the host.
    if pending is not None:
      _add(totals, pending)
    pending = sums
  if pending is not None:
    _add(totals, pending)
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


def _add(totals: dict[str, dict[str, float]], sums: Any) -> None:
  for name, values in jax.device_get(sums).items():
    for key, value in values.items():
      totals[name][key] = totals[name].get(key, 0) + value.item()
