"""The file of a run that holds what its process has logged."""

from collections.abc import Iterator
import contextlib
import logging as std_logging
import os

from absl import logging
from etils import epath

from inception_jax.runtime import durable, log

NAME = 'train.log'


class _Handler(std_logging.FileHandler):
  """Appends to a file; what cannot be written there stops nothing."""

  def handleError(self, record: std_logging.LogRecord) -> None:
    del record


@contextlib.contextmanager
def keep(workdir: epath.Path) -> Iterator[None]:
  """Appends what is logged inside to `train.log` in a run directory.

  Nothing is appended on remote file systems, which cannot, and where standard
  error goes to that file already.
  """
  path = workdir / NAME
  if not durable.is_local(workdir) or _is_standard_error(path):
    yield
    return
  try:
    handler = _Handler(path, encoding='utf-8', errors='backslashreplace')
  except OSError:
    yield
    return
  handler.setFormatter(log.Formatter())
  handler.addFilter(log.is_shown)
  # As long as records are shown at all: see `log.configure`.
  logger = logging.get_absl_logger()
  logger.addHandler(handler)
  try:
    yield
  finally:
    logger.removeHandler(handler)
    with contextlib.suppress(OSError):
      handler.close()


def _is_standard_error(path: epath.Path) -> bool:
  with contextlib.suppress(OSError):
    file, error = os.stat(path), os.fstat(2)
    return (file.st_dev, file.st_ino) == (error.st_dev, error.st_ino)
  return False
