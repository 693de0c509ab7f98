"""Preparing a dataset once, as array_record files that training reads.

Everything grows in a staging folder, is verified there, and takes its place
with one renaming: a dataset is there whole or not at all.
"""

from collections.abc import Iterable
import contextlib
import json
import os
import re
import sys
from typing import Any

from absl import logging
from array_record.python import array_record_module
from etils import epath
import tensorflow_datasets as tfds

from inception_jax.data import dataset_name, open_files
from inception_jax.data import records as records_lib
from inception_jax.data.preparation import (
  census,
  copies,
  doubts,
  examples,
  failures,
  image_folder,
  manual,
  staging,
)
from inception_jax.runtime import durable, errors, json_files, log, words

# Kept beside a folder's census: its listing and what was left out.
FILE = 'preparation.json'
_COPIES = 'copies'
VERSION = '1.0.0'
_FORMAT = 'array_record'
# TFDS sorts what is larger through 1,000 files, and writes up to 1,024.
_MANY_FILES_BYTES = 1000 * 2**20
_MANY_FILES = 1024
# A record a group, since they are read at random; and as they come, since
# encoded images do not shrink, and decompressing them takes time in training.
_WRITER_OPTIONS = 'group_size:1,uncompressed'
# Not names of datasets: the noise of `fake`, and where TFDS keeps downloads.
_RESERVED = ('fake', 'downloads')


def prepare(
  name: str,
  data_dir: str | os.PathLike[str] | None = None,
  source: str | None = None,
) -> dict[str, Any]:
  """Prepares a dataset unless it is there already, and says what it holds.

  Args:
    name: a TFDS dataset, or a new name for a folder of pictures.
    data_dir: TFDS data directory, local or remote; None is TFDS's default.
    source: the folder of pictures, or the folder with the archives of a
      dataset that must be downloaded by hand.

  Returns:
    `name, data_dir` (of the prepared set), `splits` (see `census.take`) and
    `left_out: [{file, reason}]`.

  Raises:
    InputError: if something is missing or damaged, with what to do about it;
      nothing of the dataset is written then.
    Interrupted: after SIGINT or SIGTERM; likewise.
  """
  root = epath.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
  _check_name(name, data_dir)
  _check_source(source)
  folder = None
  if source is not None and not _is_registered(name):
    folder = image_folder.find(source)
    _prepare_folder(name, root, folder)
  else:
    _prepare_registered(name, root, source)
  splits = census.load_or_take(name, root)
  place = epath.Path(records_lib.prepared_builder(name, root).data_dir)
  about = _load(place)
  result = {
    'name': name,
    'data_dir': os.fspath(place),
    'splits': splits,
    'left_out': about.get('left_out', []),
  }
  log.say(_to_text(result))
  if folder is not None:
    doubts.warn(folder)
    copies.warn([copies.Copy(*x) for x in about.get(_COPIES, [])])
  return result


def _check_name(name: str, data_dir: str | os.PathLike[str] | None) -> None:
  if name in _RESERVED:
    raise errors.InputError(
      f'data.name={name!r} names nothing that can be prepared; give another'
    )
  if not tfds.core.naming.is_valid_dataset_name(name):
    if os.path.isdir(os.path.expanduser(name)):
      raise dataset_name.unknown(name, data_dir, ())
    raise errors.InputError(
      f'data.name={name!r} is no name for a dataset; use small letters, digits'
      ' and underscores, a letter first, as in my_photos'
    )


def _check_source(source: str | None) -> None:
  """Checks that a folder may be looked into: else it seems not to exist."""
  if source is None or '://' in os.fspath(source):
    return
  try:
    os.listdir(os.path.expanduser(source))
  except (FileNotFoundError, NotADirectoryError):
    pass  # Said elsewhere, with what is wanted.
  except OSError as error:
    raise errors.InputError(
      f'--input={source} cannot be read ({error.strerror or error}); mend its'
      ' permissions and those of the folders it is in'
    ) from error


def _is_registered(name: str) -> bool:
  """Whether TFDS, or this package, knows how to make the dataset."""
  name = re.split('[:/]', name)[0]
  if name == records_lib.DIGITS:
    return True
  try:
    tfds.builder_cls(name)
  except tfds.core.registered.DatasetNotFoundError:
    return False
  return True


def _prepare_registered(
  name: str, root: epath.Path, source: str | None
) -> None:
  """Has TFDS prepare one of its own datasets."""
  builder = records_lib.find_builder(name, root)
  records_lib.class_names(name, root)  # Says so if it is of another kind.
  manual.check_wanted(builder, source)
  if builder.is_prepared():
    logging.info('%s is prepared in %s already', name, builder.data_dir)
    return
  _check_place(builder.data_path)
  manual.check(builder, source)
  with staging.stage(root, name) as stage:
    _check_still_wanted(epath.Path(builder.data_path))
    builder = records_lib.find_builder(name, stage)
    expected = manual.expected_splits(builder, source)
    _check_open_files(name, expected)
    with failures.explained(name, root):
      _build(builder, expected, root / 'downloads', source)
      _finish(name, root, stage)


def _prepare_folder(
  name: str, root: epath.Path, folder: image_folder.ImageFolder
) -> None:
  """Prepares a folder of pictures under a name of its own."""
  if not re.fullmatch('[a-z][a-z0-9_]*', name):
    raise errors.InputError(
      f'data.name={name!r} is no name for a folder of pictures; use small'
      ' letters, digits and underscores, a letter first, as in my_photos'
    )
  place = root / name / VERSION
  if (place / 'dataset_info.json').exists():
    if _load(place).get('listing') != folder.listing:
      raise errors.InputError(
        f'the dataset {place} was prepared from other files than are in'
        f' {folder.root} now; give another data.name, or delete that dataset to'
        ' prepare it again'
      )
    logging.info('%s is prepared in %s already', name, place)
    return
  _check_place(place)
  left_out = [
    {'file': file, 'reason': reason} for file, reason in folder.strays.items()
  ]
  expected = {
    split: (len(files), sum(file.num_bytes for file in files))
    for split, files in folder.splits.items()
  }
  _check_open_files(name, expected)
  found = copies.Copies()
  with staging.stage(root, name) as stage:
    _check_still_wanted(place)
    builder = tfds.dataset_builders.AdhocBuilder(
      name=name,
      version=VERSION,
      description='A folder of pictures, prepared by inception_jax.',
      features=tfds.features.FeaturesDict(
        {
          # Without a format, records are JPEG or PNG as they come.
          'image': tfds.features.Image(),
          'label': tfds.features.ClassLabel(names=list(folder.class_names)),
          'file_name': tfds.features.Text(),
        }
      ),
      split_datasets={
        split: examples.read_examples(split, files, left_out, found)
        for split, files in folder.splits.items()
      },
      data_dir=os.fspath(stage),
    )
    with failures.explained(name, root):
      _build(builder, expected, stage / 'downloads')
      about = {
        'listing': folder.listing,
        'left_out': left_out,
        _COPIES: [*found.found, *found.alike()],
      }
      (builder.data_path / FILE).write_text(
        json_files.dumps(about, indent=2) + '\n'
      )
      _finish(name, root, stage)


def _check_open_files(name: str, expected: dict[str, tuple[int, int]]) -> None:
  """Checks that enough files may be open, before hours of writing."""
  if any(num_bytes > _MANY_FILES_BYTES for _, num_bytes in expected.values()):
    open_files.check(f'preparing {name!r}', _MANY_FILES)


def _check_place(place: epath.Path) -> None:
  if place.exists():
    raise errors.InputError(
      f'{place} is there but holds no prepared dataset; delete it, or set'
      ' data.data_dir or data.name to another'
    )


def _check_still_wanted(place: epath.Path) -> None:
  """Checks, now that nobody else can, that nobody else has."""
  if place.exists():
    raise errors.InputError(
      f'another process has prepared {place} just now; run the same command'
      ' again'
    )


def _build(
  builder: tfds.core.DatasetBuilder,
  expected: dict[str, tuple[int, int]],
  downloads: epath.Path,
  source: str | None = None,
) -> None:
  """Downloads and writes a dataset where its builder says.

  Args:
    builder: of a dataset in the staging folder.
    expected: number of images and bytes of each split, where known.
    downloads: where to keep what is downloaded.
    source: folder with archives downloaded by hand.
  """
  if expected:
    # TFDS estimates the time left, and looks for room, by these.
    template = tfds.core.ShardedFileTemplate(
      data_dir=builder.data_path,
      dataset_name=builder.name,
      filetype_suffix=_FORMAT,
    )
    infos = [
      tfds.core.SplitInfo(
        name=split,
        shard_lengths=[num_images],
        num_bytes=num_bytes,
        filename_template=template,
      )
      for split, (num_images, num_bytes) in expected.items()
    ]
    builder.info.set_splits(tfds.core.splits.SplitDict(infos))
  builder._example_writer = _ExampleWriter  # TFDS's place for another writer.
  source = None if source is None else epath.Path(source).expanduser()
  # Standard output is for results, and TFDS prints.
  with contextlib.redirect_stdout(sys.stderr):
    builder.download_and_prepare(
      file_format=_FORMAT,
      download_dir=downloads,
      download_config=tfds.download.DownloadConfig(
        manual_dir=source, try_download_gcs=False
      ),
    )


class _ExampleWriter(tfds.core.writer.ExampleWriter):
  """As TFDS's own, but for `_WRITER_OPTIONS`."""

  def __init__(self):
    super().__init__(tfds.core.FileFormat.ARRAY_RECORD)

  def write(
    self, path: epath.PathLike, examples: Iterable[tuple[Any, bytes]]
  ) -> None:
    writer = array_record_module.ArrayRecordWriter(
      os.fspath(path), _WRITER_OPTIONS
    )
    for _, serialized in examples:
      writer.write(serialized)
    writer.close()


def _finish(name: str, root: epath.Path, stage: epath.Path) -> None:
  """Verifies a staged dataset, counts it, and moves it to its place."""
  # A writer that found the disk full may not have said so: this compares the
  # files with what should be in them, and reads every record.
  census.load_or_take(name, stage)
  builder = records_lib.prepared_builder(name, stage)
  relative = epath.Path(builder.data_dir).relative_to(stage)
  durable.make_folder((root / relative).parent)
  durable.move_folder(stage / relative, root / relative)


def _load(place: epath.Path) -> dict[str, Any]:
  """What was kept of the preparation of a folder; else nothing."""
  try:
    about = json.loads((place / FILE).read_text())
  except (OSError, ValueError):
    return {}
  return about if isinstance(about, dict) else {}


def _to_text(result: dict[str, Any]) -> str:
  lines = [
    errors.on_one_line(f'{result["name"]} in {result["data_dir"]}'),
    census.to_text(result['splits']),
  ]
  left_out = [f'{x["file"]}: {x["reason"]}' for x in result['left_out']]
  if left_out:
    verb = 'is' if len(left_out) == 1 else 'are'
    lines.append(f'{words.count(len(left_out), "file")} {verb} left out:')
    lines += [
      f'  {errors.on_one_line(line)}' for line in census.first_lines(left_out)
    ]
  return '\n'.join(lines)
