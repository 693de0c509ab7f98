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
# Each mode and the flags it needs.
MODES = dict.fromkeys(('prepare', 'inspect', 'summary'), ('config',))
MODES |= {'train': ('config', 'workdir'), 'evaluate': ('workdir',)}
config_flags.DEFINE_config_file('config', None, 'The file of the experiment.')
flags.DEFINE_string('workdir', None, 'Run directory, local or gs://.')
flags.DEFINE_enum('mode', 'train', list(MODES), 'What to do.')
flags.DEFINE_string('input', None, 'What to prepare from: pictures or tars.')
flags.DEFINE_string('protocol', 'single', 'How to evaluate: single.')
flags.DEFINE_string('weights', None, 'raw, ema or polyak; by default ema.')
flags.DEFINE_string('output', None, 'File (summary) or folder (inspect).')


def parse_flags(argv: list[str]) -> list[str]:
  """Parses flags; a wrong one ends with a sentence, not a traceback."""
  try:
    rest = FLAGS(argv)
    getattr(FLAGS.config, 'keys', None)  # Raises if the file cannot be read.
    if rest[1:]:
      raise ValueError(f'{rest[1]!r} is no flag; flags begin with --')
  except Exception as error:  # Also whatever a config file raises.
    sys.exit(f'error: {" ".join(str(error).split())}')
  return rest


def run_mode() -> dict:
  """Runs the mode that the flags name and returns its result."""
  from inception_jax import cluster, errors, inspection, modes, train

  if missing := [n for n in MODES[FLAGS.mode] if not FLAGS[n].value]:
    raise errors.InputError(f'--mode={FLAGS.mode} needs --{missing[0]}')
  cluster.initialize()
  if FLAGS.mode == 'evaluate':
    folder = FLAGS.config.data.data_dir if FLAGS.config else None
    return modes.evaluate(FLAGS.workdir, FLAGS.protocol, FLAGS.weights, folder)
  return {
    'train': lambda: train.train(FLAGS.config, FLAGS.workdir),
    'prepare': lambda: modes.prepare(FLAGS.config, FLAGS.input),
    'inspect': lambda: inspection.inspect(FLAGS.config, FLAGS.output),
    'summary': lambda: modes.summarize(FLAGS.config, FLAGS.output),
  }[FLAGS.mode]()


def main(unused_argv: list[str]) -> int:
  from inception_jax import errors, log

  log.configure()
  try:
    print(json.dumps(run_mode()), flush=True)
  except errors.UserFacingError as error:
    print(f'error: {error}', file=sys.stderr)
    return error.exit_status
  return 0


if __name__ == '__main__':
  app.run(main, flags_parser=parse_flags)
