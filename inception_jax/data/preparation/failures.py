"""What goes wrong while a dataset is prepared, in a sentence with a remedy."""

from collections.abc import Iterator
import contextlib
import errno
import re
import urllib.error

from etils import epath
import requests
import tensorflow as tf

from inception_jax.data import open_files
from inception_jax.runtime import errors

_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_FULL_TEXT = re.compile(
  'no space left|file too large|quota exceeded|not enough disk space', re.I
)
_NETWORK_ERRORS = (
  requests.exceptions.RequestException,
  urllib.error.URLError,
  ConnectionError,
)


@contextlib.contextmanager
def explained(name: str, root: epath.Path) -> Iterator[None]:
  """Turns what libraries raise into a sentence with a remedy."""
  try:
    yield
  except errors.UserFacingError:
    raise
  except Exception as error:  # Of many kinds: OS, TF, TFDS, requests.
    reason = errors.first_line(error)
    chain = list(_causes(error))
    if any(open_files.are_too_many(cause) for cause in chain):
      remedy = 'raise the number of files a process may have (`ulimit -n`)'
    elif any(_says_full(cause) for cause in chain):
      remedy = f'there is no room in {root}; make some or set data.data_dir'
    elif any(isinstance(cause, _NETWORK_ERRORS) for cause in chain):
      remedy = (
        'see to the network and run the same command again; finished downloads'
        f' are kept in {root / "downloads"}'
      )
    elif any(isinstance(cause, PermissionError) for cause in chain):
      remedy = 'mend its permissions or set data.data_dir'
    else:
      remedy = 'mend that and run the same command again'
    raise errors.InputError(
      f'{name!r} cannot be prepared ({reason}); {remedy}'
    ) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
  while error is not None:
    yield error
    error = error.__cause__ or error.__context__


def _says_full(error: BaseException) -> bool:
  return (
    getattr(error, 'errno', None) in _FULL
    or isinstance(error, tf.errors.ResourceExhaustedError)
    or bool(_FULL_TEXT.search(str(error)))
  )
