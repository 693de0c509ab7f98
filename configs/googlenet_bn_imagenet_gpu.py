"""`googlenet_bn_imagenet` on one large GPU: bfloat16, batch 256.

Source: as there.
Expected: as there. Not yet trained.
Hardware: one GPU with 16 GB or more.
Command: python main.py --config=configs/googlenet_bn_imagenet_gpu.py
  --workdir=runs/googlenet_bn --config.data.data_dir=...
"""

import ml_collections

from configs import googlenet_bn_imagenet


def get_config() -> ml_collections.ConfigDict:
  """Returns the overrides for a GPU."""
  config = googlenet_bn_imagenet.get_config()
  config.model.dtype = 'bfloat16'
  return config
