"""What a run says of itself before it trains."""

import tiny_config

from inception_jax.experiment import experiment as experiment_lib
from inception_jax.runs import announcement


def test_lines(tmp_path):
  config = tiny_config.get_config()
  config.train.num_microbatches = 2
  experiment = experiment_lib.create_experiment(config)
  lines = dict(announcement._lines(experiment, 'runs/here'))
  text = '\n'.join(lines.values())
  assert lines['devices'].startswith('1 device (cpu) of 1 process')
  assert config.model.name in lines['network']
  assert 'parameters and' in lines['network'] and 'float32' in lines['network']
  assert '1,437 images to train on, 360 to evaluate, 10 classes' in text
  assert f'{experiment.num_train_steps:,} steps of' in lines['training']
  assert lines['training'].endswith('images on a device in 2 parts')
  assert lines['run'] == 'runs/here'
