"""GoogLeNet on ImageNet-2012 with the paper's recipe.

Source: Szegedy et al. 2014, Going Deeper with Convolutions, arXiv 1409.4842.
  Each field says its section. What the paper leaves open says so: the base
  learning rate, batch size, weight decay, number of epochs, constants of the
  response normalisation, initialisation, and the start of Polyak averaging.
Expected: the paper's single model and crop has 10.07 % top-5 error (Table 3);
  Caffe's replication of the network 68.7 % top-1 and 88.9 % top-5. Not yet
  trained with this code.
Hardware: any number of devices that divides the batch.
Command: python main.py --config=configs/googlenet_imagenet.py
  --workdir=runs/googlenet --config.data.data_dir=...
"""

import ml_collections
from ml_collections import config_dict


def get_config() -> ml_collections.ConfigDict:
  """Returns the paper's recipe."""
  return ml_collections.ConfigDict(
    {
      # Fine-tuning: a run directory to start from, which of its weights (by
      # default those that it is used with), and globs over modules that are
      # left as they are there, such as 'inception_[34]*'.
      'init_from': config_dict.placeholder(str),
      'init_weights': config_dict.placeholder(str),
      'freeze': config_dict.placeholder(tuple),
      'model': {
        'name': 'inception_v1',  # Table 1, sections 3 to 5.
        'width': 1.0,
        'dtype': 'float32',
      },
      'data': {
        'name': 'imagenet2012',  # Section 7: 1.2 million images, 1000 classes.
        'data_dir': config_dict.placeholder(str),
        'train_split': 'train',
        'eval_split': 'validation',  # Section 7: 50,000 images.
        'image_size': 224,  # Section 5.
        # Section 6: "sampling of various sized patches of the image whose size
        # is distributed evenly between 8% and 100% of the image area and whose
        # aspect ratio is chosen randomly between 3/4 and 4/3".
        'train_crop': 'distorted',
        'area_range': (0.08, 1.0),
        'aspect_ratio_range': (3 / 4, 4 / 3),
        'aspect_ratio_law': 'log_uniform',  # "Randomly".
        # Section 6: "bilinear, area, nearest neighbor and cubic, with equal
        # probability".
        'interpolations': ('bilinear', 'area', 'nearest', 'bicubic'),
        # None is the profile's. The paper does not describe its single crop:
        # the centre of an image with a shorter side of 256 is our choice.
        'eval_crop': config_dict.placeholder(str),
        'num_threads': config_dict.placeholder(int),  # None is one a core.
        'on_bad_image': 'fail',
      },
      # Section 6: Andrew Howard's photometric distortions were useful "to some
      # extent". The numbers are Howard's (arXiv 1312.5402).
      'augmentation': {
        'mirror': True,  # Section 7, of the crops.
        'brightness': 0.5,
        'contrast': 0.5,
        'saturation': 0.5,
        'hue': 0.0,  # Not in the paper, nor Howard's.
        # Howard adds Krizhevsky's lighting (0.1); the paper does not name it.
        'lighting_std': 0.0,
      },
      'learning_rate': {
        'schedule': 'staircase',  # Section 6.
        'init_value': 0.01,  # Not in the paper; Caffe's.
        'decay_rate': 0.96,  # Section 6: 4 % ...
        'decay_epochs': 8.0,  # ... every 8 epochs.
        'warmup_epochs': 0.0,
      },
      'optimizer': {
        'momentum': 0.9,  # Section 6.
        'weight_decay': 2e-4,  # Not in the paper; Caffe's.
        # Not in the paper; Caffe's GoogLeNet has 2, known to train as well.
        'bias_learning_rate_multiplier': 1.0,
        'decay_biases': False,
        # Of classifiers that are new beside layers that are not; None is 1.
        'head_learning_rate_multiplier': config_dict.placeholder(float),
      },
      'averaging': {
        # Not in the paper, beside its Polyak average; 10,000 steps long.
        'ema_decay': 0.9999,
        # Section 6: "Polyak averaging was used to create the final model"; the
        # paper does not say over which part of training.
        'polyak_start_epoch': 200.0,
        # Section 6: that average is the model "used at inference time".
        'inference_weights': 'polyak',
      },
      'train': {
        'seed': 0,
        'batch_size': 32,  # Not in the paper; Caffe's.
        'eval_batch_size': 256,
        'num_epochs': 250.0,  # Not in the paper; Caffe's step schedule.
        'num_train_steps': config_dict.placeholder(int),
        'aux_weight': 0.3,  # Section 5.
        'num_microbatches': 1,
        'log_every_steps': 100,
        'eval_every_steps': 40_000,
        'checkpoint_every_steps': 10_000,
        'keep_checkpoints': 3,
        'dead_head_steps': 5_000,
      },
    }
  )
