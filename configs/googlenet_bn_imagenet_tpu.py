"""`googlenet_bn_imagenet` on TPUs: bfloat16, batch 1024.

Source: as there; 128 images a chip fill the lanes of its vector unit: 8 chips.
Expected: as there. Never run on a TPU.
Hardware: any number of chips that divides 1024; 8 are what it is made for.
Command: python main.py --config=configs/googlenet_bn_imagenet_tpu.py
  --workdir=gs://... --config.data.data_dir=gs://...
"""

import ml_collections

from configs import googlenet_bn_imagenet


def get_config() -> ml_collections.ConfigDict:
  """Returns the overrides for TPUs."""
  config = googlenet_bn_imagenet.get_config()
  config.model.dtype = 'bfloat16'
  config.train.batch_size = 1024
  config.train.eval_batch_size = 1024
  config.learning_rate.init_value = 0.4  # Scales with the batch.
  config.train.eval_every_steps = 1_250
  config.train.checkpoint_every_steps = 1_250
  return config
