"""Handwritten digits with a half-width batch-norm GoogLeNet: the demo.

Source: not from the paper; 1,797 digits of 8x8 pixels that scikit-learn ships,
  enlarged to 64x64, 1,437 to train on and 360 held out.
Expected: at least 98 % top-1 on the 360 with the averaged weights.
Hardware and time: two CPU cores, under 3 minutes.
Command: python main.py --config=configs/digits.py --workdir=runs/digits
"""

import ml_collections
from ml_collections import config_dict


def get_config() -> ml_collections.ConfigDict:
  """Returns the config of the demo."""
  return ml_collections.ConfigDict(
    {
      'init_from': config_dict.placeholder(str),
      'init_weights': config_dict.placeholder(str),
      'freeze': config_dict.placeholder(tuple),
      'model': {'name': 'inception_v1_bn', 'width': 0.5, 'dtype': 'float32'},
      'data': {
        'name': 'digits',
        'data_dir': config_dict.placeholder(str),
        'train_split': 'train',
        'eval_split': 'test',
        'image_size': 64,
        # A digit cut in half is another digit.
        'area_range': (0.7, 1.0),
        'aspect_ratio_range': (0.8, 1.25),
        'interpolations': ('bilinear',),
        'eval_crop': 'center_square',
        'num_threads': config_dict.placeholder(int),
      },
      'augmentation': {
        'mirror': False,  # A mirrored digit is no digit.
        'brightness': 0.0,
        'contrast': 0.0,
        'saturation': 0.0,
        'hue': 0.0,
        'lighting_std': 0.0,
      },
      'learning_rate': {
        'schedule': 'cosine',
        'init_value': 0.03,
        'warmup_epochs': 0.5,
      },
      'optimizer': {
        'momentum': 0.9,
        'weight_decay': 1e-4,
        'head_learning_rate_multiplier': config_dict.placeholder(float),
      },
      'averaging': {'ema_decay': 0.95, 'polyak_start_epoch': 8.0},
      'train': {
        'seed': 0,
        'batch_size': 32,
        'eval_batch_size': 120,
        'num_epochs': 10.0,
        'num_train_steps': config_dict.placeholder(int),
        'aux_weight': 0.3,
        'num_microbatches': 1,
        'log_every_steps': 10,
        'eval_every_steps': 90,
        'checkpoint_every_steps': 90,
        'dead_head_steps': 100,
      },
    }
  )
