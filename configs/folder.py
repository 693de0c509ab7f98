"""Batch-norm GoogLeNet on a folder of your own photographs, from scratch.

Source: not from the paper; the network, crops and schedule are those of
  googlenet_bn_imagenet, smaller and shorter for some hundred to some thousand
  photographs a class.
Expected: depends on the photographs. Not measured.
Hardware and time: one GPU or a few CPU cores; not measured.
Command: python main.py --mode=prepare --config=configs/folder.py
  --input=photographs, once, then python main.py --config=configs/folder.py
  --workdir=runs/folder. Each further folder wants a --config.data.name.
"""

import ml_collections

from configs import googlenet_bn_imagenet


def get_config() -> ml_collections.ConfigDict:
  """Returns the recipe for a folder of photographs."""
  config = googlenet_bn_imagenet.get_config()
  config.data.name = 'folder'  # The name it has been prepared under.
  config.data.train_split = 'train'
  config.data.eval_split = 'validation'  # A tenth, where there is no own part.
  config.data.image_size = 128
  config.data.area_range = (0.25, 1.0)  # Few photographs: gentler crops.
  config.learning_rate.init_value = 0.03  # For batch 64.
  config.averaging.ema_decay = 0.99
  config.train.batch_size = 64
  config.train.eval_batch_size = 64
  config.train.num_epochs = 60.0
  config.train.polyak_start_epoch = 50.0
  config.train.log_every_steps = 20
  config.train.eval_every_steps = 500
  config.train.checkpoint_every_steps = 500
  config.train.dead_head_steps = 1_000
  return config
