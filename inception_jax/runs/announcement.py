"""What a run says of itself before it trains."""

from collections.abc import Sequence

from absl import logging
import jax
import numpy as np

from inception_jax.experiment import experiment as experiment_lib
from inception_jax.experiment import idle_fields
from inception_jax.runtime import cluster, words

# What only steps of training need.
_OF_STEPS = (
  'augmentation.',
  'averaging.',
  'learning_rate.',
  'optimizer.',
  'train.num_',
  'train.label_smoothing',
)


def announce(
  experiment: experiment_lib.Experiment,
  workdir: object,
  changes: Sequence[str] = (),
) -> None:
  """Logs what is trained, on what, for how long, and where it goes.

  Args:
    experiment: what is trained.
    workdir: its run directory.
    changes: see `announce_changes`.
  """
  for name, text in _lines(experiment, workdir):
    _say(name, text)
  announce_changes(changes)
  if not experiment.num_train_steps:
    for change in changes:
      if change.startswith(_OF_STEPS):
        logging.warning(
          'config.%s has no effect, since no step is trained; leave it out, or'
          ' set config.last_layer.fit=False',
          change.partition(':')[0],
        )
    return
  for sentence in (
    *experiment.what_never_happens(),
    *idle_fields.sentences(experiment.config),
  ):
    logging.warning('%s', sentence)


def announce_changes(changes: Sequence[str]) -> None:
  """Logs which fields are other than in the config's file.

  Args:
    changes: of `experiment.changes.lines`.
  """
  if cluster.is_main_process():
    for change in changes:
      _say('changed', change)


def _say(name: str, text: str) -> None:
  logging.info('%-8s  %s', name, text)


def _lines(
  experiment: experiment_lib.Experiment, workdir: object
) -> list[tuple[str, str]]:
  config, dataset = experiment.config, experiment.dataset
  kinds = sorted({device.device_kind for device in jax.devices()})
  return [
    (
      'devices',
      f'{words.count(jax.device_count(), "device")} ({", ".join(kinds)}) of'
      f' {words.count(jax.process_count(), "process", "processes")}',
    ),
    ('network', f'{config["model"]["name"]}, {_parameters(experiment)}'),
    (
      'data',
      f'{config["data"]["name"]}: {words.count(len(dataset.train), "image")} to'
      f' train on, {len(dataset.eval):,} to evaluate,'
      f' {words.count(len(dataset.class_names), "class", "classes")},'
      f' {dataset.image_size} pixels',
    ),
    ('training', _length(experiment)),
    ('run', str(workdir)),
  ]


def _length(experiment: experiment_lib.Experiment) -> str:
  """How many steps, of how many images."""
  options, steps = experiment.options, experiment.num_train_steps
  if not steps:
    return 'no step: the classifier is fitted exactly, and all else is frozen'
  share = options.batch_size // jax.device_count()
  micro, not_used = options.num_microbatches, ''
  if options.num_train_steps and options.num_epochs:
    not_used = f' (num_epochs={options.num_epochs:g} is not used)'
  return (
    f'{words.count(steps, "step")} of'
    f' {words.count(options.batch_size, "image")}{not_used}, or'
    f' {steps / experiment.steps_per_epoch:,.2f} epochs of'
    f' {experiment.steps_per_epoch:,.1f} steps;'
    f' {words.count(share, "image")} on a device'
    + (f' in {micro} parts' if micro > 1 else '')
  )


def _parameters(experiment: experiment_lib.Experiment) -> str:
  params = jax.eval_shape(experiment.create_state).params
  sizes = {
    name: sum(int(np.prod(x.shape)) for x in jax.tree.leaves(layer))
    for name, layer in params.items()
  }
  heads = sum(n for name, n in sizes.items() if name.startswith('aux_'))
  text = f'{words.count(sum(sizes.values()) - heads, "parameter")}'
  if heads:
    text += f' and {heads:,} in auxiliary heads'
  return f'{text}, {np.dtype(experiment.model.dtype).name}'
