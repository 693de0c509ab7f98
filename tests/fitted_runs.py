"""Runs whose last layer is fitted to the features of another, for tests."""

import dataclasses

import ml_collections
import pytest
import random_runs
import tiny_config

from inception_jax import profiles
from inception_jax.data import labels
from inception_jax.evaluation import answering
from inception_jax.runs import run

NAME = 'inception_v1_bn_shallow'
# All but the classifier.
ALONE = ('conv*', 'inception_*')


def create_source(
  class_names=('cat', 'dog', 'owl'), seed=0, width=0.05
) -> run.Run:
  """A tiny network whose weights are drawn by chance."""
  made = random_runs.random_run(
    NAME,
    32,
    seed=seed,
    width=width,
    num_classes=len(class_names),
    use_aux=False,
  )
  return dataclasses.replace(
    made,
    preprocessing=profiles.profile_of(NAME).preprocessing,
    labels=labels.from_class_names(class_names),
  )


def get_config(source, freeze=ALONE, **options) -> ml_collections.ConfigDict:
  """A config that starts from it; `options` are of section `last_layer`."""
  config = tiny_config.get_config()
  config.init_from = str(source)
  config.freeze = freeze
  config.model.use_aux = False
  config.last_layer = options
  config.data.train_split = 'train[:240]'
  config.learning_rate = {'schedule': 'constant', 'init_value': 1e-9}
  config.averaging.polyak_start_epoch = None
  config.train.num_train_steps = 4
  return config


def record_missing(patch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
  """The gaps that are computed from now on, as `Answers.missing` has them."""
  asked, real = [], answering.complete

  def complete(answers, *rest):
    asked.extend(answers.missing())
    real(answers, *rest)

  patch.setattr(answering, 'complete', complete)
  return asked
