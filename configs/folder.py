"""Your own photographs: a new last layer for the authors' network, or more.

Source: not from the paper. The last layer is a multinomial logistic regression
  on the features below it, fitted exactly. With --config.freeze=None all of the
  network is then trained from there, since a classifier drawn by chance spoils
  the layers below it (Kumar et al. 2022, arXiv 2202.10054).
Expected: depends on the photographs; see the README for CIFAR-10.
Hardware and time: two CPU cores fit the last layer to 2,000 images of 128
  pixels in a minute (benchmarks/results/last_layer.json), and train all of the
  network in 23 (benchmarks/results/finetune_cifar10_full.json); 224 pixels have
  three times as much to compute.
Command: python main.py --mode=import --source=google --download
  --workdir=weights/google and
  python main.py --mode=prepare --config=configs/folder.py --input=photographs
  once, then
  python main.py --config=configs/folder.py --workdir=runs/mine
  and, for all of the network,
  python main.py --config=configs/folder.py --workdir=runs/whole
  --config.freeze=None. Each further folder of photographs wants a
  --config.data.name.
"""

import ml_collections

from configs import googlenet_imagenet


def get_config() -> ml_collections.ConfigDict:
  """Returns the recipe for a folder of photographs."""
  config = googlenet_imagenet.get_config()
  config.init_from = 'weights/google'
  config.freeze = ('conv*', 'inception_*')  # All but the classifier.
  config.last_layer = {'fit': True}
  config.model.name = 'inception_v1_google'
  config.model.use_aux = False  # The weights have no auxiliary heads.
  config.data.name = 'folder'  # The name it has been prepared under.
  config.data.train_split = 'train'
  config.data.eval_split = 'validation'  # A tenth, where there is no own part.
  config.data.area_range = (0.5, 1.0)  # Few photographs: gentler crops.
  config.data.interpolations = ('bilinear',)
  config.data.eval_crop = 'center_square'
  config.augmentation.update(
    {'brightness': 0.2, 'contrast': 0.2, 'saturation': 0.2}
  )
  config.learning_rate = {
    'schedule': 'cosine',
    # Only from a trained classifier: from a new one it spoils what is below.
    'init_value': 0.0005,
    'warmup_epochs': 0.5,
  }
  # The average reaches back over a tenth of the run, however short it is.
  config.averaging.ema_decay = None
  config.averaging.ema_horizon = 0.1
  config.train.batch_size = 32
  config.train.eval_batch_size = 100
  config.train.num_epochs = 12.0
  config.train.min_train_steps = 300  # 200 photographs: 53 epochs.
  config.averaging.polyak_start_epoch = None
  config.averaging.inference_weights = 'ema'
  config.train.log_every_steps = 10
  config.train.eval_every_steps = 100
  config.train.checkpoint_every_steps = 100
  config.train.dead_head_steps = 300
  return config
