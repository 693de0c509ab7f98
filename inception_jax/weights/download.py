"""Published files: where they are, and fetching them."""

from collections.abc import Mapping
import contextlib
import dataclasses
import hashlib
import http.client
import sys
from typing import Any
import urllib.error
import urllib.request

from absl import logging
from etils import epath
import tqdm

from inception_jax.runtime import errors

# The published files have 27 to 54 MB.
MAX_BYTES = 2**28
_CHUNK_BYTES = 2**20
_TIMEOUT_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Release:
  """A file that somebody has published.

  Attributes:
    url: where it is.
    file_name: of the file.
    sha256: of its contents, or the beginning of it; empty if nobody says.
    sha1: likewise.
  """

  url: str
  file_name: str
  sha256: str = ''
  sha1: str = ''

  def is_published(self, digests: Mapping[str, str]) -> bool | None:
    """Whether a file with these `digests_of` is it; None if nobody knows."""
    if not self.sha256 and not self.sha1:
      return None
    return digests['sha256'].startswith(self.sha256) and digests[
      'sha1'
    ].startswith(self.sha1)


def sha256_of(path: epath.Path) -> str:
  """SHA-256 of a file.

  Raises:
    InputError: if it cannot be read.
  """
  return digests_of(path)['sha256']


def digests_of(path: epath.Path) -> dict[str, str]:
  """SHA-256 and SHA-1 of a file, as `sha256` and `sha1`.

  Raises:
    InputError: if it cannot be read.
  """
  digests = _new_digests()
  try:
    with path.open('rb') as file:
      while chunk := file.read(_CHUNK_BYTES):
        for digest in digests.values():
          digest.update(chunk)
  except OSError as error:
    raise errors.InputError(
      f'{path} cannot be read ({error.strerror or error}); check the path'
    ) from error
  return {name: digest.hexdigest() for name, digest in digests.items()}


def _new_digests() -> dict[str, Any]:
  # SHA-1 only because some have published no other.
  sha1 = hashlib.sha1(usedforsecurity=False)
  return {'sha256': hashlib.sha256(), 'sha1': sha1}


def read_bounded(path: epath.Path) -> bytes:
  """A file's contents.

  Raises:
    InputError: if it cannot be read, or has more than `MAX_BYTES`.
  """
  try:
    with path.open('rb') as file:
      data = file.read(MAX_BYTES + 1)
  except OSError as error:
    raise errors.InputError(
      f'{path} cannot be read ({error.strerror or error}); check --input'
    ) from error
  if len(data) > MAX_BYTES:
    raise errors.InputError(
      f'{path} has more than the {MAX_BYTES:,} bytes of any file of this'
      ' network; give another file'
    )
  return data


def fetch(release: Release, path: epath.PathLike | None = None) -> epath.Path:
  """Downloads a file, unless it is there already.

  Args:
    release: what to download.
    path: where to; None is the user's cache.

  Returns:
    The file, whose hash is right, if one was published.

  Raises:
    InputError: if it cannot be downloaded or written, or is another file than
      was published; nothing is left then.
  """
  if path is None:
    path = epath.Path('~/.cache/inception_jax').expanduser() / release.file_name
  path = epath.Path(path)
  if path.exists():
    if release.is_published(digests_of(path)) is not False:
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
    if release.is_published(found) is False:
      kind = 'sha256' if release.sha256 else 'sha1'
      raise errors.InputError(
        f'{release.url} is not the file it was: its {kind} is {found[kind]},'
        f' not {getattr(release, kind)}; get {release.file_name} elsewhere and'
        ' give it as --input'
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


def _copy(url: str, path: epath.Path) -> dict[str, str]:
  """Copies what is at `url` to a file and returns its `digests_of`."""
  digests = _new_digests()
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
        for digest in digests.values():
          digest.update(chunk)
        bar.update(len(chunk))
        if bar.n > MAX_BYTES:
          raise urllib.error.URLError(f'it has more than {MAX_BYTES:,} bytes')
    if length is not None and bar.n != length:
      raise urllib.error.URLError(f'it broke off after {bar.n:,} bytes')
  return {name: digest.hexdigest() for name, digest in digests.items()}
