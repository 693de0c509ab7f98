"""Command line of inception_jax; `--help` lists the commands."""

import json
import os
import sys

from absl import app

# Before TensorFlow loads: no chatter, and the same pixels everywhere.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

from inception_jax.commands import flags


def parse_flags(argv: list[str]) -> list[str]:
  """Parses flags; a wrong one ends with a sentence, not a traceback."""
  try:
    rest = flags.parse(argv)
    getattr(
      flags.FLAGS.config, 'keys', None
    )  # Raises if the file cannot be read.
  except Exception as error:  # Also whatever a config file raises.
    sys.exit(f'error: {" ".join(str(error).split())}')
  return rest


def main(argv: list[str]) -> int:
  from inception_jax.commands import registry
  from inception_jax.runtime import cluster, errors, log

  log.configure()
  try:
    result = registry.run(flags.FLAGS, argv[1:])
    log.print_result(json.dumps(result))
    registry.check_whole(result)
  except errors.UserFacingError as error:
    log.say(errors.on_one_line(f'error: {error}'))
    if isinstance(error.__cause__, KeyboardInterrupt):
      # All is tidied up; but the threads of libraries, cut short in their work,
      # can crash the interpreter when it ends.
      os._exit(error.exit_status)
    if not isinstance(error, errors.Interrupted):  # Which all are.
      cluster.leave_soon(error.exit_status)
    return error.exit_status
  except BaseException:
    cluster.leave_soon(1)
    raise
  return 0


if __name__ == '__main__':
  app.run(main, flags_parser=parse_flags)
