"""Your own photographs: the authors' network, its last third trained further.

Source: not from the paper; fine-tuning as is usual, in the authors' network.
Expected: depends on the photographs. See `benchmarks/results/` for CIFAR-10.
Hardware and time: a laptop or one GPU; minutes for some thousand photographs.
Command: python main.py --mode=import --source=google --download
  --workdir=weights/google, then
  python main.py --mode=prepare --config=configs/folder.py --input=photographs,
  once each, then python main.py --config=configs/folder.py
  --config.init_from=weights/google --workdir=runs/mine. Each further folder
  wants a --config.data.name.
"""

import ml_collections

from configs import googlenet_imagenet


def get_config() -> ml_collections.ConfigDict:
  """Returns the recipe for a folder of photographs."""
  config = googlenet_imagenet.get_config()
  config.model.name = 'inception_v1_google'
  config.model.use_aux = False  # The weights have no auxiliary heads.
  config.data.name = 'folder'  # The name it has been prepared under.
  config.data.train_split = 'train'
  config.data.eval_split = 'validation'  # A tenth, where there is no own part.
  config.data.area_range = (0.25, 1.0)  # Few photographs: gentler crops.
  config.data.interpolations = ('bilinear',)
  config.data.eval_crop = 'center_square'
  config.augmentation.update(
    {'brightness': 0.2, 'contrast': 0.2, 'saturation': 0.2}
  )
  config.learning_rate = {
    'schedule': 'cosine',
    'init_value': 0.001,
    'warmup_epochs': 0.5,
  }
  config.optimizer.head_learning_rate_multiplier = 10.0
  config.averaging.ema_decay = 0.98
  config.train.batch_size = 32
  config.train.eval_batch_size = 64
  config.train.num_epochs = 10.0
  config.train.polyak_start_epoch = None
  config.train.log_every_steps = 10
  config.train.eval_every_steps = 100
  config.train.checkpoint_every_steps = 100
  config.train.dead_head_steps = 300
  return config
