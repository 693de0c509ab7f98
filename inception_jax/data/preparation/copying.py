"""A prepared dataset, copied to a bucket file by file.

What describes the dataset comes last: without it a copy that was broken off is
no dataset to TFDS.
"""

import base64
from concurrent import futures
import hashlib
import os
import pathlib
from typing import Any

from inception_jax.runtime import errors, progress, remote

_NUM_FILES_AT_ONCE = 4
_CHUNK = 2**20


def check(target: str) -> None:
  """Raises InputError unless a target is in a bucket that can be used."""
  if not target.startswith(remote.SCHEME):
    raise errors.InputError(
      f'--copy_to={target} must be a folder in a bucket, gs://BUCKET/…'
    )
  remote.check(target, '--copy_to')


def copy(folder: str | os.PathLike[str], name: str, target: str) -> str:
  """Copies a prepared dataset; files that are there already stay.

  Args:
    folder: of one version, such as `/data/imagenet2012/5.1.0`.
    name: of the dataset, such as 'imagenet2012'.
    target: TFDS data directory in a bucket, `gs://BUCKET/…`.

  Returns:
    The folder of the copy, all of whose files have the size and the MD5 that
    they have here.

  Raises:
    InputError: see `check`.
    TrainingError: if a file cannot be copied.
  """
  check(target)
  import gcsfs

  source = pathlib.Path(folder)
  # Its name, a configuration if there is one, and its version.
  base = name.split('/')[0].split(':')[0]
  start = len(source.parts) - 1 - source.parts[::-1].index(base)
  place = '/'.join([target.rstrip('/'), *source.parts[start:]])
  bucket = gcsfs.GCSFileSystem(use_listings_cache=False)
  files = sorted(x for x in source.rglob('*') if x.is_file())
  described = [x for x in files if x.suffix == '.json']
  with progress.progress_bar(
    desc='copy',
    total=sum(x.stat().st_size for x in files),
    unit='B',
    unit_scale=True,
  ) as bar:

    def copy_one(path):
      name = path.relative_to(source).as_posix()
      _copy_file(bucket, path, f'{place}/{name}')
      return path.stat().st_size

    with futures.ThreadPoolExecutor(_NUM_FILES_AT_ONCE) as pool:
      for part in ([x for x in files if x not in described], described):
        for size in pool.map(copy_one, part):
          bar.update(size)
  return place


def _copy_file(bucket: Any, path: pathlib.Path, target: str) -> None:
  """Copies one file, unless the same is there, and compares the two."""
  wanted = path.stat().st_size, _md5(path)
  try:
    if _found(bucket, target) == wanted:
      return
    bucket.put_file(str(path), target)
    found = _found(bucket, target)
  except Exception as error:  # Of the network, of many kinds.
    raise errors.TrainingError(
      f'{path} cannot be copied to {target} ({errors.first_line(error)}); run'
      ' the same command again, which copies what is not there'
    ) from error
  if found != wanted:
    raise errors.TrainingError(
      f'{target} is not what {path} is after copying; run the same command'
      ' again, which copies it anew'
    )


def _found(bucket: Any, target: str) -> tuple[int, str] | None:
  """Size and MD5 of a file in a bucket; None if it is not there."""
  try:
    info = bucket.info(target)
  except FileNotFoundError:
    return None
  return info['size'], info.get('md5Hash')


def _md5(path: pathlib.Path) -> str:
  """As a bucket gives it."""
  digest = hashlib.md5(usedforsecurity=False)
  with path.open('rb') as file:
    while chunk := file.read(_CHUNK):
      digest.update(chunk)
  return base64.b64encode(digest.digest()).decode()
