"""How a run resumes: which state training starts from.

Running the same command again resumes. The order of examples and all random
numbers are functions of (seed, step, slot), so the step and the arrays of a
checkpoint are all that is needed:

1. `runs.directory.RunDirectory` checks that the config is that of the run.
2. `restore_or_init` restores the newest checkpoint whose digests are right. A
   corrupt one is moved to `corrupt_checkpoints/` and an older one is used. One
   that cannot be read for another reason ends the command instead.
3. `runs.recorder.Recorder` begins with the lines of `metrics.jsonl` that the
   checkpoint holds, whatever became of the file.
4. `training.loop.TrainLoop` continues with the window of metrics that the
   checkpoint holds, and `train_batches` with the batch of that step.

Without a checkpoint a run starts at step 0, with random weights or with those
of the run that `config.init_from` names (`runs.fine_tuning`).
"""

from typing import Any

from absl import logging
from etils import epath
import jax

from inception_jax import preprocess
from inception_jax.data import device
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.runs import (
  checkpoint,
  description,
  fine_tuning,
  last_layer,
  named_arrays,
  run,
)
from inception_jax.runtime import errors, read_failures
from inception_jax.training import train_state


def load_source(
  experiment: experiment_lib.Experiment, workdir: epath.Path
) -> run.Run | None:
  """The run whose weights a new run starts from.

  Args:
    experiment: whose config names it as `init_from`.
    workdir: the new run directory.

  Returns:
    The other run; None if the config names none, or if `workdir` has a
    checkpoint, from which the run resumes.

  Raises:
    InputError: see `fine_tuning.load_source`.
  """
  path = experiment.config['init_from']
  folder = workdir / 'checkpoints'
  if path is None:
    return None
  if read_failures.exists(folder):
    checkpoints = checkpoint.Checkpoints(folder, read_only=True)
    steps = checkpoints.steps()
    checkpoints.close()
    if steps:
      return None
  return fine_tuning.load_source(
    path,
    experiment.config['init_weights'],
    experiment.model,
  )


def preprocessing_of(
  experiment: experiment_lib.Experiment,
  workdir: epath.Path,
  source: run.Run | None,
) -> preprocess.Preprocessing:
  """What a run makes of pixels: what the run it began from did.

  Args:
    experiment: what is trained.
    workdir: its run directory.
    source: see `load_source`.

  Returns:
    That of the source, which each checkpoint keeps since the source may be gone
    by then; that of the network's name if there is none.
  """
  if experiment.config['init_from'] is None:
    return experiment.preprocessing
  found = source.preprocessing if source is not None else None
  if source is None:
    checkpoints = checkpoint.Checkpoints(
      workdir / 'checkpoints', read_only=True
    )
    metadata = checkpoints.read_metadata() or {}
    checkpoints.close()
    if description.PREPROCESSING in metadata:
      found = _read(metadata[description.PREPROCESSING], workdir)
  if found is None or found == experiment.preprocessing:
    return experiment.preprocessing
  logging.info(
    'pixels are prepared as for the weights that config.init_from names: %s',
    found.describe(),
  )
  return found


def _read(stored: Any, workdir: epath.Path) -> preprocess.Preprocessing:
  try:
    return description.read_values(stored)
  except description.WrongPartError as error:
    raise errors.InputError(
      f'the newest checkpoint of {workdir} is damaged (preprocessing: {error});'
      ' delete its folder to go on from an older one'
    ) from error


def restore_or_init(
  experiment: experiment_lib.Experiment,
  checkpoints: checkpoint.Checkpoints,
  source: run.Run | None,
) -> tuple[train_state.TrainState, dict[str, Any]]:
  """The state to train from, on the devices.

  Args:
    experiment: what is trained.
    checkpoints: of the run directory.
    source: the run whose weights a new run starts from; None is none.

  Returns:
    The state of the newest checkpoint that passes its digests and the loop's
    metadata; or the state of step 0 and an empty dict.

  Raises:
    InputError: if a checkpoint does not fit the config.
    CorruptCheckpointError: if there are checkpoints and all are corrupt.
    UnreadableCheckpointError: if one cannot be read for another reason.
  """
  found = checkpoints.restore_newest_good()
  if found is None:
    is_blank = _is_replaced(experiment, source)
    if not is_blank:
      logging.info('compiling and drawing the initial weights')
    state = experiment.create_state(is_blank)
    if source is not None:
      state = _start_at(experiment, state, source, checkpoints.directory.parent)
    elif experiment.config['freeze']:
      logging.warning(
        'config.freeze without config.init_from: what is frozen stays as it was'
        ' drawn by chance'
      )
    return device.replicate(state), {}
  step, arrays, metadata = found
  target = jax.eval_shape(experiment.create_state)
  state = named_arrays.unflatten(
    target, arrays, str(checkpoints.directory / str(step))
  )
  logging.info('going on from step %d of %s', step, checkpoints.directory)
  return device.replicate(state), metadata


def _is_replaced(
  experiment: experiment_lib.Experiment, source: run.Run | None
) -> bool:
  """Whether no weight of a new run is random: each is loaded or zero."""
  if source is None:
    return False
  shapes = jax.eval_shape(experiment.create_state).variables
  new = fine_tuning.new_modules(shapes, source, experiment.dataset.class_names)
  return set(new) <= {'classifier'}


def _start_at(
  experiment: experiment_lib.Experiment,
  state: train_state.TrainState,
  source: run.Run,
  workdir: epath.Path,
) -> train_state.TrainState:
  variables, transfer = fine_tuning.transfer(
    state.variables, source, experiment.dataset.class_names
  )
  transfer.log(source, experiment.config['init_from'])
  if last_layer.is_fitted(experiment):
    variables = last_layer.fit(experiment, variables, source, workdir)
  return train_state.start_at(
    state, variables, experiment.averaging, experiment.is_frozen
  )
