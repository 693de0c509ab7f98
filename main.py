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
MODES = 'train evaluate predict visualise import export'.split()
MODES += 'prepare inspect summary'.split()
config_flags.DEFINE_config_file('config', None, 'The file of the experiment.')
flags.DEFINE_enum('mode', 'train', MODES, 'What to do.')
for name, text in {
  'workdir': 'Run directory, local or gs://.',
  'input': 'What to prepare from (pictures, tars) or import (weights).',
  'output': 'File or folder of the result.',
  'protocol': 'How to evaluate: single, ten_crop or multi_crop_144.',
  'aggregation': 'Of crops: mean_probability, max_probability, mean_logit.',
  'weights': 'raw, ema or polyak; by default ema where it is kept.',
  'source': 'Whose weights to import: google or safetensors.',
  'labels': 'The file that names the outputs of imported weights.',
  'format': 'What to export: safetensors, onnx or npz.',
}.items():
  flags.DEFINE_string(name, None, text)
flags.DEFINE_boolean('download', False, 'Fetch the weights to import.')
flags.DEFINE_boolean('uint8_input', False, 'Export ONNX that takes pixels.')
flags.DEFINE_boolean('softmax', False, 'Export ONNX with probabilities.')
flags.DEFINE_integer('top_k', None, 'Number of classes to predict.')
flags.DEFINE_list('end_points', None, 'Whose activations to visualise.')
flags.DEFINE_list('features', None, 'END_POINT:CHANNEL or class:NAME to dream.')


def parse_flags(argv: list[str]) -> list[str]:
  """Parses flags; a wrong one ends with a sentence, not a traceback."""
  try:
    rest = FLAGS(argv)
    getattr(FLAGS.config, 'keys', None)  # Raises if the file cannot be read.
  except Exception as error:  # Also whatever a config file raises.
    sys.exit(f'error: {" ".join(str(error).split())}')
  return rest


def main(argv: list[str]) -> int:
  from inception_jax import command, errors, log

  log.configure()
  try:
    result = command.run(FLAGS, argv[1:])
    print(json.dumps(result), flush=True)
    command.check_whole(result)
  except errors.UserFacingError as error:
    print(f'error: {error}', file=sys.stderr, flush=True)
    if isinstance(error.__cause__, KeyboardInterrupt):
      # All is tidied up; but the threads of libraries, cut short in their work,
      # can crash the interpreter when it ends.
      os._exit(error.exit_status)
    return error.exit_status
  return 0


if __name__ == '__main__':
  app.run(main, flags_parser=parse_flags)
