"""The pictures that a user names: files, folders of them and patterns.

A picture that cannot be read is no error: it is named with the reason, and the
others are read. TensorFlow, which decodes, is imported when the first is read.
"""

from collections.abc import Iterator, Sequence
import functools
import glob
import os
from typing import NamedTuple

from etils import epath
import numpy as np

from inception_jax.data import (
  ahead,
  crop_rules,
  system_files,
  tensorflow_modules,
)
from inception_jax.runtime import errors
from inception_jax.runtime import paths as paths_lib

# No photograph has more.
_MAX_BYTES = 2**30


class Pictures(NamedTuple):
  """Some pictures, cut as the network wants them.

  Attributes:
    files: names of those that could be read.
    images: their pixels, uint8 `[len(files), size, size, 3]`.
    failed: `{file, reason}` of the others.
  """

  files: list[str]
  images: np.ndarray
  failed: list[dict[str, str]]


def list_files(files: Sequence[str]) -> list[str]:
  """The files that names, folders and patterns stand for, each once, in order.

  A folder stands for all files in it, however deep, sorted, without hidden ones
  and a system's own (`system_files`), which are also passed over among several
  names, as shells make of `*`. A name that stands for nothing is kept as it is,
  so that reading it says so.

  Args:
    files: names of files and folders, and patterns such as 'holiday/*.jpg'.
  """
  peoples = [x for x in files if not system_files.is_systems(_last_part(x))]
  found = []
  for name in peoples or files:
    if paths_lib.unsupported(name):
      found.append(name)
      continue
    name = os.path.expanduser(name)
    try:
      if '://' not in name:
        name = paths_lib.existing(name)
      found += _files_of(name) or [name]
    except Exception:  # Of remote folders, of several kinds.
      found.append(name)
  return list(dict.fromkeys(found))


def _last_part(path: str) -> str:
  return os.path.basename(path.rstrip('/'))


def _files_of(name: str) -> list[str]:
  path = epath.Path(name)
  matches = [str(path)]
  if not path.exists() and glob.has_magic(name):
    matches = _matches(name)
  found, seen = [], set()
  for match in matches:
    if epath.Path(match).is_dir():
      found += _files_below(epath.Path(match), seen)
    else:
      found.append(match)
  return found


def _matches(pattern: str) -> list[str]:
  """What a pattern stands for, sorted.

  Folders that are there may have the characters of a pattern in their names:
  as many as there are at its beginning are taken as they are.
  """
  parts, fixed = pattern.split('/'), 0
  for count in range(len(parts) - 1, 0, -1):
    folder = '/'.join(parts[:count])
    if os.path.isdir(folder):
      rest = '/'.join(parts[count:])
      pattern, fixed = f'{glob.escape(folder)}/{rest}', count
      break
  return [
    match
    for match in sorted(glob.glob(pattern, recursive=True))
    if not any(map(system_files.is_systems, match.split('/')[fixed:]))
  ]


def _files_below(folder: epath.Path, seen: set[str]) -> list[str]:
  # Links may lead back up.
  place = str(folder)
  if '://' not in place:
    place = os.path.realpath(place)
  if place in seen:
    return []
  seen.add(place)
  found = []
  for path in sorted(folder.iterdir()):
    if system_files.is_ignored(path.name):
      continue
    found += _files_below(path, seen) if path.is_dir() else [str(path)]
  return found


def read_pictures(
  paths: Sequence[str], crop: crop_rules.EvaluationCrop, batch_size: int
) -> Iterator[Pictures]:
  """Reads, decodes and cuts pictures, some batches ahead of their use.

  Args:
    paths: names of the pictures' files.
    crop: how they are cut.
    batch_size: pictures at a time.

  Yields:
    Up to `batch_size` pictures, in order.

  Raises:
    InputError: if TensorFlow, which decodes, is missing.
  """
  image_file = tensorflow_modules.import_module(
    'image_file', 'decoding pictures'
  )
  num_threads = ahead.num_cores()
  with image_file.patient_pillow():
    parts = [
      paths[i : i + batch_size] for i in range(0, len(paths), batch_size)
    ]
    yield from ahead.map_ahead(
      functools.partial(_read_batch, crop, num_threads),
      parts,
      num_threads=min(2, num_threads),
      num_ahead=2,
    )


def _read_batch(
  crop: crop_rules.EvaluationCrop, num_threads: int, paths: Sequence[str]
) -> Pictures:
  import tensorflow as tf

  from inception_jax.data import batch_decoding, image_file

  files, encoded, failed = [], [], []
  for path in paths:
    try:
      encoded.append(image_file.encode(read_bytes(path)))
      files.append(path)
    except image_file.UnreadableError as error:
      failed.append({'file': path, 'reason': str(error)})
  if not files:
    size = crop.size
    return Pictures([], np.zeros((0, size, size, 3), np.uint8), failed)
  none = np.zeros((len(files), 1), np.float32)  # Nothing is random here.
  images, bad = batch_decoding.decode_batch(
    tf.constant(encoded), none, crop, num_threads
  )
  failed += [
    {'file': file, 'reason': 'it cannot be decoded'}
    for file, is_bad in zip(files, bad, strict=True)
    if is_bad
  ]
  good = [file for file, is_bad in zip(files, bad, strict=True) if not is_bad]
  return Pictures(good, images[~bad], failed)


def read_bytes(name: str) -> bytes:
  """Contents of a file.

  Raises:
    UnreadableError: of `image_file`, if it is no file or cannot be read.
  """
  from inception_jax.data import image_file

  if reason := paths_lib.unsupported(name):
    raise image_file.UnreadableError(reason)
  path = epath.Path(name)
  try:
    if path.is_dir():
      raise image_file.UnreadableError('the folder holds no files')
    # `epath` takes pipes and devices for files.
    if os.path.exists(name) and not os.path.isfile(name):
      raise image_file.UnreadableError('it is no regular file')
    if path.exists() and path.stat().length > _MAX_BYTES:
      raise image_file.UnreadableError(f'it has more than {_MAX_BYTES:,} bytes')
    return path.read_bytes()
  except image_file.UnreadableError:
    raise
  except FileNotFoundError as error:
    raise image_file.UnreadableError(_absence(name)) from error
  except Exception as error:  # Of remote files, of several kinds.
    reason = getattr(error, 'strerror', None) or errors.first_line(error)
    raise image_file.UnreadableError(reason) from error


def _absence(name: str) -> str:
  """Why there is no such file."""
  if os.path.islink(name):
    return 'it is a link to nothing'
  if any(x in name for x in '*?['):
    return 'no file has a name of this pattern'
  return 'there is no such file'
