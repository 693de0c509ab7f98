"""Command line of inception_jax; `--help` lists the commands."""

import os
import signal
import sys

# Signals that come before there is anything to tidy up, which an import cut
# short would make a mess of. The other processes of a run are told of them.
_received: list[int] = []
_previous = {}
if __name__ == '__main__':
  for _signum in (signal.SIGTERM, signal.SIGINT):
    _previous[_signum] = signal.signal(
      _signum, lambda signum, unused_frame: _received.append(signum)
    )

from absl import app  # noqa: E402

# Before TensorFlow loads: no chatter, and the same pixels everywhere.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

from inception_jax.commands import flags  # noqa: E402


def parse_flags(argv: list[str]) -> list[str]:
  """Parses flags; a wrong one ends with a sentence, not a traceback."""
  from inception_jax.runtime import cluster, errors, log

  try:
    flags.check_config_file(argv)
    rest = flags.parse(argv)
    # Raises if the file cannot be read.
    getattr(flags.FLAGS.config, 'keys', None)
  except Exception as error:  # Also whatever a config file raises.
    log.say(errors.on_one_line(f'error: {" ".join(str(error).split())}'))
    cluster.leave(error)
    sys.exit(1)
  return rest


def main(argv: list[str]) -> int:
  from inception_jax.commands import registry
  from inception_jax.runtime import cluster, errors, json_files, log

  log.configure()
  for signum, handler in _previous.items():
    signal.signal(signum, handler)
  try:
    result = registry.run(flags.FLAGS, argv[1:], _received)
    log.print_result(json_files.dumps(result))
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


if __name__ == '__main__':
  app.run(main, flags_parser=parse_flags)
