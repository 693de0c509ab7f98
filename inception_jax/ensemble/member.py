"""The program that trains one run of several; `ensemble.parallel` starts it.

Takes `{"config": ..., "workdir": ...}` as the first line of standard input and
ends with the result as the last of standard output. Standard input stays open
for as long as the process is wanted: it must not go on when the one that
started it has been killed, and the same command may be training again.
"""

import json
import os
import sys
import threading

from inception_jax.runs import train
from inception_jax.runtime import errors, json_files, log, signals
from inception_jax.training import stop_signal


def main() -> int:
  """Trains; returns the exit status."""
  given = json.loads(sys.stdin.readline())
  threading.Thread(target=_end_with_parent, daemon=True).start()
  log.configure()
  # The one that started it kills it, at its own second signal.
  stop_signal.StopSignal.second_kills = False
  try:
    with signals.as_exceptions():
      result = train.train(given['config'], given['workdir'])
    log.print_result(json_files.dumps(result))
  except errors.UserFacingError as error:
    log.say(errors.on_one_line(f'error: {error}'))
    return error.exit_status
  except KeyboardInterrupt as error:
    # Before or after the loop, which saves. The threads of libraries, cut short
    # in their work, can crash the interpreter when it ends.
    os._exit(128 + signals.number_of(error))
  return 0


def _end_with_parent() -> None:
  # Not sys.stdin: a thread that waits in it can crash the interpreter's end.
  while os.read(0, 1):
    pass
  os._exit(1)


if __name__ == '__main__':
  sys.exit(main())
