"""What goes to standard error."""

import logging as std_logging
import pathlib

from absl import logging

_PACKAGE = str(pathlib.Path(__file__).parent.parent)


def configure() -> None:
  """Shows our own information and everybody's warnings.

  Orbax alone would print dozens of lines a checkpoint.
  """
  logging.set_verbosity(logging.INFO)
  logging.set_stderrthreshold(logging.INFO)
  logging.use_absl_handler()
  handler = logging.get_absl_handler()
  handler.addFilter(
    lambda record: (
      record.levelno >= std_logging.WARNING
      or record.pathname.startswith(_PACKAGE)
    )
  )
