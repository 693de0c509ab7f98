"""The paper's network on noise: throughput without a dataset.

Source: `googlenet_imagenet`, batches made once.
Expected: no accuracy of meaning; images a second in timing.jsonl.
Hardware and time: any; 100 steps. Needs no TensorFlow.
Command: python main.py --config=configs/fake_data.py --workdir=/tmp/fake
"""

import ml_collections

from configs import googlenet_imagenet


def get_config() -> ml_collections.ConfigDict:
  """Returns the config for measuring speed."""
  config = googlenet_imagenet.get_config()
  config.data.name = 'fake'
  config.train.num_train_steps = 100
  config.train.eval_batch_size = 100
  config.train.log_every_steps = 10
  config.train.eval_every_steps = 100
  config.train.checkpoint_every_steps = 100
  config.averaging.ema_decay = 0.99
  return config
