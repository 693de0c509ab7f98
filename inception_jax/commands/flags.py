"""The flags of the command line."""

import os
import re
import sys

from absl import flags
from etils import epath
from ml_collections import config_flags

from inception_jax.commands import registry
from inception_jax.experiment import config as config_lib
from inception_jax.runtime import text_files

FLAGS = flags.FLAGS

config_flags.DEFINE_config_file('config', None, 'The file of the experiment.')
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
  'workdir': 'Run directory, local or gs://; to evaluate, several with commas.',
  'input': 'What to prepare (images, tars) or to import (weights).',
  'output': 'File or folder of the result.',
  'protocol': 'How to evaluate: single, ten_crop or multi_crop_144.',
  'aggregation': 'Of crops: mean_probability, max_probability, mean_logit.',
  'answers': 'Folder to keep answers of evaluations in.',
  'weights': 'raw, ema or polyak; by default what the run is used with.',
  'source': 'Of weights: google, caffe, torchvision, tf_slim, safetensors.',
  'labels': 'The file that names the outputs of imported weights.',
  'preprocessing': 'Of imported weights: imagenet_mean_std, mean=…+std=…, …',
  'format': 'What to export: safetensors, onnx, npz or torchvision.',
}.items():
  flags.DEFINE_string(name, None, text)
for name, default, text in (
  ('download', False, 'Fetch the weights to import.'),
  ('mirrors', True, 'Evaluate mirrored crops as well.'),
  ('uint8_input', False, 'Export ONNX that takes pixels.'),
  ('softmax', False, 'Export ONNX with probabilities.'),
):
  flags.DEFINE_boolean(name, default, text)
flags.DEFINE_integer('top_k', None, 'Number of classes to predict.')
for name, text in {
  'scales': 'Of a protocol: 256, 288, 320, 352.',
  'squares': 'Of a protocol: first, center, last.',
  'crops': 'Of a protocol: center, whole, top_left, …',
  'end_points': 'Whose activations to visualise.',
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
    for x in argv
  ]
  sys.argv[:] = argv
  for old, new in config_lib.RENAMED.items():
    given = re.compile(rf'-{{1,2}}config\.{re.escape(old)}(?==|$)')
    if any(map(given.match, argv)) and not _has(argv, old):
      argv = [given.sub(f'--config.{new}', x) for x in argv]
      sys.argv[:] = argv
  return FLAGS(argv)


def _has(argv: list[str], field: str) -> bool:
  """Whether the config that `argv` names has a field, such as 'train.seed'."""
  file = []
  for place, argument in enumerate(argv):
    if argument.lstrip('-') == 'config':
      file = argv[place : place + 2]
    elif argument.lstrip('-').startswith('config='):
      file = [argument]
  alone = flags.FlagValues()
  config_flags.DEFINE_config_file(
    'config', flag_values=alone, sys_argv=[argv[0], *file]
  )
  alone([argv[0], *file])
  section, name = field.split('.')
  return name in ((alone.config or {}).get(section) or {})
