"""Command line of inception_jax; the README describes every mode."""

import json
import os
import sys

from absl import app, flags
from ml_collections import config_flags

# Before TensorFlow loads: no chatter, and the same pixels everywhere.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

FLAGS = flags.FLAGS
# Each mode and the flags it cannot do without.
MODES = {
  'train': ('config', 'workdir'),
  'evaluate': ('workdir',),
  'summary': ('config',),
}
config_flags.DEFINE_config_file(
  'config', None, 'The experiment; --config.FIELD=value overrides a field.'
)
flags.DEFINE_string('workdir', None, 'Run directory, local or gs://.')
flags.DEFINE_enum('mode', 'train', list(MODES), 'What to do.')
flags.DEFINE_string('protocol', 'single', 'How to evaluate: single.')
flags.DEFINE_string(
  'weights', None, 'raw, ema or polyak; by default ema if kept, else raw.'
)
flags.DEFINE_string('output', None, 'File for the table: .txt, .json or .csv.')


def run_mode() -> dict:
  """Runs the mode that the flags name and returns its result."""
  from inception_jax import cluster, errors, experiment, train

  for name in MODES[FLAGS.mode]:
    if not FLAGS[name].value:
      raise errors.InputError(f'--mode={FLAGS.mode} needs --{name}')
  cluster.initialize()
  if FLAGS.mode == 'summary':
    return experiment.summarize(FLAGS.config, FLAGS.output)
  if FLAGS.mode == 'evaluate':
    return experiment.evaluate(FLAGS.workdir, FLAGS.protocol, FLAGS.weights)
  return train.train(FLAGS.config, FLAGS.workdir)


def main(argv: list[str]) -> int:
  from inception_jax import errors, log
  from inception_jax.training import loop

  log.configure()
  try:
    if argv[1:]:
      raise errors.InputError(f'{argv[1]!r} is no flag; flags begin with --')
    result = run_mode()
  except (errors.InputError, errors.TrainingError, loop.Interrupted) as error:
    print(f'error: {error}', file=sys.stderr)
    return getattr(error, 'exit_status', 1)
  print(json.dumps(result), flush=True)
  return 0


def parse_flags(argv: list[str]) -> list[str]:
  """Parses flags; a wrong one ends with a sentence, not a traceback."""
  try:
    return FLAGS(argv)
  except Exception as error:  # Also whatever a config file raises.
    print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
    sys.exit(1)


if __name__ == '__main__':
  app.run(main, flags_parser=parse_flags)
