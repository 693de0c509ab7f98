"""The flags of the command line."""

import re

from absl import flags

from inception_jax.commands import arguments, registry
from inception_jax.experiment import config_files
from inception_jax.runtime import errors

FLAGS = flags.FLAGS
# What the last command line changes of its config's file: see `parse`.
_changes: list[str] = []

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
  'config': 'A config of the package, such as digits, or a file.',
  'workdir': 'Run directory; evaluate and report take several, with commas.',
  'input': 'What to prepare (images, tars) or to import (weights).',
  'output': 'File or folder of the result.',
  'protocol': 'How to evaluate: single, ten_crop or multi_crop_144.',
  'aggregation': 'mean_probability, max_probability or mean_logit of crops.',
  'answers': 'Folder to keep answers of evaluations in.',
  'copy_to': 'Data directory in a bucket, gs://…, that gets a copy.',
  'weights': 'raw, ema or polyak; by default what the run is used with.',
  'source': 'google, caffe, torchvision, tf_slim or safetensors.',
  'labels': 'The file that names the outputs of imported weights.',
  'preprocessing': 'Pixels that the network takes: imagenet_mean_std, …',
  'format': 'What to export: safetensors, onnx, npz or torchvision.',
}.items():
  flags.DEFINE_string(name, None, text)
for name, default, text in (
  ('json', False, 'Print the result as one JSON line on terminals, too.'),
  (
    'compilation_cache',
    True,
    'Keep compiled programs in your cache folder for the next start.',
  ),
  ('download', False, 'Fetch the weights to import.'),
  ('mirrors', True, 'Evaluate mirrored crops as well.'),
  ('uint8_input', False, 'Export ONNX that takes pixels.'),
  ('softmax', False, 'Export ONNX with probabilities.'),
):
  flags.DEFINE_boolean(name, default, text)
for name, text in {
  'top_k': 'Number of classes to predict; by default 5.',
  'folds': 'Parts of all images, each predicted by a layer fitted without it.',
}.items():
  flags.DEFINE_integer(name, None, text)
flags.DEFINE_float(
  'join_seconds',
  300.0,
  'Seconds to wait for the other processes of the run.',
  lower_bound=1.0,
  upper_bound=86_400.0,
)
flags.DEFINE_integer(
  'coordinator_port',
  None,
  'Port of process 0, where no variable gives its address.',
  lower_bound=1,
  upper_bound=65_535,
)
for name, text in {
  'scales': 'Shorter sides of multi_crop_144: 256, 288, 320, 352.',
  'squares': 'Squares of multi_crop_144: first, center, last.',
  'crops': 'Crops of a square: center, whole, top_left, …',
  'end_points': 'End points whose activations to visualise.',
  'features': 'END_POINT:CHANNEL or class:NAME to dream.',
}.items():
  flags.DEFINE_list(name, None, text)


def parse(argv: list[str]) -> list[str]:
  """Parses the command line into `FLAGS`, and reads the config.

  Args:
    argv: program and arguments, as in `sys.argv`.

  Returns:
    The program and what is no flag. `FLAGS.config` is the config itself, with
    the fields that the command line sets, and `changes` says which.

  Raises:
    InputError: if a flag, a field or the config's file cannot be used.
  """
  _changes.clear()
  words, given = _with_files(argv)[1:], []
  if any(re.match(r'-{1,2}(no)?config\.', x) for x in words):
    # JAX, not for --help.
    from inception_jax.experiment import changes as changes_lib
    from inception_jax.experiment import overrides

    words, given = overrides.take(words)
  arguments.check(words, FLAGS)
  rest = FLAGS([argv[0], *words])
  command = registry.COMMANDS[FLAGS.mode]
  if 'config' not in command.flags:
    if given:
      raise errors.InputError(
        f'--{given[0].name} is of no use with --mode={FLAGS.mode}; leave it out'
      )
  elif FLAGS.config:
    FLAGS.config = config_files.load(FLAGS.config)
    if given:
      before = changes_lib.values(FLAGS.config)  # It is changed in place.
      FLAGS.config = overrides.apply(FLAGS.config, given)
      after = changes_lib.values(FLAGS.config)
      _changes.extend(changes_lib.lines(before, after))
  elif given:
    raise errors.InputError(
      f'--{given[0].name} needs --config=NAME or --config=FILE'
    )
  return rest


def changes() -> tuple[str, ...]:
  """Fields that the command line changes: see `experiment.changes`."""
  return tuple(_changes)


def _with_files(argv: list[str]) -> list[str]:
  """The command line with the flags of each `--flagfile` in its place."""
  try:
    return FLAGS.read_flags_from_files(argv, force_gnu=False)
  except flags.Error as error:
    reason = errors.system_reason(error) or errors.first_line(error)
    raise errors.InputError(
      f'--flagfile cannot be read ({reason}); give a text file with a flag a'
      ' line'
    ) from error
