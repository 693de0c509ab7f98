"""GoogLeNet with batch norm on ImageNet-2012: the one that trains easily.

Source: the paper's network and crops; batch norm, the cosine schedule and the
  larger batch are not from the paper (batch norm: Ioffe and Szegedy 2015).
Expected: about 70 % top-1, what published networks of this kind reach
  (torchvision 69.8 %, TF-slim 69.8 %). Not yet trained with this code.
Hardware: any number of devices that divides the batch.
Command: python main.py --config=configs/googlenet_bn_imagenet.py
  --workdir=runs/googlenet_bn --config.data.data_dir=...
"""

import ml_collections

from configs import googlenet_imagenet


def get_config() -> ml_collections.ConfigDict:
  """Returns the recipe with batch norm."""
  config = googlenet_imagenet.get_config()
  config.model.name = 'inception_v1_bn'
  config.learning_rate = {
    'schedule': 'cosine',
    'init_value': 0.1,  # For batch 256.
    'warmup_epochs': 5.0,
  }
  config.optimizer.weight_decay = 5e-5
  config.train.batch_size = 256
  config.train.num_epochs = 90.0
  config.averaging.polyak_start_epoch = 80.0
  config.averaging.inference_weights = 'ema'
  config.train.eval_every_steps = 5_000
  config.train.checkpoint_every_steps = 5_000
  return config
