"""What a network answers to every picture of a set, kept on disk.

A folder holds `answers.json`, which says whose answers to what they are, and
files of some pictures each, written whole or not at all: what is there need not
be computed again, and a broken evaluation goes on behind it.
"""

from collections.abc import Mapping
import copy
import hashlib
import io
import json
from typing import Any, NamedTuple

from etils import epath
import numpy as np

from inception_jax.evaluation import crop_views
from inception_jax.runtime import errors, json_files, read_failures, words

# Also of the pixels that were asked about: raised when those of a crop change.
_FORMAT = 3
_MIN_PICTURES_A_FILE = 64
# Read and kept, for those who want several views of the same pictures in turn.
_NUM_FILES_KEPT = 8


class Block(NamedTuple):
  """Answers to n consecutive pictures.

  Attributes:
    log_probs: float32 `[n, views, outputs]`.
    labels: int32 `[n]`, classes of the dataset.
    counted: bool `[n]`, False for pictures that cannot be decoded.
  """

  log_probs: np.ndarray
  labels: np.ndarray
  counted: np.ndarray

  def __len__(self) -> int:  # Not the number of fields.
    return len(self.labels)


def digest(identity: Mapping[str, Any]) -> str:
  """The name of the folder of these answers, 16 hexadecimal digits."""
  text = json_files.dumps({'format': _FORMAT, **identity}, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


class Answers:
  """The answers of one network to the pictures of one set.

  Args:
    folder: where they are kept; made if it is not there.
    identity: what decides them (weights, crops, data), as JSON would hold it.
    views: what is answered to each picture.
    num_images: pictures in the set.
    num_outputs: of the network.
    batch_size: pictures at a time; a new file holds a multiple of it, so that
      an evaluation that goes on makes the same batches.

  Raises:
    InputError: if the folder holds other answers.
    TrainingError: if it cannot be written.
  """

  def __init__(
    self,
    folder: epath.PathLike,
    identity: Mapping[str, Any],
    *,
    views: tuple[crop_views.View, ...],
    num_images: int,
    num_outputs: int,
    batch_size: int,
  ):
    self.folder = epath.Path(folder)
    self._digest = digest(identity)
    self.views = views
    self._num_stored = len(views)
    self.num_images = num_images
    self.num_outputs = num_outputs
    self._kept: dict[int, Block] = {}
    self.file_size = -(-_MIN_PICTURES_A_FILE // batch_size) * batch_size
    described = {
      'format': _FORMAT,
      'identity': dict(identity),
      'views': [list(view) for view in views],
      'num_images': num_images,
      'num_outputs': num_outputs,
    }
    path = self.folder / 'answers.json'
    if path.exists():
      self._check(path, json.loads(json_files.dumps(described)))
      return
    try:
      self.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise errors.cannot_write(
        self.folder, error, 'give another folder for answers with --answers'
      ) from error
    json_files.write_json(path, {**described, 'file_size': self.file_size})

  def _check(self, path: epath.Path, wanted: dict[str, Any]) -> None:
    stored = json_files.read_json(
      path, f'delete {self.folder}, and the images are evaluated again'
    )
    file_size = None
    if isinstance(stored, dict):
      file_size = stored.pop('file_size', None)
    if stored != wanted or not isinstance(file_size, int) or file_size < 1:
      raise errors.InputError(
        f'{path} belongs to answers of other weights, to other crops or data;'
        f' delete {self.folder} or give another folder with --answers'
      )
    self.file_size = file_size

  def first(self, count: int) -> 'Answers':
    """The same answers with the first `count` views only."""
    part = copy.copy(self)
    part.views = self.views[:count]
    return part

  def find_view(self, num_crops: int | None, aggregation: str) -> int:
    """Place of a view; None is of all crops, and of one there is one only.

    Raises:
      InputError: if there is no such view.
    """
    wanted = num_crops or max(view.num_crops for view in self.views)
    for place, view in enumerate(self.views):
      if view.num_crops == wanted and aggregation == view.aggregation:
        return place
      if view.num_crops == wanted == 1:
        return place
    raise errors.InputError(
      f'{self.folder} has no answers of {words.count(wanted, "crop")} with'
      f' {aggregation}'
    )

  def missing(self) -> list[tuple[int, int]]:
    """First picture, and the one behind the last, of each gap, in order."""
    gaps = []
    there = {path.name for path in self.folder.iterdir()}
    for start in range(0, self.num_images, self.file_size):
      if _file_name(start) in there:
        continue
      stop = min(start + self.file_size, self.num_images)
      if gaps and gaps[-1][1] == start:
        start = gaps.pop()[0]
      gaps.append((start, stop))
    return gaps

  def write(self, start: int, block: Block) -> None:
    """Writes one file.

    Args:
      start: number of the first picture, a multiple of `file_size`.
      block: of `file_size` pictures, or of all that are left.

    Raises:
      InputError: if an answer is not a number.
      TrainingError: if the file cannot be written.
    """
    if len(block) != min(self.file_size, self.num_images - start):
      raise RuntimeError(f'{len(block)} answers from {start} are no whole file')
    bad = ~np.isfinite(block.log_probs).all((1, 2)) & block.counted
    if bad.any():
      raise errors.InputError(
        'the network gives probabilities that are not finite, first for picture'
        f' {start + np.argmax(bad)}; its weights have diverged, so give other'
        ' --weights, or an older or another run'
      )
    contents = io.BytesIO()
    # Whose answers to what these are: files get copied.
    place = {'digest': np.array(self._digest), 'start': np.array(start)}
    np.savez(contents, **block._asdict(), **place)
    json_files.write_atomically(
      self.folder / _file_name(start), contents.getvalue()
    )

  def read(self, start: int, stop: int, view: int) -> Block:
    """Answers to pictures `start` to `stop`, `[n, outputs]`, of one view.

    Raises:
      InputError: if a file is missing or damaged.
    """
    first = start // self.file_size * self.file_size
    parts = []
    for begin in range(first, stop, self.file_size):
      if begin not in self._kept:
        while len(self._kept) >= _NUM_FILES_KEPT:
          del self._kept[next(iter(self._kept))]  # The oldest.
        self._kept[begin] = self._read_file(begin)
      block = self._kept[begin]
      window = slice(max(start - begin, 0), stop - begin)
      parts.append(
        Block(
          block.log_probs[window, view],
          block.labels[window],
          block.counted[window],
        )
      )
    return Block(*(np.concatenate(x) for x in zip(*parts, strict=True)))

  def _read_file(self, start: int) -> Block:
    path = self.folder / _file_name(start)
    count = min(self.file_size, self.num_images - start)
    wanted = {
      'log_probs': ((count, self._num_stored, self.num_outputs), np.float32),
      'labels': ((count,), np.int32),
      'counted': ((count,), np.bool_),
    }
    try:
      with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
        arrays = {name: file[name] for name in wanted}
        place = str(file['digest']), int(file['start'])
    except Exception as e:  # Of as many kinds as there is damage.
      if reason := read_failures.cause(e, path):
        raise errors.InputError(
          f'{path} cannot be read just now ({reason}); mend that and run the'
          ' same command again'
        ) from e
      raise errors.InputError(
        f'{path} is missing or damaged; delete it, and the same command answers'
        ' to its pictures again'
      ) from e
    if place != (self._digest, start) or any(
      (arrays[name].shape, arrays[name].dtype) != (shape, dtype)
      for name, (shape, dtype) in wanted.items()
    ):
      raise errors.InputError(
        f'{path} holds something else than the {count} answers of this network'
        ' to these pictures; delete it, and the same command answers to them'
        ' again'
      )
    if not np.isfinite(arrays['log_probs'][arrays['counted']]).all():
      raise errors.InputError(
        f'{path} holds probabilities that are not finite, of an earlier'
        ' version; give an older or another run, or other --weights'
      )
    return Block(**arrays)


def _file_name(start: int) -> str:
  return f'{start:08d}.npz'
