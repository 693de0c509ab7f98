"""The evaluate command: runs, one or several, on every image of a set once."""

from collections.abc import Mapping
from typing import Any

from etils import epath
import ml_collections

from inception_jax.ensemble import folder as ensemble_folder
from inception_jax.ensemble import out_of_fold
from inception_jax.ensemble import predictions as predictions_lib
from inception_jax.ensemble import together as ensemble
from inception_jax.evaluation import protocol as protocol_lib
from inception_jax.evaluation import scores
from inception_jax.runtime import agreement


def evaluate(
  workdir: epath.PathLike,
  protocol: protocol_lib.Protocol,
  weights: str | None = None,
  config: ml_collections.ConfigDict | Mapping[str, Any] | None = None,
  answers: epath.PathLike | None = None,
  folds: int | None = None,
) -> dict[str, Any]:
  """Evaluates runs, each and together.

  Args:
    workdir: see `ensemble.folder.list_runs`.
    protocol: which crops, and what is made of them.
    weights: see `runs.run.load_run`.
    config: see `ensemble.predictions.predict_set`.
    answers: likewise.
    folds: see `ensemble.out_of_fold.predict_set`.

  Returns:
    `workdir, protocol, num_crops, aggregation, weights, step, digest,
    num_images, top1, top5, loss, top5_error, top1_interval`, of the mean of the
    probabilities of all runs; `folds`, if there are; and of several `members`,
    the same of each.

  Raises:
    InputError: if a run, the protocol or the data cannot be used.
  """
  workdirs = ensemble_folder.used(ensemble_folder.list_runs(workdir), weights)
  predictions = out_of_fold.predict_set(
    workdirs, protocol, weights, config, answers, folds
  )
  found = None
  if predictions.ensemble is not None:
    found = _score(predictions, protocol.aggregation)
  together, *members = agreement.broadcast(found)
  results = [
    {
      'workdir': str(path),
      'protocol': protocol.name,
      'num_crops': protocol.num_crops(loaded.eval_crop.size),
      'aggregation': protocol.aggregation,
      'weights': loaded.weights,
      'step': loaded.step,
      'digest': loaded.digest,
      **member,
      'top5_error': 1 - member['top5'],
    }
    for path, loaded, member in zip(
      workdirs, predictions.runs, members, strict=True
    )
  ]
  if predictions.folds:
    results = [{**x, 'folds': predictions.folds} for x in results]
  if len(results) == 1:
    return results[0]
  return {
    **results[0],
    'workdir': ','.join(map(str, workdirs)),
    'weights': [result['weights'] for result in results],
    'step': [result['step'] for result in results],
    'digest': [result['digest'] for result in results],
    **together,
    'top5_error': 1 - together['top5'],
    'members': results,
  }


def _score(
  predictions: predictions_lib.SetPredictions, aggregation: str
) -> list[dict[str, float]]:
  """Of all members together, and of each."""
  members = predictions.ensemble
  counts = [scores.Scores() for _ in range(1 + len(members.members))]
  num_skipped = 0
  for part in members.read(None, aggregation):
    num_skipped += part.num_skipped
    counts[0].add(ensemble.mean_probability(part.log_probs), part.labels)
    for count, log_probs in zip(counts[1:], part.log_probs, strict=True):
      count.add(log_probs, part.labels)
  predictions_lib.check_count(predictions, counts[0].num_images, num_skipped)
  results = [scores.with_top1_interval(count.means()) for count in counts]
  if num_skipped:
    results = [{**x, 'num_skipped': num_skipped} for x in results]
  return results
