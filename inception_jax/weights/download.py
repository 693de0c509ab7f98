"""Published files: where they are, and fetching them."""

import contextlib
import dataclasses
import hashlib
import http.client
import sys
import urllib.error
import urllib.request

from absl import logging
from etils import epath
import tqdm

from inception_jax import errors

_CHUNK_BYTES = 2**20
_TIMEOUT_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Release:
  """A file that somebody has published.

  Attributes:
    url: where it is.
    file_name: of the file.
    sha256: of its contents.
  """

  url: str
  file_name: str
  sha256: str


def sha256_of(path: epath.Path) -> str:
  """SHA-256 of a file.

  Raises:
    InputError: if it cannot be read.
  """
  digest = hashlib.sha256()
  try:
    with path.open('rb') as file:
      while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
  except OSError as error:
    raise errors.InputError(
      f'{path} cannot be read ({error.strerror or error}); check the path'
    ) from error
  return digest.hexdigest()


def fetch(release: Release, path: epath.PathLike | None = None) -> epath.Path:
  """Downloads a file, unless it is there already.

  Args:
    release: what to download.
    path: where to; None is the user's cache.

  Returns:
    The file, whose hash is right.

  Raises:
    InputError: if it cannot be downloaded or written, or is another file than
      was published; nothing is left then.
  """
  if path is None:
    path = epath.Path('~/.cache/inception_jax').expanduser() / release.file_name
  path = epath.Path(path)
  if path.exists():
    if sha256_of(path) == release.sha256:
      logging.info('%s is there already', path)
      return path
    raise errors.InputError(
      f'{path} is not the file that was published at {release.url}; move it'
      ' away, or leave out --download to use it'
    )
  partial = path.with_name(f'.{path.name}.part')
  made = []
  try:
    made = [x for x in (path.parent, *path.parent.parents) if not x.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    found = _copy(release.url, partial)
    if found != release.sha256:
      raise errors.InputError(
        f'{release.url} is not the file it was: its SHA-256 is {found}, not'
        f' {release.sha256}; get {release.file_name} elsewhere and give it as'
        ' --input'
      )
    partial.rename(path)
    made = []
  except (OSError, http.client.HTTPException) as error:
    reason = (
      getattr(error, 'reason', None)
      or getattr(error, 'strerror', None)
      or errors.first_line(error)
    )
    raise errors.InputError(
      f'{release.url} could not be downloaded to {path} ({reason}); download it'
      ' on a machine with a network, copy it here, and run the same command'
      f' with --input={path} and without --download'
    ) from error
  finally:
    with contextlib.suppress(OSError):
      partial.unlink(missing_ok=True)
    for folder in made:
      with contextlib.suppress(OSError):
        folder.rmdir()
  return path


def _copy(url: str, path: epath.Path) -> str:
  """Copies what is at `url` to a file and returns its SHA-256."""
  digest = hashlib.sha256()
  with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
    length = response.length  # None if the server does not say.
    with (
      path.open('wb') as file,
      tqdm.tqdm(
        desc=path.name.strip('.').removesuffix('.part'),
        total=length,
        unit='B',
        unit_scale=True,
        file=sys.stderr,
        dynamic_ncols=True,
      ) as bar,
    ):
      while chunk := response.read(_CHUNK_BYTES):
        file.write(chunk)
        digest.update(chunk)
        bar.update(len(chunk))
    if length is not None and bar.n != length:
      raise urllib.error.URLError(f'it broke off after {bar.n:,} bytes')
  return digest.hexdigest()
