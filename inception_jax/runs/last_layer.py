"""A new classifier of a run, fitted to the features that its weights give.

last_layer.json      which penalty, and how well it does on what was left out
features/DIGEST/     of the run that it starts from: what its layers below make
                     of each image, so that they are computed once
"""

from collections.abc import Mapping
import dataclasses
import math
from typing import Any

from absl import logging
from etils import epath
import jax
import numpy as np

from inception_jax.data import device
from inception_jax.evaluation import answering, crop_views, scores
from inception_jax.evaluation import answers as answers_lib
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.runs import checkpoint, pictures, run, state_functions
from inception_jax.runs import recorder as recorder_lib
from inception_jax.runtime import cluster, errors, json_files, read_failures
from inception_jax.training import averaging, last_layer, train_state
from inception_jax.training import step as step_lib

FILE = 'last_layer.json'
_FEATURES = 'features'
_END_POINT = 'avg_pool'
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
  _check(experiment, variables)
  features, labels = _features(experiment, variables, source, workdir)
  kernel = variables['params'][_CLASSIFIER]['kernel']
  fitted = last_layer.fit(
    features, labels, kernel.shape[1], experiment.last_layer
  )
  json_files.write_json(workdir / FILE, fitted.report)
  logging.info('last layer: %s', _describe(fitted.report))
  layer = {
    'kernel': fitted.kernel.astype(kernel.dtype),
    'bias': fitted.bias.astype(kernel.dtype),
  }
  return {**variables, 'params': {**variables['params'], _CLASSIFIER: layer}}


def _check(
  experiment: experiment_lib.Experiment, variables: Mapping[str, Any]
) -> None:
  if cluster.num_processes() > 1:
    raise errors.InputError(
      'config.last_layer: the last layer is fitted in one process; start the'
      ' command once, or set --config.last_layer.fit=False to train it by'
      ' gradient descent'
    )
  num_features = variables['params'][_CLASSIFIER]['kernel'].shape[0]
  count = len(experiment.dataset.train) * experiment.last_layer.views
  if count * num_features > _MAX_NUMBERS:
    raise errors.InputError(
      f'config.last_layer: the features of {count:,} crops are too many to fit'
      ' the last layer to at once; set --config.last_layer.fit=False to train'
      ' it by gradient descent'
    )


def _features(
  experiment: experiment_lib.Experiment,
  variables: Mapping[str, Any],
  source: run.Run,
  workdir: epath.Path,
) -> tuple[np.ndarray, np.ndarray]:
  """Features `[n, views, size]` and labels `[n]` of the training images."""
  dataset = dataclasses.replace(
    experiment.dataset, eval=experiment.dataset.train
  )
  batch_size = device.divisible(experiment.options.eval_batch_size)
  kept = _open(experiment, variables, source, workdir, batch_size)
  slots = cluster.local_slots(batch_size)
  answering.complete(
    kept,
    step_lib.parallelize_answer_step(_features_fn(experiment)),
    device.replicate(variables),
    lambda start, stop: dataset.eval_batches(
      batch_size=batch_size, slots=slots, start=start, stop=stop
    ),
    'features',
  )
  blocks = [
    kept.read(0, kept.num_images, view) for view in range(len(kept.views))
  ]
  counted = blocks[0].counted
  features = np.stack([x.log_probs for x in blocks], 1)
  return features[counted], blocks[0].labels[counted]


def _features_fn(experiment: experiment_lib.Experiment):
  """`(variables, images) -> features`, float32 `[batch, views, size]`."""

  def features_fn(variables, images):
    crops = [images, images[:, :, ::-1]][: experiment.last_layer.views]
    found = []
    for crop in crops:
      _, end_points = experiment.model.apply(
        variables, experiment.preprocessing(crop), train=False
      )
      found.append(end_points[_END_POINT].astype(np.float32))
    return jax.numpy.stack(found, 1)

  return features_fn


def _open(
  experiment: experiment_lib.Experiment,
  variables: Mapping[str, Any],
  source: run.Run,
  workdir: epath.Path,
  batch_size: int,
) -> answers_lib.Answers:
  """Where the features are kept: in the source, or in the run itself."""
  dataset, views = experiment.dataset, experiment.last_layer.views
  identity = {
    'network': source.digest,
    'end_point': _END_POINT,
    'dtype': np.dtype(experiment.model.dtype).name,
    'preprocessing': repr(experiment.preprocessing),
    'crop': [
      type(dataset.eval_crop).__name__,
      dataclasses.asdict(dataset.eval_crop),
    ],
    'views': views,
    'data': dataset.train.fingerprint(),
  }
  place = f'{_FEATURES}/{answers_lib.digest(identity)}'

  def open_in(folder):
    return answers_lib.Answers(
      folder / place,
      identity,
      views=tuple(
        crop_views.View(1, f'{_END_POINT}_{number}') for number in range(views)
      ),
      num_images=len(dataset.train),
      num_outputs=variables['params'][_CLASSIFIER]['kernel'].shape[0],
      batch_size=batch_size,
    )

  try:
    return open_in(epath.Path(experiment.config['init_from']))
  except (errors.InputError, errors.TrainingError) as error:
    logging.info('features are kept in %s (%s)', workdir, error)
    return open_in(workdir)


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
