"""Buckets of Google Cloud Storage, `gs://BUCKET/…`: whether they can be used.

Files there are read and written through gcsfs, whether TensorFlow is installed
or not (`EPATH_USE_TF=0`, set by the package), so that both behave alike.
"""

import functools
import importlib.util
import threading
from typing import Any

from inception_jax.runtime import errors, words

SCHEME = 'gs://'
_SECONDS = 25.0
# Orbax asks the second for the kind of a bucket.
_PACKAGES = ('gcsfs', 'google.cloud.storage')


def check(path: str, name: str) -> None:
  """Checks that the bucket of a path is there and can be read.

  Each bucket is asked for once a process.

  Args:
    path: `gs://BUCKET/…`.
    name: the flag or field that gives it, for messages.

  Raises:
    InputError: if a package is missing, or the bucket does not exist, refuses,
      or does not answer within 25 seconds.
  """
  bucket = path.removeprefix(SCHEME).split('/')[0]
  if not bucket:
    raise errors.InputError(f'{name}={path} has no bucket; give gs://BUCKET/…')
  if missing := [x for x in _PACKAGES if not _is_installed(x)]:
    raise errors.InputError(
      f'{name}={path} needs {words.join(missing)}; pip install'
      " 'inception_jax[gcs]'"
    )
  if reason := _why_not(bucket):
    raise errors.InputError(f'{name}={path}: {reason}')


def _is_installed(package: str) -> bool:
  try:
    return importlib.util.find_spec(package) is not None
  except ModuleNotFoundError:  # Of what it is in.
    return False


@functools.cache
def _why_not(bucket: str) -> str | None:
  """Why a bucket cannot be used, with the remedy; None if it can."""
  answers: list[Any] = []

  def ask():
    import gcsfs

    try:
      # Lists one name: all that reading needs.
      gcsfs.GCSFileSystem().call(
        'GET', 'b/{}/o', bucket, maxResults=1, json_out=True
      )
      answers.append(None)
    except Exception as error:
      answers.append(error)

  thread = threading.Thread(target=ask, name='bucket', daemon=True)
  thread.start()
  thread.join(_SECONDS)
  if not answers:
    return (
      f'the bucket {bucket!r} does not answer; check the network, and that this'
      ' machine reaches storage.googleapis.com'
    )
  (error,) = answers
  return None if error is None else _explain(bucket, error)


def _explain(bucket: str, error: Exception) -> str:
  status = getattr(error, 'code', None)
  if isinstance(error, FileNotFoundError) or status == 404:
    return (
      f'there is no bucket {bucket!r}; make it, in the region of the devices:'
      f' gcloud storage buckets create gs://{bucket} --location=REGION'
    )
  text = errors.first_line(error)
  if (
    isinstance(error, PermissionError)
    or status in (401, 403)
    or 'credentials' in text.lower()
  ):
    return (
      f'the bucket {bucket!r} refuses ({text}); log in with gcloud auth'
      ' application-default login, or give the service account of this machine'
      ' roles/storage.objectAdmin on it'
    )
  return (
    f'the bucket {bucket!r} cannot be used just now ({text}); check the network'
    ' and run the same command again'
  )
