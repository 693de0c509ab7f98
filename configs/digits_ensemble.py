"""Three small networks on the digits, one of them wider, evaluated together.

Source: not from the paper; `digits` with half its width, and the manner of
  `ensemble`.
Expected: 94 to 99 % top-1 each and 98 to 99 % together, with one crop; see
  `benchmarks/results/digits_ensemble.json`.
Hardware and time: two CPU cores, about five minutes.
Command: python main.py --config=configs/digits_ensemble.py
  --workdir=runs/digits_ensemble
"""

import ml_collections

from configs import digits


def get_config() -> ml_collections.ConfigDict:
  """Returns the config of the three."""
  config = digits.get_config()
  config.model.width = 0.15
  config.train.num_epochs = 6.0
  config.averaging.polyak_start_epoch = 5.0
  config.ensemble = {
    'same_initial_weights': True,
    'only': (),
    'num_parallel': 1,
    'members': {
      'm1': {},
      'm2': {'data': {'area_range': (0.5, 1.0)}},
      'wide': {'model': {'width': 0.25}},
    },
  }
  return config
