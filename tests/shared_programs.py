"""Compiled steps and initial states, shared by the runs of one config.

Each is a function of the config alone, and tracing one takes seconds, more than
the few updates that a test makes with it.
"""

import json

import jax
import numpy as np
import pytest

_KEPT = {}
_clear_caches = jax.clear_caches


def forget():
  """Frees all of them."""
  _KEPT.clear()
  _clear_caches()


def share(patch: pytest.MonkeyPatch):
  """Shares them until the patch is undone."""
  from inception_jax.experiment import experiment

  # An ensemble frees the programs of each member before it trains the next.
  patch.setattr(jax, 'clear_caches', lambda: None)
  for name, keep in (
    ('create_train_step', lambda step: step),
    ('create_eval_step', lambda step: step),
    # Training donates the arrays of a state, so the kept ones are copies.
    ('create_state', lambda state: jax.tree.map(np.array, state)),
  ):
    method = getattr(experiment.Experiment, name)
    patch.setattr(experiment.Experiment, name, _shared(name, method, keep))


def _shared(name, method, keep):
  def create(self, *arguments):
    key = (name, arguments, jax.device_count(), _key(self, name))
    if key not in _KEPT:
      made = method(self, *arguments)
      if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(made)):
        return made  # Only its shapes are asked for.
      _KEPT[key] = keep(made)
      return made
    return _KEPT[key]

  return create


# Fields of `train` that say when the loop does what, and in what portions.
_OF_THE_LOOP = (
  'eval_batch_size',
  'log_every_steps',
  'eval_every_steps',
  'checkpoint_every_steps',
  'keep_checkpoints',
  'dead_head_steps',
  'check_replicas',
)


def _key(experiment, name):
  """Whatever decides what the method of this name makes."""
  config = dict(experiment.config)
  train = dict(config.pop('train'))
  for field in ('data', 'init_from', 'init_weights'):
    del config[field]
  if name != 'create_state':
    train.pop('init_seed', None)
  return json.dumps(
    [
      config,
      {k: v for k, v in train.items() if k not in _OF_THE_LOOP},
      experiment.num_train_steps,
      experiment.steps_per_epoch,
      experiment.model_arguments,
      experiment.dataset.image_size,
    ],
    sort_keys=True,
  )
