"""A config made real: the only reader of whole configs."""

from collections.abc import Mapping
import dataclasses
from typing import Any

import jax
import ml_collections
import numpy as np
import optax

from inception_jax import models, profiles
from inception_jax.data import dataset as dataset_lib
from inception_jax.data import device
from inception_jax.evaluation import accuracy, crop_views
from inception_jax.experiment import config as config_lib
from inception_jax.experiment import fields
from inception_jax.runtime import cluster, errors, ranges, words
from inception_jax.training import (
  augment,
  freezing,
  learning_rate,
  optimizer,
  stop_signal,
  train_state,
)
from inception_jax.training import averaging as averaging_lib
from inception_jax.training import last_layer as last_layer_lib
from inception_jax.training import options as options_lib
from inception_jax.training import step as step_lib


@dataclasses.dataclass(frozen=True)
class Experiment:
  """Everything a config describes, built and checked, nothing started.

  Attributes:
    config: the config as plain, JSON-like data.
    options: its section `train`.
    model_arguments: of `models.create_model`.
    model: the network as `load_run` makes it.
    dataset: training and evaluation records.
    augmentation: what happens to the training images on the device.
    preprocessing: pixels to network input.
    learning_rate_fn: learning rate of each step.
    tx: optimizer.
    averaging: averages to keep.
    is_frozen: what training leaves alone.
    last_layer: the config's section of that name.
    steps_per_epoch: updates in one pass over the training set.
    num_train_steps: updates of the whole run.
  """

  config: dict[str, Any]
  options: options_lib.TrainOptions
  model_arguments: dict[str, Any]
  model: models.GoogLeNet
  dataset: dataset_lib.Dataset
  augmentation: augment.Augmentation
  preprocessing: Any
  learning_rate_fn: optax.Schedule
  tx: optax.GradientTransformation
  averaging: averaging_lib.Averaging
  is_frozen: freezing.IsFrozenFn
  last_layer: last_layer_lib.LastLayerOptions
  steps_per_epoch: float
  num_train_steps: int

  @property
  def keys(self) -> tuple[jax.Array, jax.Array]:
    """Keys of the initial weights, and of augmentation and dropout."""
    seed, init_seed = self.options.seed, self.options.init_seed
    init_key, step_key = jax.random.split(jax.random.key(seed))
    if init_seed is not None:
      init_key, _ = jax.random.split(jax.random.key(init_seed))
    return init_key, step_key

  @property
  def slots(self) -> np.ndarray:
    """Places in the global training batch that this process holds.

    Raises:
      InputError: if the batch does not divide over the devices, or a device's
        share not into its micro-batches.
    """
    slots = cluster.local_slots(self.options.batch_size)
    share = self.options.batch_size // jax.device_count()
    if share % self.options.num_microbatches:
      raise errors.InputError(
        f'config.train.num_microbatches={self.options.num_microbatches} does'
        f' not divide the {words.count(share, "example")} of each device; give'
        ' a divisor'
      )
    return slots

  @property
  def trains_classifier_alone(self) -> bool:
    """Whether a run from other weights leaves all but the classifier alone."""
    if self.config['init_from'] is None or not self.config['freeze']:
      return False
    params = jax.eval_shape(self.create_state).params
    return list(freezing.split(params, self.is_frozen)[0]) == ['classifier']

  def what_never_happens(self) -> list[str]:
    """Sentences on what the config asks for after the end of the run."""
    found = learning_rate.what_never_happens(
      **self.config['learning_rate'],
      steps_per_epoch=self.steps_per_epoch,
      num_train_steps=self.num_train_steps,
    )
    start = self.averaging.polyak_start_step
    if start is not None and start >= self.num_train_steps:
      epoch = self.config['averaging']['polyak_start_epoch']
      found.append(
        f'config.averaging.polyak_start_epoch={epoch:g} is step {start:,} and'
        f' the run ends at step {self.num_train_steps:,}: there will be no'
        ' Polyak average; lower it, or set it to None'
      )
    return found

  def create_state(self, is_blank: bool = False) -> train_state.TrainState:
    """State of step 0, with random weights, or zeros if `is_blank`."""
    return train_state.create_train_state(
      self.keys[0],
      self.model,
      self.dataset.image_size,
      self.tx,
      self.averaging,
      self.is_frozen,
      is_blank,
    )

  def create_train_step(self) -> step_lib.StepFn:
    """Compiled `(state, batch) -> (state, metrics)` over all devices."""
    # Batch norm over the whole batch, so that devices do not change a result.
    model = self.model.clone(axis_name=device.AXIS)
    return step_lib.parallelize_train_step(
      step_lib.create_train_step(
        model=model,
        tx=self.tx,
        learning_rate_fn=self.learning_rate_fn,
        averaging=self.averaging,
        augmentation=self.augmentation,
        preprocessing=self.preprocessing,
        key=self.keys[1],
        aux_weight=self.options.aux_weight,
        label_smoothing=self.options.label_smoothing,
        num_microbatches=self.options.num_microbatches,
        is_frozen=self.is_frozen,
      )
    )

  def create_eval_step(self) -> step_lib.StepFn:
    """Compiled `(variables, batch) -> sums` over all devices."""
    logits_fn = crop_views.create_logits_fn(self.model, self.preprocessing)
    return step_lib.parallelize_eval_step(step_lib.create_eval_step(logits_fn))

  def train_batches(self, start_step: int):
    """Host batches from a step on."""
    return self.dataset.train_batches(
      seed=self.options.seed,
      start_step=start_step,
      num_train_steps=self.num_train_steps,
      batch_size=self.options.batch_size,
      slots=self.slots,
    )

  def evaluate(
    self,
    eval_step: step_lib.StepFn,
    variables: Mapping[str, Any],
    used: str | None = None,
    count_fn: accuracy.CountFn | None = None,
    stop: stop_signal.StopSignal | None = None,
  ) -> dict[str, dict[str, float]]:
    """Evaluates several sets of weights on every image once.

    Args:
      eval_step: see `create_eval_step`.
      variables: the weights, by name.
      used: whose predictions `count_fn` takes; None is nobody's.
      count_fn: see `accuracy.evaluate`.
      stop: likewise.
    """
    batch_size = device.divisible(self.options.eval_batch_size)
    batches = self.dataset.eval_batches(
      batch_size=batch_size, slots=cluster.local_slots(batch_size)
    )
    return accuracy.evaluate(
      eval_step,
      variables,
      device.prefetch(batches),
      len(self.dataset.eval),
      -(-len(self.dataset.eval) // batch_size),
      used,
      count_fn,
      stop,
    )


def create_experiment(
  config: ml_collections.ConfigDict | Mapping[str, Any],
) -> Experiment:
  """Builds and checks everything a config describes; writes nothing.

  Args:
    config: see `config.sections` and `configs/`. What it says to
      start from is not opened here: a run that goes on does not need it.

  Returns:
    The experiment.

  Raises:
    InputError: if a field is unknown, missing or out of its range, or the
      data cannot be read.
  """
  config = config_lib.sections(config)
  config_lib.check_required(config)
  options = fields.call_with_section(
    options_lib.TrainOptions, 'train', config['train']
  )
  # What costs nothing to check comes before the data is opened.
  augmentation = fields.call_with_section(
    augment.Augmentation, 'augmentation', config['augmentation']
  )
  fields.call_with_section(
    models.create_model, 'model', {'num_classes': 1, **config['model']}
  )
  profile = profiles.profile_of(config['model']['name'])
  dataset = _open_dataset(config, profile)
  model_arguments = _model_arguments(config, dataset)
  experiment = Experiment(
    config=config,
    options=options,
    model_arguments=model_arguments,
    model=fields.call_with_section(
      models.create_model, 'model', model_arguments
    ),
    dataset=dataset,
    augmentation=augmentation,
    preprocessing=profile.preprocessing,
    is_frozen=freezing.nothing_is_frozen,
    last_layer=fields.call_with_section(
      last_layer_lib.LastLayerOptions, 'last_layer', config['last_layer']
    ),
    **_create_schedule(config, options, len(dataset.train)),
  )
  return dataclasses.replace(
    experiment, is_frozen=_create_is_frozen(experiment)
  )


def _create_schedule(
  config: Mapping[str, Any],
  options: options_lib.TrainOptions,
  num_examples: int,
) -> dict[str, Any]:
  """The fields of `Experiment` that depend on the number of steps.

  Args:
    config: with all its sections.
    options: its section `train`.
    num_examples: size of the training set.

  Returns:
    `steps_per_epoch, num_train_steps, learning_rate_fn, tx, averaging`.
  """
  steps_per_epoch = num_examples / options.batch_size
  num_train_steps = options.num_train_steps or max(
    options.min_train_steps or 1, round(options.num_epochs * steps_per_epoch)
  )
  if num_train_steps > ranges.MAX_STEPS:
    raise errors.InputError(
      f'config.train.num_epochs={options.num_epochs:g} is {num_train_steps:,}'
      f' steps; a run has at most {ranges.MAX_STEPS:,}: lower it'
    )
  learning_rate_fn = fields.call_with_section(
    learning_rate.create_learning_rate_fn,
    'learning_rate',
    config['learning_rate'],
    steps_per_epoch=steps_per_epoch,
    num_train_steps=num_train_steps,
  )
  return {
    'steps_per_epoch': steps_per_epoch,
    'num_train_steps': num_train_steps,
    'learning_rate_fn': learning_rate_fn,
    'tx': fields.call_with_section(
      optimizer.create_optimizer,
      'optimizer',
      config['optimizer'],
      learning_rate_fn=learning_rate_fn,
    ),
    'averaging': fields.call_with_section(
      averaging_lib.create_averaging,
      'averaging',
      config['averaging'],
      steps_per_epoch=steps_per_epoch,
      num_train_steps=num_train_steps,
    ),
  }


def _open_dataset(
  config: Mapping[str, Any], profile: profiles.Profile
) -> dataset_lib.Dataset:
  data = dict(config['data'])
  if data.get('eval_crop') is None:
    data['eval_crop'] = profile.eval_crop
  return fields.call_with_section(dataset_lib.open_dataset, 'data', data)


def _model_arguments(
  config: Mapping[str, Any], dataset: dataset_lib.Dataset
) -> dict[str, Any]:
  """Of `models.create_model`: as many outputs as classes, or more."""
  num_classes = len(dataset.class_names)
  arguments = {'num_classes': num_classes, **config['model']}
  if arguments['num_classes'] < num_classes:
    raise errors.InputError(
      f'config.model.num_classes={arguments["num_classes"]} is less than the'
      f' {words.count(num_classes, "class", "classes")} of the data; raise it,'
      ' or leave it out to have one output for each class'
    )
  return arguments


def _create_is_frozen(experiment: Experiment) -> freezing.IsFrozenFn:
  """What the config freezes; raises if its images are too small, too."""
  try:
    state = jax.eval_shape(experiment.create_state)
  except ValueError as error:
    raise errors.InputError(
      f'config.data.image_size={experiment.dataset.image_size}: {error}'
    ) from error
  globs = experiment.config['freeze']
  if not globs:
    return freezing.nothing_is_frozen
  try:
    return freezing.create_is_frozen(globs, state.params)
  except ValueError as error:
    raise errors.InputError(f'config.freeze: {error}') from error
