"""Published files: where they are, and fetching them."""

from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
import hashlib
import shlex
import shutil
import tempfile
from typing import Any, BinaryIO
import uuid

from absl import logging
from etils import epath
import pooch
import requests

from inception_jax.runtime import durable, errors, progress, words

# The published files have 27 to 54 MB.
MAX_BYTES = 2**28
_CHUNK_BYTES = 2**20
_TIMEOUT_SECONDS = 60
# After pauses of one second and two.
_NUM_RETRIES = 2


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


def read_bounded(path: epath.Path, flag: str = '--input') -> bytes:
  """A file's contents.

  Args:
    path: the file.
    flag: that names it, for messages.

  Raises:
    InputError: if it cannot be read, or has more than `MAX_BYTES`.
  """
  try:
    with path.open('rb') as file:
      data = file.read(MAX_BYTES + 1)
  except OSError as error:
    raise errors.InputError(
      f'{path} cannot be read ({error.strerror or error}); check {flag}'
    ) from error
  if len(data) > MAX_BYTES:
    raise errors.InputError(
      f'{path} has more than the {MAX_BYTES:,} bytes of any file of this'
      ' network; give another file'
    )
  return data


def checked_how_far(release: Release) -> str:
  """How much is known of a fetched file, as a sentence."""
  if release.sha256:
    if len(release.sha256) == 64:
      return 'its SHA-256 is as published'
    return (
      f'the first {len(release.sha256)} digits of its SHA-256 are published'
    )
  if release.sha1:
    return 'its SHA-1 is as published'
  return 'nobody has published a hash of it, so that it was not checked'


def fetch(
  release: Release,
  path: epath.PathLike | None = None,
  *,
  is_for_cache: bool = False,
) -> epath.Path:
  """Downloads a file, unless it is there already.

  Args:
    release: what to download.
    path: where to; None is the user's cache.
    is_for_cache: whether the remedy for a missing network is to put the file
      in the cache; else it is --input.

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
  try:
    # On the disk where the file is going, if it is a local one.
    beside = None if '://' in str(path) else path.parent
    with (
      _folder_made(path.parent),
      tempfile.TemporaryDirectory(prefix='.download_', dir=beside) as folder,
    ):
      found = _download(release, folder)
      _check_published(release, digests_of(found))
      _copy(found, path)
  except OSError as error:  # Those of requests are too.
    raise errors.InputError(
      f'{release.url} could not be downloaded to {path} ({_reason(error)});'
      ' download it on a machine with a network, and copy it '
      + (
        f'to {path}'
        if is_for_cache
        else 'here, and run the same command with'
        f' {shlex.quote(f"--input={path}")} and without'
        ' --download'
      )
    ) from error
  return path


def _download(release: Release, folder: str) -> epath.Path:
  """The whole file, in a folder; raises OSError if no attempt succeeds."""
  # It would name the folder, which is not where the file is going.
  pooch.get_logger().setLevel('WARNING')
  fetcher = pooch.create(
    folder,
    base_url='',
    # Pooch compares whole hashes only; see `Release.is_published`.
    registry={release.file_name: None},
    urls={release.file_name: release.url},
    retry_if_failed=_NUM_RETRIES,
  )
  return epath.Path(fetcher.fetch(release.file_name, downloader=_receive))


def _receive(url: str, output_file: str, fetcher: pooch.Pooch) -> None:
  """Writes what is at `url` to a file; called by pooch."""
  del fetcher
  logging.info('downloading %s', url)
  name = url.rsplit('/', 1)[-1]
  with (
    open(output_file, 'wb') as file,
    # Pooch asks whether the bar is true, which takes a total, and corrects it.
    progress.progress_bar(desc=name, total=1, unit='B', unit_scale=True) as bar,
  ):
    bounded = _BoundedFile(file)
    receive = pooch.HTTPDownloader(
      progressbar=bar,
      chunk_size=_CHUNK_BYTES,
      timeout=_TIMEOUT_SECONDS,
      # The file itself, which the hash and the length are of.
      headers={'Accept-Encoding': 'identity'},
    )
    receive(url, bounded, None)
    if bar.total not in (0, bounded.size):
      raise requests.exceptions.ConnectionError(  # Which pooch tries again.
        f'it broke off after {words.count(bounded.size, "byte")}'
      )


class _BoundedFile:
  """A file that takes no more than `MAX_BYTES`."""

  def __init__(self, file: BinaryIO):
    self._file, self.size = file, 0

  def write(self, data: bytes) -> None:
    self.size += len(data)
    if self.size > MAX_BYTES:
      raise OSError(f'it has more than {MAX_BYTES:,} bytes')
    self._file.write(data)

  def flush(self) -> None:
    self._file.flush()


def _check_published(release: Release, found: Mapping[str, str]) -> None:
  if release.is_published(found) is False:
    kind = 'sha256' if release.sha256 else 'sha1'
    raise errors.InputError(
      f'{release.url} is not the file it was: its {kind} is {found[kind]},'
      f' not {getattr(release, kind)}; get {release.file_name} elsewhere and'
      ' give it as --input'
    )


@contextlib.contextmanager
def _folder_made(folder: epath.Path) -> Iterator[None]:
  """Makes a folder, which goes again if what is done in it fails."""
  missing = [x for x in (folder, *folder.parents) if not x.exists()]
  try:
    durable.make_folder(folder)
    yield
  except BaseException:
    for made in missing:
      with contextlib.suppress(OSError, ValueError):  # It is not empty.
        made.rmdir()
    raise


def _copy(source: epath.Path, path: epath.Path) -> None:
  """Copies a file to a place that may be remote, whole or not at all."""
  # Others may be fetching the same file.
  partial = path.with_name(f'.{path.name}.{uuid.uuid4().hex[:8]}.part')
  try:
    with source.open('rb') as original, partial.open('wb') as copy:
      shutil.copyfileobj(original, copy)
    durable.replace(partial, path)
  finally:
    with contextlib.suppress(OSError):
      partial.unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
  """What the system says, or else the library."""
  cause = error
  while cause is not None:
    if getattr(cause, 'strerror', None):
      return cause.strerror
    cause = cause.__context__
  return errors.first_line(error)
