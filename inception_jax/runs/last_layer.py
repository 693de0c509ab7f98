"""A new classifier of a run, fitted to the features that its weights give.

last_layer.json      which penalty, and how well it does on what was left out
"""

from collections.abc import Mapping
import dataclasses
import math
from typing import Any

from absl import logging
from etils import epath

from inception_jax.evaluation import scores
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.runs import (
  checkpoint,
  features,
  pictures,
  run,
  state_functions,
)
from inception_jax.runs import recorder as recorder_lib
from inception_jax.runtime import cluster, errors, json_files, read_failures
from inception_jax.training import averaging, last_layer, train_state

FILE = 'last_layer.json'
_CLASSIFIER = 'classifier'
# Numbers that fit in memory with their copies: 200,000 images of 1,024.
_MAX_NUMBERS = 200_000 * 1024


def is_fitted(experiment: experiment_lib.Experiment) -> bool:
  """Whether a run that starts from another has its classifier fitted."""
  return (
    experiment.last_layer.fit is not False
    and experiment.trains_classifier_alone
  )


def is_all(experiment: experiment_lib.Experiment, workdir: epath.Path) -> bool:
  """Whether fitting the classifier is all that a run does.

  A run of an earlier version, which has trained it step by step, goes on so.

  Args:
    experiment: of the run.
    workdir: its run directory.
  """
  if not is_fitted(experiment):
    return False
  folder = workdir / 'checkpoints'
  if not read_failures.exists(folder):
    return True
  checkpoints = checkpoint.Checkpoints(folder, read_only=True)
  steps = checkpoints.steps()
  checkpoints.close()
  return not any(steps)


def without_steps(
  experiment: experiment_lib.Experiment,
) -> experiment_lib.Experiment:
  """The same experiment without training, and so without averages."""
  return dataclasses.replace(
    experiment, num_train_steps=0, averaging=averaging.Averaging()
  )


def finish(
  experiment: experiment_lib.Experiment,
  checkpoints: checkpoint.Checkpoints,
  recorder: recorder_lib.Recorder,
  state: train_state.TrainState,
  metadata: Mapping[str, Any],
) -> None:
  """Evaluates and saves a run that has no steps, unless that is done.

  Args:
    experiment: see `without_steps`.
    checkpoints: of the run.
    recorder: where the evaluation goes.
    state: of step 0, replicated on the local devices.
    metadata: of its checkpoint; empty if there is none.

  Raises:
    TrainingError: if the evaluation is not finite, or cannot be written.
  """
  try:
    if not metadata:
      confusions = pictures.Confusions(experiment)
      results = state_functions.create_evaluate_fn(experiment, confusions.add)(
        state
      )
      if not all(map(math.isfinite, results['raw'].values())):
        raise errors.TrainingError(
          'the loss of the evaluation is not finite; start from another run'
          ' with --config.init_from'
        )
      recorder.evaluation(0, results)
      confusions.record(recorder, 0)
      recorder.flush(sync=True)
      save_fn = state_functions.create_save_fn(
        experiment, checkpoints, recorder
      )
      save_fn(state, {'step': 0})
  finally:
    try:
      recorder.close()
    finally:
      checkpoints.close()
  found = recorder.last_evaluation()['raw']
  logging.info(
    'top-1 of the evaluation: %s',
    scores.with_interval(found['top1'], found['num_images']),
  )


def fit(
  experiment: experiment_lib.Experiment,
  variables: Mapping[str, Any],
  source: run.Run,
  workdir: epath.Path,
) -> dict[str, Any]:
  """Fits the classifier.

  Args:
    experiment: of the new run.
    variables: its host arrays, those of the source below the classifier.
    source: the run it starts from.
    workdir: the new run directory.

  Returns:
    `variables` with a fitted classifier.

  Raises:
    InputError: if the images are too many, or a feature is not finite.
    TrainingError: if the features cannot be kept.
  """
  dataset, options = experiment.dataset, experiment.last_layer
  check_size(len(dataset.train), options.views, features.size_of(source))
  found = features.of_images(
    source,
    dataclasses.replace(dataset, eval=dataset.train),
    views=options.views,
    dtype=experiment.model.dtype,
    batch_size=experiment.options.eval_batch_size,
    folders=(epath.Path(experiment.config['init_from']), workdir),
  )
  kernel = variables['params'][_CLASSIFIER]['kernel']
  fitted = last_layer.fit(
    found.values[found.counted],
    found.labels[found.counted],
    kernel.shape[1],
    options,
  )
  json_files.write_json(workdir / FILE, fitted.report)
  logging.info('last layer: %s', _describe(fitted.report))
  layer = {
    'kernel': fitted.kernel.astype(kernel.dtype),
    'bias': fitted.bias.astype(kernel.dtype),
  }
  return {**variables, 'params': {**variables['params'], _CLASSIFIER: layer}}


def check_size(num_images: int, views: int, num_features: int) -> None:
  """Raises InputError if the features are too many, or several processes are.

  Args:
    num_images: that the layer is fitted to.
    views: of each image.
    num_features: of each view.
  """
  if cluster.num_processes() > 1:
    raise errors.InputError(
      'config.last_layer: the last layer is fitted in one process; start the'
      ' command once, or set --config.last_layer.fit=False to train it by'
      ' gradient descent'
    )
  count = num_images * views
  if count * num_features > _MAX_NUMBERS:
    raise errors.InputError(
      f'config.last_layer: the features of {count:,} crops are too many to fit'
      ' the last layer to at once; set --config.last_layer.fit=False to train'
      ' it by gradient descent'
    )


def _describe(report: Mapping[str, Any]) -> str:
  text = (
    f'fitted to {report["num_images"]:,} images with C={report["strength"]:g}'
  )
  if not report['folds']:
    return f'{text}; no class has two images, so that none could be left out'
  top1 = scores.with_interval(report['top1'], report['num_images'])
  return (
    f'{text}, by {report["folds"]} folds: top-1 of what was left out {top1}'
  )
