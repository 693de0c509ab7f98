"""What goes to standard error, and results to standard output."""

import contextlib
import io
import logging as std_logging
import os
import pathlib
import sys

from absl import logging

from inception_jax.runtime import errors, progress

_PACKAGE = str(pathlib.Path(__file__).parent.parent)


def configure() -> None:
  """Shows our own information and everybody's warnings.

  Orbax alone would print dozens of lines a checkpoint.
  """
  logging.set_verbosity(logging.INFO)
  logging.set_stderrthreshold(logging.INFO)
  logging.use_absl_handler()
  handler = logging.get_absl_handler()
  handler.addFilter(is_shown)
  handler.setFormatter(Formatter())
  _set_bars_aside(handler.python_handler)
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):  # Not in a notebook.
      stream.reconfigure(errors='backslashreplace')


def _set_bars_aside(handler: std_logging.Handler) -> None:
  """Lets a handler write its lines above the progress bars."""
  emit = handler.emit

  def emit_aside(record: std_logging.LogRecord) -> None:
    with progress.aside():
      emit(record)

  handler.emit = emit_aside


class Formatter(logging.PythonFormatter):
  """A line as absl writes it, without characters that a terminal obeys.

  What we log is one line, whatever names are in it.
  """

  def format(self, record: std_logging.LogRecord) -> str:
    text = super().format(record)
    is_line = record.pathname.startswith(_PACKAGE) and not record.exc_info
    return errors.on_one_line(text) if is_line else errors.printable(text)


def is_shown(record: std_logging.LogRecord) -> bool:
  """Whether a user is to see what was logged."""
  if record.pathname.startswith(_PACKAGE):
    return True
  # With a traceback Orbax says what it raises too, which we put in a sentence,
  # and asyncio what others of its tasks have raised.
  parts = pathlib.Path(record.pathname).parts
  is_raised = record.exc_info and ('orbax' in parts or 'asyncio' in parts)
  return record.levelno >= std_logging.WARNING and not is_raised


def say(text: str) -> None:
  """Prints to standard error; a full disk there stops nothing."""
  with contextlib.suppress(OSError), progress.aside():
    print(errors.printable(text), file=sys.stderr, flush=True)


def print_result(text: str) -> None:
  """Prints to standard output.

  Nothing is wrong if nobody reads any further.

  Raises:
    PartialError: if that cannot be written.
  """
  try:
    print(errors.printable(text), flush=True)
  except OSError as error:
    # Else Python tries again when it ends, and complains.
    with contextlib.suppress(OSError, ValueError):
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
      return  # Such as `| head`, which has what it wants.
    raise errors.cannot_write(
      'standard output',
      error,
      f'{errors.remedy_of_writing(error)} and run the same command again',
      errors.PartialError,
    ) from error
