"""The flags of the command line."""

import os
import re
import sys

from absl import flags
from etils import epath
from ml_collections import config_flags

from inception_jax.commands import registry
from inception_jax.experiment import config_files
from inception_jax.runtime import text_files

FLAGS = flags.FLAGS

config_flags.DEFINE_config_file(
  'config', None, 'A config of the package, such as digits, or a file.'
)
flags.DEFINE_enum(
  'mode',
  'train',
  list(registry.COMMANDS),
  'The command.\n'
  + '\n'.join(
    f'{name}: {command.help}\n  --mode={name} {command.example}'
    for name, command in registry.COMMANDS.items()
  ),
)
for name, text in {
  'workdir': 'Run directory; to evaluate, several with commas.',
  'input': 'What to prepare (images, tars) or to import (weights).',
  'output': 'File or folder of the result.',
  'protocol': 'How to evaluate: single, ten_crop or multi_crop_144.',
  'aggregation': 'mean_probability, max_probability or mean_logit of crops.',
  'answers': 'Folder to keep answers of evaluations in.',
  'weights': 'raw, ema or polyak; by default what the run is used with.',
  'source': 'google, caffe, torchvision, tf_slim or safetensors.',
  'labels': 'The file that names the outputs of imported weights.',
  'preprocessing': 'Pixels that the network takes: imagenet_mean_std, …',
  'format': 'What to export: safetensors, onnx, npz or torchvision.',
}.items():
  flags.DEFINE_string(name, None, text)
for name, default, text in (
  ('json', False, 'Print the result as one JSON line on terminals, too.'),
  ('download', False, 'Fetch the weights to import.'),
  ('mirrors', True, 'Evaluate mirrored crops as well.'),
  ('uint8_input', False, 'Export ONNX that takes pixels.'),
  ('softmax', False, 'Export ONNX with probabilities.'),
):
  flags.DEFINE_boolean(name, default, text)
flags.DEFINE_integer('top_k', None, 'Number of classes to predict.')
for name, text in {
  'scales': 'Shorter sides of multi_crop_144: 256, 288, 320, 352.',
  'squares': 'Squares of multi_crop_144: first, center, last.',
  'crops': 'Crops of a square: center, whole, top_left, …',
  'end_points': 'End points whose activations to visualise.',
  'features': 'END_POINT:CHANNEL or class:NAME to dream.',
}.items():
  flags.DEFINE_list(name, None, text)


def check_config_file(argv: list[str]) -> None:
  """Checks that the file of the config is text that Python reads.

  Args:
    argv: program and arguments.

  Raises:
    ValueError: if it is not, as of some editors of Windows.
  """
  for place, argument in enumerate(argv):
    found = re.match(r'-{1,2}config(?:=(.*))?$', argument)
    if found:
      value = found[1] or ''.join(argv[place + 1 : place + 2])
      # What follows a colon is an argument of the config.
      path = os.path.expanduser(re.sub(r'(\.py):.*$', r'\1', value))
      text_files.check_source(epath.Path(path))


def parse(argv: list[str]) -> list[str]:
  """Parses the command line into `FLAGS`.

  Args:
    argv: program and arguments, as in `sys.argv`, which the library of configs
      reads too.

  Returns:
    The program and what is no flag.

  Raises:
    Exception: whatever the flags or the config's file raise.
  """
  # The library of configs opens the file itself.
  argv = [
    re.sub(
      r'^(-{1,2}config=)(~.*)$', lambda x: x[1] + os.path.expanduser(x[2]), x
    )
    for x in FLAGS.read_flags_from_files(argv, force_gnu=False)
  ]
  argv, is_packaged = config_files.with_paths(argv)
  with config_files.importable(is_packaged):
    return _parse(argv)


def _parse(argv: list[str]) -> list[str]:
  if not any(re.match(r'-{1,2}(no)?config\.', x) for x in argv):
    sys.argv[:] = argv
    return FLAGS(argv)
  # It can set those fields only that the file has, and unset none.
  from inception_jax.experiment import overrides  # JAX, not for --help.

  arguments, given = overrides.take(argv[1:])
  sys.argv[:] = argv = [argv[0], *arguments]
  rest = FLAGS(argv)
  if FLAGS.config is None:
    raise flags.Error(f'--{given[0].name} needs --config=FILE')
  FLAGS.config = overrides.apply(FLAGS.config, given)
  return rest
