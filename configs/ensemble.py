"""The paper's seven networks, for `--mode=evaluate` and `report` together.

Source: Szegedy et al. 2014, section 7: "we independently trained 7 versions of
  the same GoogLeNet model (including one wider version) ... with the same
  initialization (even with the same initial weights, mainly because of an
  oversight) and learning rate policies, and they only differ in sampling
  methodologies and the random order in which they see input images". Which
  sampling each had it does not say, only that "some of the models were mainly
  trained on smaller relative crops, others on larger ones" (section 6), nor how
  much wider the wider one was: these are our choices. Section 5 calls it
  "deeper and wider"; ours is as deep as the others.
Expected: the paper's seven have 6.67 % top-5 error with 144 crops (Table 3).
  Not yet trained with this code.
Hardware and time: seven times that of `googlenet_imagenet`; the members can be
  divided over machines with --config.ensemble.only, and over the GPUs of one
  with --config.ensemble.num_parallel.
Command: python main.py --config=configs/ensemble.py --workdir=runs/seven
  --config.data.data_dir=...
"""

import ml_collections

from configs import googlenet_imagenet


def get_config() -> ml_collections.ConfigDict:
  """Returns the recipe of the seven."""
  config = googlenet_imagenet.get_config()
  small = {'data': {'area_range': (0.08, 0.5)}}
  large = {'data': {'area_range': (0.3, 1.0)}}
  config.ensemble = {
    'same_initial_weights': True,  # The paper's oversight.
    'only': (),
    'num_parallel': 1,
    'members': {
      'm1': {},
      'm2': {},
      'm3': small,
      'm4': small,
      'm5': large,
      'm6': large,
      'wide': {'model': {'width': 1.25}},
    },
  }
  return config
