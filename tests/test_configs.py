"""Every file in configs/ is built and stepped."""

import ast
import importlib
import math
import pathlib

import jax
import ml_collections
import numpy as np
import pytest

from inception_jax.data import device
from inception_jax.ensemble import train as train_ensemble
from inception_jax.experiment import experiment

FOLDER = pathlib.Path(__file__).parent.parent / 'configs'
NAMES = sorted(p.stem for p in FOLDER.glob('*.py') if p.stem != '__init__')


SHALLOW = {
  'inception_v1': 'inception_v1_shallow',
  'inception_v1_bn': 'inception_v1_bn_shallow',
}


def get_config(name):
  return importlib.import_module(f'configs.{name}').get_config()


def first_with_its_network(name):
  """The first config with the same network."""
  network = get_config(name).model.name
  return next(x for x in NAMES if get_config(x).model.name == network)


def test_the_expected_configs_exist():
  assert {
    'googlenet_imagenet',
    'googlenet_bn_imagenet',
    'digits',
    'fake_data',
  } <= set(NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_docstring_says_what_to_expect(name):
  docstring = ast.get_docstring(ast.parse((FOLDER / f'{name}.py').read_text()))
  for word in ('Source:', 'Expected:', 'Hardware', 'Command:'):
    assert word in docstring
  command = docstring.split('Command:')[1]
  assert f'--config=configs/{name}.py' in command


def with_small_data(config):
  config = config.copy_and_resolve_references()
  config.train.batch_size = 8
  config.train.eval_batch_size = 8
  if config.data.name in ('imagenet2012', 'folder'):
    config.data.name = 'fake'
  if config.data.image_size > 80:
    config.data.image_size = 80
  return config


def test_every_network_is_stepped_at_full_depth():
  deep = {first_with_its_network(name) for name in NAMES}
  networks = {get_config(name).model.name for name in NAMES}
  assert len(deep) == len(networks) < len(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_config_trains_a_step(name):
  config = get_config(name)
  if train_ensemble.is_ensemble(config):
    _, members = train_ensemble.member_configs(config)
    config = ml_collections.ConfigDict(next(iter(members.values())))
    config.train.init_seed = None  # The same program as alone.
  # The network's types and options are the config's; its size and data are a
  # test's. One config of each network is stepped at full depth, which the
  # others are built at: all but the depth differs between them.
  config.model.width = 0.05
  config.freeze = None  # Trained as it is by option.
  if first_with_its_network(name) != name:
    experiment.create_experiment(with_small_data(config))
    config.model.name = SHALLOW[config.model.name]
  built = experiment.create_experiment(with_small_data(config))
  state = device.replicate(built.create_state())
  before = jax.device_get(state.params)
  batch = device.shard(next(iter(built.train_batches(0))))
  batch['stop'] = device.shard({'stop': np.zeros(1, np.int32)})['stop'][:, 0]
  # A warm-up begins at rate zero: step twice.
  step = built.create_train_step()
  state, first = step(state, batch)
  state, metrics = step(state, batch)
  metrics = {k: v.item() for k, v in jax.device_get(metrics).items()}
  chance = math.log(built.model.num_classes)
  heads = {name[5:] for name in metrics if name.startswith('loss_')}
  assert heads == {'main', *(('aux_4a', 'aux_4d') * built.model.use_aux)}
  for head in heads:
    loss = first[f'loss_{head}'].item()
    # Four modules of the plain network leave the first logits larger.
    is_deep = first_with_its_network(name) == name
    assert loss == pytest.approx(chance, rel=1.0 if is_deep else 4.0)
  assert all(np.isfinite(list(metrics.values())))
  moved = jax.tree.map(lambda a, b: (a != b).any(), before, state.params)
  assert moved['conv1']['kernel'] and moved['classifier']['bias']
  assert all(x.dtype == np.float32 for x in jax.tree.leaves(state.params))


def test_the_paper_recipe_says_what_the_paper_says():
  config = get_config('googlenet_imagenet')
  assert config.model.name == 'inception_v1'
  assert config.train.aux_weight == 0.3  # Section 5.
  assert config.optimizer.momentum == 0.9  # Section 6, as all below.
  assert config.learning_rate.schedule == 'staircase'
  assert config.learning_rate.decay_rate == 0.96
  assert config.learning_rate.decay_epochs == 8
  assert tuple(config.data.area_range) == (0.08, 1.0)
  assert tuple(config.data.aspect_ratio_range) == (3 / 4, 4 / 3)
  assert config.data.image_size == 224
  assert config.augmentation.mirror  # Section 7; Howard's factors below.
  for name in ('brightness', 'contrast', 'saturation'):
    assert config.augmentation[name] == 0.5
  assert config.averaging.polyak_start_epoch is not None


def test_the_papers_recipe_is_used_with_its_polyak_average():
  wanted = {
    name: get_config(name).averaging.get('inference_weights') for name in NAMES
  }
  paper = {name for name, kind in wanted.items() if kind == 'polyak'}
  assert {'googlenet_imagenet', 'ensemble'} <= paper
  assert not paper & {'folder', 'digits', 'googlenet_bn_imagenet'}
