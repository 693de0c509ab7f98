"""The commands, one row each, and what calls them.

A new command is a module of this folder and a row of `COMMANDS`.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import importlib
import types
from typing import Any

from absl import flags as absl_flags

from inception_jax.runtime import errors, paths, ranges, words

Result = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Command:
  """One command.

  Attributes:
    function: 'module.function' of this folder; the module is imported when the
      command runs, since some need packages that others do not. The function
      takes the flags as keyword arguments and returns what JSON can hold.
    help: one line of help.
    example: arguments of a typical call.
    needs: flags that must be given.
    takes: flags that may be given; other commands' flags are refused.
    takes_files: whether files must be given after the flags, or may not.
    arguments: names of the function's arguments that are not the flags' own,
      by flag.
    is_shared: whether several processes can do it, with `CLUSTER_FLAGS`.
    prints_text: whether it prints its result for people itself.
    takes_changes: whether it says which fields the command line changes.
  """

  function: str
  help: str
  example: str
  needs: tuple[str, ...]
  takes: tuple[str, ...] = ()
  takes_files: bool = False
  arguments: Mapping[str, str] = dataclasses.field(default_factory=dict)
  is_shared: bool = False
  prints_text: bool = False
  takes_changes: bool = False

  @property
  def flags(self) -> tuple[str, ...]:
    """All flags that may be given."""
    return (*self.needs, *self.takes, *(CLUSTER_FLAGS * self.is_shared))


# How processes find each other.
CLUSTER_FLAGS = ('join_seconds', 'coordinator_port')
# What names a file or folder. Every other flag of text does not.
PATHS = ('workdir', 'input', 'output', 'answers', 'labels', 'copy_to')
# Commands whose `--workdir` may name several runs, which they split.
_TAKE_SEVERAL = ('evaluate', 'report', 'compare')
# They make one argument, an `evaluation.protocol.Protocol`.
PROTOCOL_FLAGS = (
  'protocol',
  'aggregation',
  'scales',
  'squares',
  'crops',
  'mirrors',
)
_EVALUATION = (*PROTOCOL_FLAGS, 'weights', 'config', 'answers', 'folds')

COMMANDS: Mapping[str, Command] = types.MappingProxyType(
  {
    'train': Command(
      'train.train',
      'Trains a run or an ensemble, or resumes it.',
      '--config=configs/digits.py --workdir=runs/digits',
      needs=('config', 'workdir'),
      is_shared=True,
      takes_changes=True,
    ),
    'evaluate': Command(
      'evaluate.evaluate',
      'Evaluates runs on every image of a set once.',
      '--workdir=runs/digits --weights=ema',
      needs=('workdir',),
      takes=_EVALUATION,
      is_shared=True,
    ),
    'report': Command(
      'report.report',
      "Writes the paper's Tables 2 and 3 and figures for runs.",
      '--workdir=runs/digits --protocol=ten_crop',
      needs=('workdir',),
      takes=(*_EVALUATION, 'output'),
      is_shared=True,
      prints_text=True,
    ),
    'compare': Command(
      'compare.compare',
      'Finds which weights suit your own images best.',
      '--config=folder --workdir=weights/google,weights/torchvision',
      needs=('config', 'workdir'),
      takes=('folds',),
    ),
    'predict': Command(
      'predict.predict',
      'Classifies images.',
      '--workdir=runs/digits photo.jpg folder/',
      needs=('workdir',),
      takes=('weights', 'output', 'top_k'),
      takes_files=True,
      prints_text=True,
    ),
    'visualise': Command(
      'visualise.visualise',
      'Draws filters, activations, class-activation maps and features.',
      '--workdir=weights/google photo.jpg',
      needs=('workdir',),
      takes=('weights', 'output', 'end_points', 'features'),
      takes_files=True,
    ),
    'import': Command(
      'import_weights.import_weights',
      'Makes a run directory from weights of other programs.',
      '--source=google --download --workdir=weights/google',
      needs=('source', 'workdir'),
      takes=('input', 'labels', 'download', 'weights', 'preprocessing'),
      arguments={'input': 'path', 'labels': 'label_file'},
    ),
    'export': Command(
      'export.export',
      'Writes the network of a run for other programs.',
      '--workdir=weights/google --format=onnx',
      needs=('workdir', 'format'),
      takes=('weights', 'output', 'uint8_input', 'softmax'),
    ),
    'prepare': Command(
      'prepare.prepare',
      'Prepares a dataset, once.',
      '--config=configs/folder.py --input=photographs',
      needs=('config',),
      prints_text=True,
      takes=('input', 'copy_to'),
      arguments={'input': 'source'},
    ),
    'inspect': Command(
      'inspection.inspect',
      'Shows what training would see, and how fast the input is.',
      '--config=configs/folder.py',
      needs=('config',),
      prints_text=True,
      takes=('output',),
    ),
    'summary': Command(
      'summary.summarize',
      "Prints Table 1 for a config's network.",
      '--config=configs/googlenet_imagenet.py',
      needs=('config',),
      prints_text=True,
      takes=('output',),
    ),
  }
)


def run(
  flags: absl_flags.FlagValues,
  files: Sequence[str],
  received: Sequence[int] = (),
  changes: Sequence[str] = (),
) -> Result:
  """Runs the command that `flags.mode` names.

  Args:
    flags: of the command line.
    files: what came after them.
    received: signals that have come before.
    changes: fields that the command line changes of the config's file.

  Returns:
    The result of the command.

  Raises:
    UserFacingError: if something given cannot be used, or the command fails.
  """
  # JAX, not for --help.
  from inception_jax.runtime import agreement, cluster, signal_watch, signals

  command = COMMANDS[flags.mode]
  try:
    with signal_watch.watched(), signals.as_exceptions():
      if received:
        raise KeyboardInterrupt(received[0])
      check(flags, files)
      if command.is_shared:
        cluster.initialize(flags.join_seconds, flags.coordinator_port)
      else:
        cluster.check_alone(flags.mode)
      with signals.as_exceptions():  # JAX has put one of its own there.
        agreement.agree('--mode', flags.mode)
        agreement.agree('', _shared(command, flags))
        if flags.compilation_cache:
          _keep_compiled_programs()
        cluster.find_devices()
        arguments = _arguments(command, flags, files)
        if command.takes_changes:
          arguments['changes'] = changes
        return _function(command)(**arguments)
  except KeyboardInterrupt as error:
    raise signals.interrupted(error, 'run the same command again') from error
  except Exception as error:
    # Whatever needed a device may have given another reason.
    if wrong := cluster.wrong_platforms(error):
      raise wrong from error
    if isinstance(error, errors.UserFacingError):
      raise
    if lost := cluster.lost(error):
      raise lost from error
    raise


def _keep_compiled_programs() -> None:
  from inception_jax.runtime import compilation_cache  # JAX.

  compilation_cache.enable()


def _shared(command: Command, flags: absl_flags.FlagValues) -> Result:
  """What all processes of a run must have been given alike."""
  given = {name: flags[name].value for name in (*command.needs, *command.takes)}
  # Folders may lie elsewhere on another machine; that of a run is looked at
  # (`runs.claim`), and a config where it is read.
  free = {'config', *PATHS}
  return {f'--{name}': x for name, x in given.items() if name not in free}


def check_mode(mode: str) -> None:
  """Raises InputError unless there is a command of this name."""
  if mode not in COMMANDS:
    raise errors.InputError(
      f'--mode={mode} is no command; the commands are {words.join(COMMANDS)}'
      f'{errors.suggestion(mode, COMMANDS)}'
    )


def choices(name: str) -> Iterable[str]:
  """What the value of a flag may be, if that is one of a few; else nothing."""
  if name == 'mode':
    return COMMANDS
  if name == 'config':
    from inception_jax.experiment import config_files

    return ('a file that ends in .py', *config_files.names())
  if name == 'format':
    from inception_jax.export import formats

    return formats.FORMATS
  if name == 'source':
    from inception_jax.commands import import_weights

    return import_weights.SOURCES
  return ()


def _stray(word: str) -> errors.InputError:
  """The error for a word that is neither a flag nor a file."""
  from inception_jax.experiment import config_files

  near = ''
  if word in COMMANDS:
    near = f'; did you mean --mode={word}?'
  elif word in config_files.names() or word.endswith('.py'):
    near = f'; did you mean --config={word}?'
  return errors.InputError(
    f'{ranges.show(word)} is no flag; flags begin with --{near}'
  )


def check(flags: absl_flags.FlagValues, files: Sequence[str]) -> None:
  """Checks that what is given belongs to the command. Needs no JAX.

  Args:
    flags: of the command line.
    files: what came after them.

  Raises:
    InputError: if a flag is missing, or of no use, or files are.
  """
  command = COMMANDS[flags.mode]
  if files and not command.takes_files:
    raise _stray(files[0])
  for name in command.needs:
    if flags[name].value in (None, ''):
      known = words.join(choices(name), 'or')
      raise errors.InputError(
        f'--mode={flags.mode} needs --{name}'
        + (f', which is {known}' if known else '')
      )
  known = {name for x in COMMANDS.values() for name in x.flags}
  for name in sorted(known - {*command.flags}):
    if flags[name].present:
      remedy = 'leave it out'
      if name == 'input' and command.takes_files:
        remedy = 'give the names of pictures without a flag'
      raise errors.InputError(
        f'--{name} is of no use with --mode={flags.mode}; {remedy}'
      )
  if command.takes_files and not files:
    raise errors.InputError(
      f'--mode={flags.mode} needs pictures: files, folders or patterns'
    )


def _function(command: Command):
  module, name = command.function.split('.')
  return getattr(importlib.import_module(f'{__package__}.{module}'), name)


def _arguments(
  command: Command, flags: absl_flags.FlagValues, files: Sequence[str]
) -> dict[str, Any]:
  """Keyword arguments of the command's function."""
  given = {name: flags[name].value for name in (*command.needs, *command.takes)}
  for name in PATHS:
    splits = name == 'workdir' and flags.mode in _TAKE_SEVERAL
    if given.get(name) is not None and not splits:
      given[name] = paths.expand(given[name], f'--{name}')
  values = {command.arguments.get(k, k): v for k, v in given.items()}
  if 'protocol' in values:
    from inception_jax.evaluation import protocol

    values['protocol'] = protocol.from_flags(
      **{name: values.pop(name) for name in PROTOCOL_FLAGS}
    )
  if command.takes_files:
    values['files'] = files
  return values


def check_whole(result: Result) -> None:
  """Raises PartialError if the result names files that failed."""
  if failed := result.get('failed'):
    first = f'{failed[0]["file"]!r}: {failed[0]["reason"]}'
    if len(failed) == 1:
      raise errors.PartialError(f'one file could not be used, {first}')
    raise errors.PartialError(
      f'{len(failed):,} files could not be used, first {first}'
    )
