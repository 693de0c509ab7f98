"""The smallest real experiment: the demo's config, shrunk. For tests."""

import ml_collections

from configs import digits


def get_config(kind: str = '') -> ml_collections.ConfigDict:
  """Returns the config; of two runs, with one program, if `kind` is 'pair'."""
  config = digits.get_config()
  # Four modules of the nine: tracing and compiling is most of a test's time.
  config.model.name = 'inception_v1_bn_shallow'
  config.model.width = 0.05
  config.data.image_size = 32
  config.averaging.polyak_start_epoch = 6 * 8 / 1437
  config.train.update(
    {
      'batch_size': 8,
      'eval_batch_size': 120,
      'num_train_steps': 12,
      'log_every_steps': 2,
      'eval_every_steps': 6,
      'checkpoint_every_steps': 4,
      'check_replicas': True,
    }
  )
  if kind == 'pair':
    config.ensemble = {
      'members': {
        'm1': {},
        'm2': {'train': {'seed': 0}, 'data': {'area_range': (0.5, 0.6)}},
      },
      'only': (),
      'num_parallel': 1,
    }
  return config


def get_plain_config() -> ml_collections.ConfigDict:
  """Returns the same with the paper's plain network, all augmentation on."""
  config = get_config()
  config.model.name = 'inception_v1_shallow'
  config.data.image_size = 80
  config.learning_rate = {'schedule': 'constant', 'init_value': 0.01}
  config.augmentation = {
    'mirror': True,
    'brightness': 0.5,
    'contrast': 0.5,
    'saturation': 0.5,
    'hue': 0.1,
    'lighting_std': 0.1,
  }
  return config
