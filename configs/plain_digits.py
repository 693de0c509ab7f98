"""The paper's plain network on the digits: three heads that all learn.

Source: the paper's network, full width and all three heads, at 80 pixels.
Expected: the loss of every head falls well below ln(10) = 2.303.
Hardware and time: two CPU cores, a few minutes.
Command: python main.py --config=configs/plain_digits.py
  --workdir=runs/plain_digits
"""

import ml_collections

from configs import digits


def get_config() -> ml_collections.ConfigDict:
  """Returns the demo's config with the plain network."""
  config = digits.get_config()
  config.model.name = 'inception_v1'
  config.model.width = 1.0
  config.data.image_size = 80
  config.learning_rate = {
    'schedule': 'staircase',
    'init_value': 0.01,
    'decay_rate': 0.96,
    'decay_epochs': 8.0,
  }
  config.train.num_epochs = 14.0
  config.averaging.polyak_start_epoch = 12.0
  # Its heads begin to learn after some 200 steps.
  config.train.dead_head_steps = 400
  return config
