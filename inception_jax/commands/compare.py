"""The compare command: which weights suit one's own images best."""

from collections.abc import Mapping, Sequence
import dataclasses
import tempfile
import time
from typing import Any

from absl import logging
from etils import epath
import ml_collections
import numpy as np

from inception_jax.ensemble import folder as ensemble_folder
from inception_jax.ensemble import out_of_fold
from inception_jax.evaluation import scores
from inception_jax.experiment import config as config_lib
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.models import architectures
from inception_jax.runs import run
from inception_jax.runtime import errors


@dataclasses.dataclass(frozen=True)
class _Source:
  """A run whose features were used.

  Attributes:
    result: see `compare`.
    is_right: bool `[n]`, whether each image was predicted right.
  """

  result: dict[str, Any]
  is_right: np.ndarray


def compare(
  workdir: epath.PathLike,
  config: ml_collections.ConfigDict | Mapping[str, Any],
  folds: int | None = None,
) -> dict[str, Any]:
  """Fits last layers to the features of several networks, on the same folds.

  Each image of the training and the evaluation part is predicted by a layer
  that was fitted without it.

  Args:
    workdir: runs, trained or imported, with commas between them.
    config: whose `data`, `last_layer` and `train.eval_batch_size` are used.
    folds: parts of the images, left out in turn; None is 5.

  Returns:
    `num_images, folds`, and `sources`, the best first: `workdir, network, top1,
    top1_interval, loss, seconds`, and the `difference` in top-1 from the best
    with its 95 % `difference_interval`.

  Raises:
    InputError: if a run, the data or `folds` cannot be used.
  """
  folds = out_of_fold.DEFAULT_FOLDS if folds is None else folds
  out_of_fold.check(folds)
  config = config_lib.sections(config)
  experiment = experiment_lib.create_experiment(
    {**config, 'data': out_of_fold.all_images(config['data'])}
  )
  with tempfile.TemporaryDirectory() as folder:
    found = [
      # Features go to the folder where that of the run cannot be written.
      _score(path, experiment, folds, (path, epath.Path(folder, str(number))))
      for number, path in enumerate(ensemble_folder.list_runs(workdir))
    ]
  found.sort(key=lambda x: (-x.result['top1'], x.result['loss']))
  best = found[0].is_right
  sources = []
  for source in found:
    difference = scores.paired_difference(source.is_right, best)
    sources.append(
      {
        **source.result,
        'difference': difference[0],
        'difference_interval': list(difference[1:]),
      }
    )
  result = {
    'num_images': len(best),
    'folds': folds,
    'sources': sources,
  }
  logging.info(
    'to train from the best: --config.init_from=%s --config.model.name=%s',
    sources[0]['workdir'],
    sources[0]['network'],
  )
  return result


def _score(
  path: epath.Path,
  experiment: experiment_lib.Experiment,
  folds: int,
  folders: Sequence[epath.Path],
) -> _Source:
  start = time.perf_counter()
  try:
    network = run.load_run(path)
  except errors.InputError as error:
    raise errors.InputError(f'--workdir: {error}') from error
  found, log_probs = out_of_fold.left_out(
    network, experiment, folds, len(experiment.dataset.class_names), folders
  )
  log_probs, labels = log_probs[found.counted], found.labels[found.counted]
  counts = scores.Scores()
  counts.add(log_probs, labels)
  means = scores.with_top1_interval(counts.means())
  logging.info(
    '%s: top-1 %s',
    path,
    scores.with_interval(means['top1'], means['num_images']),
  )
  return _Source(
    {
      'workdir': str(path),
      'network': architectures.name_of(network.model.architecture),
      'top1': means['top1'],
      'top1_interval': means['top1_interval'],
      'loss': means['loss'],
      'seconds': round(time.perf_counter() - start, 1),
    },
    scores.ranks(log_probs, labels) < 1,
  )
