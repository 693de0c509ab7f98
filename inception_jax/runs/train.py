"""Trains one run: a config and a folder to a trained run directory."""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import dataclasses
import json
from typing import Any

from absl import logging
from etils import epath
from flax import traverse_util
import jax
import ml_collections

from inception_jax.data import dataset, device, labels
from inception_jax.evaluation import scores
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.runs import (
  announcement,
  checkpoint,
  choice,
  claim,
  fine_tuning,
  foreign_files,
  last_layer,
  log_file,
  not_finite,
  pictures,
  resume,
  run,
  state_functions,
  two_steps,
)
from inception_jax.runs import directory as directory_lib
from inception_jax.runs import recorder as recorder_lib
from inception_jax.runtime import (
  agreement,
  cluster,
  errors,
  json_files,
  paths,
)
from inception_jax.training import loop as loop_lib
from inception_jax.training import loop_options, train_state, watched_step


def train(
  config: ml_collections.ConfigDict | Mapping[str, Any],
  workdir: epath.PathLike,
  changes: Sequence[str] = (),
) -> dict[str, Any]:
  """Trains, or goes on where the run in `workdir` stopped.

  Args:
    config: see `create_experiment`.
    workdir: run directory, new or of the same config.
    changes: what is other than in the config's file, for the log.

  Returns:
    `workdir`, `step`, and `evaluation` by kind of weights; and, of a run in two
    steps, `used`, the run directory of the better one.

  Raises:
    InputError: if something given cannot be used; nothing is written then. A
      HeldError if another process trains in `workdir`.
    TrainingError: if training cannot go on.
    Interrupted: after SIGTERM or SIGINT, once the state is saved.
  """
  workdir = paths.expand(workdir, '--workdir')
  paths.check_folder(workdir, '--workdir')
  foreign_files.check(workdir)
  directory_lib.check_data_name(workdir, config)
  experiment = experiment_lib.create_experiment(config)
  _ = experiment.slots  # Raises before anything is written.
  _check_classes(experiment.dataset.class_names)
  agreement.agree('config', _shared_config(experiment.config))
  agreement.agree('data', experiment.dataset.identity)
  with claim.claim(workdir):
    return _train(experiment, workdir, changes)


def _check_classes(class_names: Sequence[str]) -> None:
  if len(class_names) == 1:
    raise errors.InputError(
      f'config.data has one class, {class_names[0]!r}, so that there is nothing'
      ' to learn; put the pictures of each class into a folder of its own, and'
      ' prepare the folder that holds these'
    )


def _train(
  experiment: experiment_lib.Experiment,
  workdir: epath.PathLike,
  changes: Sequence[str],
) -> dict[str, Any]:
  """As `train`, in a run directory that is this run's."""
  source = resume.load_source(experiment, epath.Path(workdir))
  experiment = dataclasses.replace(
    experiment,
    preprocessing=resume.preprocessing_of(
      experiment, epath.Path(workdir), source
    ),
  )
  if last_layer.is_all(experiment, epath.Path(workdir)):
    experiment = last_layer.without_steps(experiment)
  writes = cluster.is_main_process()
  directory = _open_directory(experiment, source, workdir, writes)
  with log_file.keep(directory.path) if writes else contextlib.nullcontext():
    if writes:
      announcement.announce(experiment, directory.path, changes)
    if not two_steps.is_wanted(experiment):
      return _run(experiment, source, directory, writes)
    if source is not None:
      source = _fit_first(experiment, source, directory.path, writes)
    result = _run(experiment, source, directory, writes)
    if writes:
      two_steps.choose(experiment, directory.path, result['evaluation'])
      result['used'] = str(choice.used(directory.path))
    return result


def _fit_first(
  experiment: experiment_lib.Experiment,
  source: run.Run,
  workdir: epath.Path,
  writes: bool,
) -> run.Run:
  """Makes the run of the fitted classifier, from which the rest starts."""
  first = two_steps.first_step(experiment)
  folder = workdir / choice.FIRST_STEP
  _run(first, source, _open_directory(first, source, folder, writes), writes)
  return fine_tuning.load_source(folder, None, experiment.model)


def _run(
  experiment: experiment_lib.Experiment,
  source: run.Run | None,
  directory: directory_lib.RunDirectory,
  writes: bool,
) -> dict[str, Any]:
  """Trains in a directory that is described."""
  checkpoints = checkpoint.Checkpoints(
    directory.path / 'checkpoints', keep=experiment.options.keep_checkpoints
  )
  state, metadata = resume.restore_or_init(experiment, checkpoints, source)
  recorder = recorder_lib.Recorder(
    directory.path,
    metadata.get('step', 0),
    writes,
    # Without a checkpoint there is nothing to go on from.
    metadata.get('lines') if metadata else '',
  )
  agreement.agree('checkpoint', int(state.step))
  if not experiment.num_train_steps:
    last_layer.finish(experiment, checkpoints, recorder, state, metadata)
    return _result(directory, state, recorder)
  plots, confusions = directory.path / 'plots', pictures.Confusions(experiment)
  loop = _create_loop(
    experiment,
    checkpoints,
    recorder,
    metadata,
    lambda: writes and pictures.draw_curves(experiment, plots, recorder),
    confusions,
  )
  batches = device.prefetch(experiment.train_batches(int(state.step)))
  try:
    if writes and not metadata:
      pictures.record_crops(experiment, recorder)
    with jax.debug_nans(experiment.options.debug_nans):
      state = loop.run(state, batches)
    if writes:
      confusions.record(recorder, int(state.step))
  except BaseException as error:
    if isinstance(error, errors.NotFiniteError):
      remedy = not_finite.remedy(experiment, directory.path, error.last_good)
      error.args = (f'{error}; {remedy}',)
    if lost := cluster.lost(error):
      recorder.close()
      raise lost from error  # Without that process no save is finished.
    _close(recorder, checkpoints)
    raise
  _close(recorder, checkpoints)
  if writes:
    logging.info('checkpoints: %s', directory.path / 'checkpoints')
    pictures.save(experiment, plots, recorder)
  return _result(directory, state, recorder)


def _result(
  directory: directory_lib.RunDirectory,
  state: train_state.TrainState,
  recorder: recorder_lib.Recorder,
) -> dict[str, Any]:
  """See `train`."""
  return {
    'workdir': str(directory.path),
    'step': int(state.step),
    'evaluation': {
      kind: scores.with_top1_interval(means)
      for kind, means in recorder.last_evaluation().items()
    },
  }


def _close(
  recorder: recorder_lib.Recorder, checkpoints: checkpoint.Checkpoints
) -> None:
  with cluster.closing():
    try:
      recorder.close()
    finally:
      checkpoints.close()


def _shared_config(config: Mapping[str, Any]) -> dict[str, Any]:
  """Fields of a config that all processes of a run must have alike."""
  fields = traverse_util.flatten_dict(
    json.loads(json_files.dumps(config)), sep='.'
  )
  free = {f'data.{name}' for name in dataset.OF_HOSTS}
  return {name: x for name, x in fields.items() if name not in free}


def _open_directory(
  experiment: experiment_lib.Experiment,
  source: run.Run | None,
  workdir: epath.PathLike,
  writes: bool,
) -> directory_lib.RunDirectory:
  """The run directory, described; checks before it writes anything."""
  if source is not None:
    fine_tuning.check(
      jax.eval_shape(experiment.create_state).variables,
      source,
      experiment.dataset.class_names,
      experiment.is_frozen,
    )
  directory = directory_lib.RunDirectory(workdir, experiment.config)
  if writes:
    directory.describe(
      experiment.model_arguments,
      experiment.preprocessing,
      experiment.dataset.eval_crop,
      labels.from_class_names(
        experiment.dataset.class_names, experiment.model.num_classes
      ),
      experiment.num_train_steps,
      experiment.dataset.identity,
    )
  return directory


def _create_loop(
  experiment: experiment_lib.Experiment,
  checkpoints: checkpoint.Checkpoints,
  recorder: recorder_lib.Recorder,
  metadata: Mapping[str, Any],
  draw_fn: Callable[[], None],
  confusions: pictures.Confusions,
) -> loop_lib.TrainLoop:
  options = experiment.options
  return loop_lib.TrainLoop(
    options=loop_options.LoopOptions(
      num_train_steps=experiment.num_train_steps,
      batch_size=options.batch_size,
      num_classes=experiment.model.num_classes,
      log_every_steps=options.log_every_steps,
      eval_every_steps=options.eval_every_steps,
      checkpoint_every_steps=options.checkpoint_every_steps,
      checkpoint_every_minutes=options.checkpoint_every_minutes,
      dead_head_steps=options.dead_head_steps,
    ),
    train_step=watched_step.announced(
      watched_step.profiled(
        experiment.create_train_step(),
        options.profile_steps,
        metadata.get('step', 0),
        recorder.folder / 'profile',
      )
    ),
    evaluate_fn=state_functions.create_evaluate_fn(experiment, confusions.add),
    save_fn=state_functions.create_save_fn(experiment, checkpoints, recorder),
    recorder=recorder,
    metadata=metadata,
    draw_fn=draw_fn,
    describe_fn=lambda results: ', '.join(
      f'{kind} {scores.with_interval(means["top1"], means["num_images"])}'
      for kind, means in results.items()
    ),
  )
