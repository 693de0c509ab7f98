"""Functions of a training state: one evaluates it, one saves it."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from inception_jax.evaluation import accuracy
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.runs import checkpoint, description
from inception_jax.runs import recorder as recorder_lib
from inception_jax.training import averaging as averaging_lib
from inception_jax.training import freezing, loop, train_state


def create_evaluate_fn(
  experiment: experiment_lib.Experiment,
  count_fn: accuracy.CountFn,
) -> Callable[..., loop.Evaluation]:
  """`(state, stop=None) -> scores` of each kind of weights that it has.

  Args:
    experiment: of the run.
    count_fn: takes labels and predictions of the images at the end, with the
      weights that the run is used with.
  """
  eval_step = experiment.create_eval_step()
  read_averages = jax.jit(averaging_lib.averaged_variables)

  def evaluate_fn(state, stop=None):
    variables = {'raw': state.variables}
    for name, averaged in read_averages(state.averages).items():
      # Frozen modules have no average.
      variables[name] = freezing.merge(state.variables, averaged)
    polyak = state.averages.polyak
    if polyak is not None and not int(polyak.count):
      del variables['polyak']  # It has not begun.
    if int(state.step) < experiment.num_train_steps:
      return experiment.evaluate(eval_step, variables, stop=stop)
    used = averaging_lib.default_kind(
      experiment.config['averaging'].get('inference_weights'), variables
    )
    return experiment.evaluate(eval_step, variables, used, count_fn, stop)

  return evaluate_fn


def create_save_fn(
  experiment: experiment_lib.Experiment,
  checkpoints: checkpoint.Checkpoints,
  recorder: recorder_lib.Recorder,
) -> Callable[[train_state.TrainState, Mapping[str, Any]], None]:
  """Saves a state with the loop's metadata, from which the run resumes."""

  def save_fn(state, loop_metadata):
    if experiment.options.check_replicas:
      train_state.check_replicas(state)
    metadata = {
      **loop_metadata,
      'config': experiment.config,
      'data': experiment.dataset.identity,
      'lines': recorder.metrics.text,
    }
    if experiment.config['init_from'] is not None:
      metadata[description.PREPROCESSING] = description.values(
        experiment.preprocessing
      )
    checkpoints.save(loop_metadata['step'], state, metadata)

  return save_fn
