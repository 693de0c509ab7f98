"""What a run says of itself before it trains."""

import tiny_config

from inception_jax.experiment import experiment as experiment_lib
from inception_jax.runs import announcement


def test_lines(tmp_path):
  config = tiny_config.get_config()
  config.train.num_microbatches = 2
  config.learning_rate.warmup_epochs = 0.0
  experiment = experiment_lib.create_experiment(config)
  lines = dict(announcement._lines(experiment, 'runs/here'))
  text = '\n'.join(lines.values())
  assert lines['devices'].startswith('1 device (cpu) of 1 process')
  assert config.model.name in lines['network']
  assert 'parameters and' in lines['network'] and 'float32' in lines['network']
  assert '1,437 images to train on, 360 to evaluate, 10 classes' in text
  start = '12 steps of 8 images (num_epochs=10 is not used), or 0.07 epochs of'
  assert lines['training'].startswith(start)
  assert lines['training'].endswith('images on a device in 2 parts')
  assert lines['run'] == 'runs/here'
  assert not experiment.what_never_happens()


def test_what_comes_after_the_end_is_said(caplog):
  config = tiny_config.get_config()
  config.learning_rate.warmup_epochs = 3.0
  config.init_weights = 'raw'
  config.averaging.polyak_start_epoch = 12 * 8 / 1437
  experiment = experiment_lib.create_experiment(config)
  announcement.announce(experiment, 'runs/here')
  said = [x for x in caplog.messages if 'the run ends at step 12' in x]
  assert len(said) == 2
  assert 'warmup_epochs=3 is 539 steps' in said[0]
  assert 'at most 0.00061' in said[0]
  assert 'there will be no Polyak average' in said[1]
  idle = "config.init_weights='raw' has no effect without config.init_from; "
  assert [x for x in caplog.messages if x.startswith(idle)]


def test_what_the_command_line_changes_is_said(caplog):
  experiment = experiment_lib.create_experiment(tiny_config.get_config())
  for changes in (['train.seed: 0 → 3'], []):
    caplog.clear()
    with caplog.at_level('INFO', logger='absl'):
      announcement.announce(experiment, 'runs/here', changes)
    said = [x for x in caplog.messages if x.startswith('changed')]
    assert said == [f'changed   {x}' for x in changes]
    assert 'run       runs/here' in caplog.messages
