"""Random access to the encoded images of a prepared TFDS dataset."""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import sys
from typing import Any

from absl import logging
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from inception_jax.data import (
  ahead,
  dataset_folder,
  dataset_name,
  digits,
  identity,
  open_files,
)
from inception_jax.runtime import errors, progress, ranges, words

# Name by which configs ask for the embedded digits.
DIGITS = 'digits'
# As TFDS writes `tfds.features.Image` and `ClassLabel`.
_IMAGE_AND_LABEL = {
  'image': tf.io.FixedLenFeature((), tf.string),
  'label': tf.io.FixedLenFeature((), tf.int64),
}
# Records that are read at once where all are.
_CHUNK = 64
# File systems take no longer one.
_LONGEST_NAME = 255


@dataclasses.dataclass(frozen=True)
class Records:
  """Encoded images and labels of one split.

  Attributes:
    name: dataset and split, for messages.
    source: TFDS data source, read by lists of indices.
    class_names: name of each class, in the order of the labels.
    identity: see `identity.describe`.
  """

  name: str
  source: Any
  class_names: Sequence[str]
  identity: Mapping[str, Any]

  def __len__(self) -> int:
    return len(self.source)

  @property
  def num_classes(self) -> int:
    return len(self.class_names)

  def read(self, indices: np.ndarray) -> tuple[tf.Tensor, np.ndarray]:
    """Reads records, parsed in C++.

    Args:
      indices: int `[n]`.

    Returns:
      Encoded images, string `[n]`, and labels, int32 `[n]`.

    Raises:
      InputError: if the files have been damaged, or a record has no label.
    """
    with self._explained():
      serialized = self.source.data_source.__getitems__(
        [int(i) for i in indices]
      )
    parsed = tf.io.parse_example(serialized, _IMAGE_AND_LABEL)
    labels = parsed['label'].numpy().astype(np.int32)
    if (labels < 0).any():  # As in the test splits of some challenges.
      raise errors.InputError(
        f'record {indices[labels < 0][0]} of {self.name} has no label; give'
        ' another split, of labelled images'
      )
    return parsed['image'], labels

  def read_examples(self, indices: np.ndarray) -> list[dict[str, Any]]:
    """Reads records with all their features.

    Args:
      indices: int `[n]`.

    Returns:
      n examples: 'image' (encoded), 'label', and whatever the dataset has.

    Raises:
      InputError: if the files have been damaged.
    """
    with self._explained():
      return self.source.__getitems__([int(i) for i in indices])

  @contextlib.contextmanager
  def _explained(self) -> Iterator[None]:
    try:
      yield
    except (RuntimeError, OSError) as error:
      if open_files.are_too_many(error):
        raise errors.InputError(
          f'{self.name} cannot be read: its files are more than a process may'
          ' have open here; raise that number (`ulimit -n`)'
        ) from error
      raise errors.InputError(
        f'{self.name} cannot be read ({errors.first_line(error)}); delete the'
        ' prepared dataset and prepare it again'
      ) from error

  def fingerprint(self) -> str:
    """SHA-256 of the classes, and of each label and encoded image in order.

    Reads everything; not of where the records are or what the set is called.

    Raises:
      InputError: if the files have been damaged, or a record has no label.
    """
    found = hashlib.sha256(repr(tuple(self.class_names)).encode())
    with progress.progress_bar(
      desc=f'Looking for changes in {self.name}',
      total=len(self),
      unit='images',
      delay=5.0,  # Small sets are read before that.
    ) as bar:
      starts = range(0, len(self), _CHUNK)
      for count, digest in ahead.map_ahead(self._digest, starts):
        found.update(digest)
        bar.update(count)
    return found.hexdigest()

  def _digest(self, start: int) -> tuple[int, bytes]:
    """How many records there are from `start`, and a digest of them."""
    indices = np.arange(start, min(start + _CHUNK, len(self)))
    images, labels = self.read(indices)
    found = hashlib.sha256()
    for image, label in zip(images.numpy(), labels.tolist(), strict=True):
      found.update(f'{label} {len(image)} '.encode())
      found.update(image)
    return len(indices), found.digest()

  def describe(self, index: int) -> str:
    """What to call a record in messages, by its file where that is known."""
    try:
      (example,) = self.read_examples(np.array([index]))
    except errors.InputError:
      example = {}
    file = file_name(example)
    return f'record {index} of {self.name}' + (f' ({file})' if file else '')


def file_name(example: dict[str, Any]) -> str | None:
  """The file that an example was made of, where the dataset says."""
  name = example.get('file_name')
  return name.decode(errors='replace') if isinstance(name, bytes) else name


def open_records(
  name: str, split: str, data_dir: str | os.PathLike[str] | None = None
) -> Records:
  """Opens a split of a prepared TFDS image-classification dataset.

  'digits' is prepared on the spot if need be; every other dataset must have
  been prepared in the `array_record` format.

  Args:
    name: TFDS name, 'digits' among them.
    split: TFDS split, slices such as 'train[:90%]' included.
    data_dir: TFDS data directory; None is TFDS's default.

  Returns:
    The records.

  Raises:
    InputError: if the dataset is unknown, unprepared, in another format, not
      image classification, incomplete, or has no such split.
  """
  builder = prepared_builder(name, data_dir)
  names = _class_names(name, builder)
  splits = builder.info.splits
  try:
    info = splits[split]
  except (KeyError, ValueError) as error:
    raise errors.InputError(
      f'dataset {name!r} has no split {ranges.show(split)}; it has'
      f' {words.join(splits)}: set data.train_split or data.eval_split'
    ) from error
  if info.num_examples == 0:
    raise errors.InputError(
      f'split {split!r} of dataset {name!r} is empty; set data.train_split or'
      f' data.eval_split to another part of {_numbers(splits)}'
    )
  open_files.check(f'{name!r}', len(info.file_instructions))
  source = builder.as_data_source(
    split, decoders={'image': tfds.decode.SkipDecoding()}
  )
  dataset_folder.check_files(name, info)
  return Records(
    name=f'{name} {split}',
    source=source,
    class_names=names,
    identity=identity.describe(builder, info),
  )


def _numbers(splits: Mapping[str, Any]) -> str:
  """Each split with its number of images."""
  return ', '.join(f'{x} ({info.num_examples:,})' for x, info in splits.items())


def class_names(
  name: str, data_dir: str | os.PathLike[str] | None = None
) -> tuple[str, ...]:
  """Name of each class of a dataset, prepared or not, in label order.

  Raises:
    InputError: if the dataset is unknown or not image classification.
  """
  return _class_names(name, find_builder(name, data_dir))


def _class_names(
  name: str, builder: tfds.core.DatasetBuilder
) -> tuple[str, ...]:
  features = dict(builder.info.features.items())
  if not (
    isinstance(features.get('image'), tfds.features.Image)
    and isinstance(features.get('label'), tfds.features.ClassLabel)
  ):
    raise errors.InputError(
      f'data.name={name!r} is not an image-classification dataset: it has no'
      " 'image' and 'label' features"
    )
  label = features['label']
  if len(label.names) != label.num_classes:
    raise errors.InputError(
      f'dataset {name!r} is damaged: {builder.data_dir} has'
      f' {words.count(len(label.names), "name")} for'
      f' {words.count(label.num_classes, "class", "classes")}; delete that'
      ' folder and prepare it again'
    )
  return tuple(label.names)


def find_builder(
  name: str, data_dir: str | os.PathLike[str] | None
) -> tfds.core.DatasetBuilder:
  """A builder of the dataset, prepared or not.

  Raises:
    InputError: if there is no such dataset, or what there is cannot be read.
  """
  open_files.raise_limit()
  data_dir = os.fspath(data_dir) if data_dir else None
  if len(name) > _LONGEST_NAME:
    raise _no_name(name)
  try:
    if name == DIGITS:
      return digits.Digits(data_dir=data_dir, file_format='array_record')
    builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
  except tfds.core.registered.DatasetNotFoundError as error:
    # What is damaged TFDS does not find.
    dataset_folder.check_descriptions(name, data_dir)
    known = [DIGITS, *tfds.list_builders(with_community_datasets=False)]
    raise dataset_name.unknown(name, data_dir, known) from error
  except Exception as error:  # Of many kinds: of versions, JSON, protobufs.
    dataset_folder.check_descriptions(name, data_dir)
    if dataset_name.looks_like_path(name):
      raise dataset_name.unknown(name, data_dir, ()) from error
    if 'Parsing builder name' in str(error):
      raise _no_name(name) from error
    raise errors.InputError(
      f'data.name={name!r} cannot be opened ({errors.first_line(error)}); check'
      ' data.name and data.data_dir'
    ) from error
  dataset_name.check_spelling(name, builder.name)
  return builder


def _no_name(name: str) -> errors.InputError:
  return errors.InputError(
    f'data.name={ranges.show(name)} cannot be the name of a dataset; give one'
    ' of small letters, digits and underscores'
  )


def prepared_builder(
  name: str, data_dir: str | os.PathLike[str] | None
) -> tfds.core.DatasetBuilder:
  """A prepared builder in the array_record format.

  Raises:
    InputError: if the dataset is unknown, unprepared or in another format.
  """
  builder = find_builder(name, data_dir)
  if not builder.is_prepared():
    dataset_folder.check_descriptions(name, data_dir)
  if name == DIGITS and not builder.is_prepared():
    from inception_jax.data.preparation import census  # Which imports this.

    _prepare_digits(builder)
    census.load_or_take(name, data_dir)
    builder = find_builder(name, data_dir)
  if not builder.is_prepared():
    command = dataset_name.prepare_command(name, data_dir)
    raise errors.InputError(
      f'dataset {name!r} is not prepared in {builder.data_dir}; run `{command}`'
      ' first, or, if it lies elsewhere, set data.data_dir to the folder that'
      f' holds its folder {builder.name!r}'
    )
  found = builder.info.file_format
  if found != tfds.core.FileFormat.ARRAY_RECORD:
    raise errors.InputError(
      f'{builder.data_dir} is prepared as {found.value}, which cannot be read'
      ' at random; set data.data_dir to another folder and run'
      f' `{dataset_name.prepare_command(name)}`'
    )
  return builder


def _prepare_digits(builder: tfds.core.DatasetBuilder) -> None:
  logging.info('preparing the digits in %s', builder.data_dir)
  tfds.disable_progress_bar()  # It takes a second.
  try:
    # TFDS prints; standard output is for results.
    with contextlib.redirect_stdout(sys.stderr):
      builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
      )
  except Exception as error:  # Of many kinds: TF, OS, TFDS.
    # TFDS renames a finished folder into place; another process may have been
    # first, and then nothing is wrong.
    if not pathlib.Path(builder.data_dir, 'dataset_info.json').exists():
      raise errors.InputError(
        f'the digits cannot be prepared in {builder.data_dir}:'
        f' {errors.first_line(error)}; set data.data_dir to a writable folder'
      ) from error
