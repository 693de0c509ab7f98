"""`googlenet_bn_imagenet` on 64 TPU v5e chips: bfloat16, batch 8,192.

Source: as there; 128 images a chip fill the lanes of its vector unit. The
  learning rate is proportional to the batch and rises for five epochs, as
  Goyal et al. 2017 (arXiv 1706.02677) train ResNet-50 with batches up to 8,192.
Expected: as there. Never run on a TPU.
Hardware: a v5e slice of 64 chips, which has 16 hosts (v5litepod-64).
Command: python main.py --config=configs/googlenet_bn_imagenet_v5e64.py
  --workdir=gs://... --config.data.data_dir=gs://... on every host
"""

import ml_collections

from configs import googlenet_bn_imagenet_tpu


def get_config() -> ml_collections.ConfigDict:
  """Returns the overrides for 64 chips."""
  config = googlenet_bn_imagenet_tpu.get_config()
  config.train.batch_size = 8_192
  config.train.eval_batch_size = 8_192
  config.learning_rate.init_value = 3.2  # 0.1 for each 256 images.
  config.learning_rate.warmup_epochs = 5.0
  config.train.eval_every_steps = 625  # Four epochs.
  config.train.checkpoint_every_steps = 625
  config.train.checkpoint_every_minutes = 10.0
  return config
