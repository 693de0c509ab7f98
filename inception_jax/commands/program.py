"""The program: the command line, from its arguments to its exit status."""

import importlib.metadata
import os
import signal
import sys
from typing import Any

# Signals that come before there is anything to tidy up, which an import cut
# short would make a mess of. The other processes of a run are told of them.
_received: list[int] = []
_previous = {}


def parse_flags(argv: list[str]) -> list[str]:
  """Parses flags; a wrong one ends with a sentence, not a traceback."""
  from inception_jax.commands import flags, help_text
  from inception_jax.runtime import errors, log

  try:
    if help_text.is_asked_for(argv):
      log.print_result(help_text.text(argv, flags.FLAGS))
      sys.exit(0)
    if '--version' in argv[1:]:
      version = importlib.metadata.version('inception_jax')
      log.print_result(f'inception_jax {version}')
      sys.exit(0)
    rest = flags.parse(argv)
  except Exception as error:  # Also whatever a config file raises.
    log.say(errors.on_one_line(f'error: {" ".join(str(error).split())}'))
    _leave(error)
    sys.exit(1)
  return rest


def _leave(error: Exception) -> None:
  """Tells other processes of the run, if any; else spares the import of JAX."""
  from inception_jax.runtime import errors, launchers

  try:
    is_alone = launchers.detect() is None
  except errors.InputError:
    is_alone = True
  if not is_alone:
    from inception_jax.runtime import cluster

    cluster.leave(error)


def main(argv: list[str]) -> int:
  from inception_jax.commands import flags, registry
  from inception_jax.runtime import errors, log

  log.configure()
  try:
    registry.check(flags.FLAGS, argv[1:])
  except errors.UserFacingError as error:
    log.say(errors.on_one_line(f'error: {error}'))
    _leave(error)
    return error.exit_status
  # JAX; before signals are anything but collected.
  from inception_jax.runtime import cluster

  for signum, handler in _previous.items():
    signal.signal(signum, handler)
  try:
    result = registry.run(flags.FLAGS, argv[1:], _received, flags.changes())
    print_result(result, flags.FLAGS.mode, flags.FLAGS.json)
    registry.check_whole(result)
  except errors.UserFacingError as error:
    log.say(errors.on_one_line(f'error: {error}'))
    cluster.leave(error)
    if isinstance(error.__cause__, KeyboardInterrupt):
      # All is tidied up; but the threads of libraries, cut short in their work,
      # can crash the interpreter when it ends.
      os._exit(error.exit_status)
    return error.exit_status
  except Exception as error:
    cluster.leave(error)
    raise
  return 0


def print_result(result: dict[str, Any], mode: str, as_json: bool) -> None:
  """Prints what a command returns: a table on a terminal, else a JSON line.

  Args:
    result: what JSON can hold.
    mode: the command, some of which have printed a table of their own.
    as_json: whether the line is wanted on a terminal, too.
  """
  from inception_jax.commands import registry
  from inception_jax.runtime import json_files, log, result_text

  if as_json or not sys.stdout.isatty():
    log.print_result(json_files.dumps(result))
  elif not registry.COMMANDS[mode].prints_text:
    log.print_result(result_text.to_text(result))


def run() -> None:
  """Runs the program and ends the process."""
  for signum in (signal.SIGTERM, signal.SIGINT):
    _previous[signum] = signal.signal(
      signum, lambda signum, unused_frame: _received.append(signum)
    )
  # Before TensorFlow loads: no chatter, and the same pixels everywhere.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
  from absl import app

  app.run(main, flags_parser=parse_flags)
