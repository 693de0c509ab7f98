"""Predictions of last layers for images that they were not fitted to.

A validation part of 25 images says little: 20 right ones may be 61 % or 91 %.
Where the classifier alone was fitted, it can be fitted again without a fifth of
all images, five times, and so each image is predicted once.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from absl import logging
from etils import epath
import ml_collections
import numpy as np

from inception_jax.data import dataset as dataset_lib
from inception_jax.ensemble import predictions as predictions_lib
from inception_jax.ensemble import together as ensemble
from inception_jax.evaluation import answers as answers_lib
from inception_jax.evaluation import crop_views, scores
from inception_jax.evaluation import protocol as protocol_lib
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.runs import choice, features, last_layer, run
from inception_jax.runtime import cluster, errors, read_failures, words
from inception_jax.training import last_layer as fitting

# For runs with fewer evaluation images than `scores.FEW_IMAGES`.
DEFAULT_FOLDS = 5
_MAX_FOLDS = 20


def predict_set(
  workdirs: Sequence[epath.Path],
  protocol: protocol_lib.Protocol,
  weights: str | None = None,
  config: ml_collections.ConfigDict | Mapping[str, Any] | None = None,
  answers: epath.PathLike | None = None,
  folds: int | None = None,
) -> predictions_lib.SetPredictions:
  """As `predictions.predict_set`; or of all images, by folds.

  Args:
    workdirs: see `predictions.predict_set`.
    protocol: likewise; by folds the single crop only.
    weights: likewise; none by folds.
    config: likewise.
    answers: likewise.
    folds: parts of the training and evaluation images together, each predicted
      by last layers that were fitted to the others; 0 is none. None is 5 where
      there are fewer than 100 evaluation images and the runs are fitted last
      layers, or else 0.

  Raises:
    InputError: see `predictions.predict_set`; or if the runs are no fitted last
      layers.
    TrainingError: if predictions cannot be written.
  """
  given = {'--config': config, '--weights': weights}
  given['--protocol'] = None if protocol.name == 'single' else protocol.name
  if folds is None and not any(x is not None for x in given.values()):
    folds = _default_folds(workdirs)
  if not folds:
    return predictions_lib.predict_set(
      workdirs, protocol, weights, config, answers
    )
  check(folds)
  for name, value in given.items():
    if value is not None:
      raise errors.InputError(
        f'{name} is of no use with --folds={folds}; leave one of them out'
      )
  return _predict_all(workdirs, folds, answers)


def check(folds: int) -> None:
  """Raises InputError unless this is a number of folds."""
  if not 2 <= folds <= _MAX_FOLDS:
    raise errors.InputError(
      f'--folds={folds} must be 2 to {_MAX_FOLDS}, or 0 for none'
    )


def all_images(data: Mapping[str, Any]) -> dict[str, Any]:
  """A section `data` whose evaluation images are all that it names.

  Args:
    data: with or without `train_split` and `eval_split`.
  """
  train = data.get('train_split') or 'train'
  test = data.get('eval_split') or dataset_lib.EVAL_SPLIT
  parts = [part.strip() for x in (train, test) for part in x.split('+')]
  return {**data, 'eval_split': '+'.join(dict.fromkeys(parts))}


def _default_folds(workdirs: Sequence[epath.Path]) -> int:
  if cluster.num_processes() > 1:
    return 0
  if not all(read_failures.exists(x / last_layer.FILE) for x in workdirs):
    return 0
  try:
    experiment = experiment_lib.create_experiment(run.read_config(workdirs[0]))
  except errors.InputError:
    return 0  # It is said where the images are to be evaluated.
  count = len(experiment.dataset.eval)
  if count >= scores.FEW_IMAGES:
    return 0
  logging.info(
    'there are %s to evaluate on, fewer than %d: all images are predicted, by'
    ' %d last layers each fitted without a part of them (--folds=0 evaluates on'
    ' %r alone)',
    words.count(count, 'image'),
    scores.FEW_IMAGES,
    DEFAULT_FOLDS,
    experiment.dataset.eval.name,
  )
  return DEFAULT_FOLDS


def _predict_all(
  workdirs: Sequence[epath.Path], folds: int, answers: epath.PathLike | None
) -> predictions_lib.SetPredictions:
  predictions_lib.check_same_data(workdirs)
  if cluster.num_processes() > 1:
    raise errors.InputError(
      '--folds fits last layers, in one process; start the command once'
    )
  members, runs, dataset = [], [], None
  for workdir in workdirs:
    experiment = _experiment(workdir)
    dataset = dataset or experiment.dataset
    if experiment.dataset.eval.name != dataset.eval.name:
      raise errors.InputError(
        f'--folds: {workdir} is of {experiment.dataset.eval.name} and'
        f' {workdirs[0]} of {dataset.eval.name}; leave one of them out'
      )
    loaded = run.load_run(workdir)
    kept = _predict(
      loaded,
      experiment,
      folds,
      (workdir,),
      epath.Path(answers or workdir / 'answers'),
    )
    members.append(ensemble.Member(str(workdir), loaded.labels, kept))
    runs.append(dataclasses.replace(loaded, variables={}))
  return predictions_lib.SetPredictions(
    ensemble.Ensemble(members, dataset.class_names),
    dataset,
    tuple(runs),
    folds,
  )


def _experiment(workdir: epath.Path) -> experiment_lib.Experiment:
  """The experiment of a run, with all its images to evaluate on."""
  if not read_failures.exists(workdir / last_layer.FILE):
    remedy = 'leave --folds out'
    if read_failures.exists(workdir / choice.FIRST_STEP / last_layer.FILE):
      remedy += f', or give --workdir={workdir / choice.FIRST_STEP}'
    raise errors.InputError(
      f'--folds needs a run that fits its last layer alone, and {workdir} is'
      f' none; {remedy}'
    )
  config = run.read_config(workdir)
  return experiment_lib.create_experiment(
    {**config, 'data': all_images(config['data'])}
  )


def _predict(
  loaded: run.Run,
  experiment: experiment_lib.Experiment,
  folds: int,
  folders: Sequence[epath.Path],
  answers: epath.Path,
) -> answers_lib.Answers:
  """The predictions, from disk where they have been made before."""
  dataset, options = experiment.dataset, experiment.last_layer
  identity = {
    'network': loaded.digest,
    'folds': folds,
    'last_layer': dataclasses.asdict(options),
    'crop': dataclasses.asdict(dataset.eval_crop),
    'data': dataset.eval.fingerprint(),
  }
  kept = answers_lib.Answers(
    answers / answers_lib.digest(identity),
    identity,
    views=crop_views.views(dataset.eval_crop),
    num_images=len(dataset.eval),
    num_outputs=loaded.model.num_classes,
    batch_size=len(dataset.eval),  # All in one file.
  )
  if kept.missing():
    found, log_probs = left_out(
      loaded, experiment, folds, loaded.model.num_classes, folders
    )
    kept.write(
      0, answers_lib.Block(log_probs[:, None], found.labels, found.counted)
    )
  return kept


def left_out(
  network: run.Run,
  experiment: experiment_lib.Experiment,
  folds: int,
  num_outputs: int,
  folders: Sequence[epath.Path],
) -> tuple[features.Features, np.ndarray]:
  """Features of a network, and predictions of last layers fitted to them.

  Args:
    network: what computes the features.
    experiment: the images to evaluate on, and how the layers are fitted.
    folds: see `training.last_layer.predict_left_out`.
    num_outputs: of the layers.
    folders: see `runs.features.of_images`.

  Returns:
    The features, and float32 `[n, num_outputs]`, 0 for images that cannot be
    decoded.

  Raises:
    InputError: if there are too many images, or no class has two.
  """
  dataset, options = experiment.dataset, experiment.last_layer
  last_layer.check_size(
    len(dataset.eval), options.views, features.size_of(network)
  )
  found = features.of_images(
    network,
    dataset,
    views=options.views,
    dtype=experiment.model.dtype,
    batch_size=experiment.options.eval_batch_size,
    folders=folders,
  )
  log_probs = np.zeros((len(found.labels), num_outputs), np.float32)
  try:
    log_probs[found.counted] = fitting.predict_left_out(
      found.values[found.counted],
      found.labels[found.counted],
      num_outputs,
      options,
      folds,
    )
  except ValueError as error:
    raise errors.InputError(f'--folds={folds}: {error}') from error
  return found, log_probs
