"""Which fields the command line changes of a config's file."""

import ml_collections
from ml_collections import config_dict
import numpy as np
import pytest
import tiny_config

from inception_jax.experiment import changes, overrides


def changed(config, *arguments):
  before = changes.values(config)
  config = overrides.apply(config, overrides.take(arguments)[1])
  return changes.lines(before, changes.values(config))


@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    ((), []),
    (('--config.train.batch_size=8',), []),  # As in the file.
    (
      ('--config.train.batch_size=16', '--config.data.image_size=48'),
      ['data.image_size: 32 → 48', 'train.batch_size: 8 → 16'],
    ),
    # What the file does not list has its default there.
    (('--config.train.seed=3',), ['train.seed: 0 → 3']),
    (('--config.train.debug_nans=false',), []),
    (('--config.train.check_replicas=None',), ['train.check_replicas: True →']),
    (('--config.freeze=conv*',), ["freeze: None → ('conv*',)"]),
    (
      ("--config.learning_rate={'schedule': 'constant', 'init_value': 0.1}",),
      ['learning_rate.init_value: ', "learning_rate.schedule: 'cosine' → 'con"],
    ),
    # Under its earlier name.
    (
      ('--config.train.polyak_start_epoch=2',),
      ['averaging.polyak_start_epoch: '],
    ),
  ],
)
def test_lines(arguments, expected):
  found = changed(tiny_config.get_config(), *arguments)
  if expected and 'learning_rate' in expected[0]:
    found = [x for x in found if 'init_value' in x or 'schedule' in x]
  assert len(found) == len(expected)
  for line, start in zip(found, expected, strict=True):
    assert line.startswith(start)


def test_ensembles():
  pair = lambda: tiny_config.get_config('pair')
  assert changed(pair(), '--config.ensemble=None') == [
    "ensemble: 'several runs' → None"
  ]
  assert changed(pair(), '--config.ensemble.members.m2.train.seed=7') == [
    'ensemble.members.m2.train.seed: 0 → 7'
  ]


def test_files_of_any_form():
  config = ml_collections.ConfigDict({'train': {'seed': 1}, 'own': {}})
  config.train.batch_size = config_dict.required_placeholder(int)
  config.train.table = np.zeros(3)
  assert changed(config, '--config.train.batch_size=4')[0] == (
    'train.batch_size: None → 4'
  )
  plain = {'train': {'seed': 1}}
  assert changed(plain, '--config.train.seed=2') == ['train.seed: 1 → 2']
