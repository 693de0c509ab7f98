"""Fields that nothing reads are named; those of the package's are none."""

import pytest

from inception_jax.experiment import config as config_lib
from inception_jax.experiment import config_files, field_table, idle_fields


def sections(**values):
  config = dict.fromkeys(config_lib.FIELDS)
  config |= {name: {} for name in config_lib.SECTIONS}
  config['model'] = {'name': 'inception_v1'}
  config['data'] = {'name': 'digits', 'image_size': 64}
  config['learning_rate'] = {'schedule': 'staircase', 'init_value': 0.1}
  for path, value in values.items():
    section, _, name = path.replace('__', '.').rpartition('.')
    (config[section] if section else config)[name] = value
  return config


@pytest.mark.parametrize(
  ('idle', 'remedies'),
  [
    ({'init_weights': 'ema'}, {'init_from': 'runs/a'}),
    ({'last_layer__views': 2}, {'init_from': 'runs/a'}),
    (
      {'averaging__inference_weights': 'polyak'},
      {'averaging__polyak_start_epoch': 1.0},
    ),
    ({'averaging__inference_weights': 'ema'}, {'averaging__ema_decay': 0.9}),
    ({'learning_rate__power': 2.0}, {'learning_rate__schedule': 'polynomial'}),
    ({'optimizer__rms_decay': 0.8}, {'optimizer__name': 'rmsprop'}),
    ({'optimizer__epsilon': 0.1}, {'optimizer__name': 'rmsprop'}),
    ({'optimizer__decay_biases': True}, {'optimizer__weight_decay': 0.1}),
    ({'model__batch_norm_momentum': 0.5}, {'model__name': 'inception_v1_bn'}),
  ],
  ids=lambda x: next(iter(x)),
)
def test_a_field_without_its_other_is_named(idle, remedies):
  (sentence,) = idle_fields.sentences(sections(**idle))
  ((name, value),) = idle.items()
  path = f'config.{name.replace("__", ".")}'
  assert sentence.startswith(f'{path}={value!r} has no effect with')
  (other,) = remedies
  assert f'config.{other.replace("__", ".")}' in sentence
  assert sentence.endswith(f', or leave {path} out')
  assert not idle_fields.sentences(sections(**idle, **remedies))


@pytest.mark.parametrize(
  ('changes', 'idle'),
  [
    (
      {'learning_rate__schedule': 'cosine', 'learning_rate__decay_rate': 0.5},
      ['learning_rate.decay_rate'],
    ),
    (
      {'learning_rate__schedule': 'cosine', 'learning_rate__decay_epochs': 8.0},
      [],  # The default.
    ),
    (
      {'data__train_crop': 'warp', 'data__area_range': [0.5, 1.0]},
      ['data.area_range'],
    ),
    ({'data__train_crop': 'warp', 'data__area_range': [0.08, 1.0]}, []),
    (
      {'data__name': 'fake', 'data__on_bad_image': 'skip'},
      ['data.on_bad_image'],
    ),
    ({'model__use_aux': False, 'train__aux_weight': 0.5}, ['train.aux_weight']),
    (
      {'model__name': 'inception_v1_tf_slim', 'train__aux_weight': 0.5},
      ['train.aux_weight'],
    ),
  ],
)
def test_what_another_value_makes_idle(changes, idle):
  found = idle_fields.sentences(sections(**changes))
  assert [x.partition('=')[0] for x in found] == [f'config.{x}' for x in idle]


def test_every_rule_names_fields():
  for rule in idle_fields._RULES:
    assert {rule.other, *rule.paths} <= set(field_table.fields())


@pytest.mark.parametrize('name', config_files.names())
def test_configs_of_the_package_have_none(name):
  config = config_lib.sections(config_files.load(name))
  assert not idle_fields.sentences(config)


def test_a_horizon_does_as_well_as_a_decay():
  wanted = sections(averaging__inference_weights='ema')
  assert idle_fields.sentences(wanted)
  wanted['averaging']['ema_horizon'] = 0.1
  assert not idle_fields.sentences(wanted)
