"""What a prepared dataset holds: counts, sizes, and what cannot be decoded."""

import hashlib
import json
import os
from typing import Any, NamedTuple

from absl import logging
from etils import epath
import numpy as np

from inception_jax.data import ahead, dataset_folder, identity, image_file
from inception_jax.data import records as records_lib
from inception_jax.runtime import errors, json_files, progress, words

FILE = identity.CENSUS_FILE
# Records that are read at once.
_CHUNK = 16
# Classes and files that the text names one by one.
_MAX_LINES = 20
_NUM_EXTREMES = 5


class _Examined(NamedTuple):
  """What one pass over the n records of a split finds.

  Attributes:
    labels: int32 `[n]`, negative where there is none.
    sizes: width and height of each image, int32 `[n, 2]`; 0 where the image
      cannot be decoded.
    num_bytes: bytes of all encoded images.
    digest: SHA-256 of the classes, and of all labels and images in order.
    unreadable: `{index, file_name, reason}` of each bad image.
  """

  labels: np.ndarray
  sizes: np.ndarray
  num_bytes: int
  digest: str
  unreadable: list[dict[str, Any]]


def load_or_take(
  name: str, data_dir: str | os.PathLike[str] | None = None
) -> dict[str, dict[str, Any]]:
  """The census of a prepared dataset, kept beside its dataset_info.json.

  Args:
    name: see `records.open_records`.
    data_dir: TFDS data directory; None is TFDS's default.

  Returns:
    What `take` returns, for each split that is not empty.

  Raises:
    InputError: if the dataset is not prepared or damaged.
  """
  builder = records_lib.prepared_builder(name, data_dir)
  path = epath.Path(builder.data_dir) / FILE
  numbers = {
    split: info.num_examples
    for split, info in builder.info.splits.items()
    if info.num_examples
  }
  for split in numbers:
    dataset_folder.check_files(name, builder.info.splits[split])
  kept = _load(path)
  found = {
    s: of_split.get('num_images')
    for s, of_split in kept.items()
    if identity.DIGEST in of_split  # Earlier versions took none.
  }
  if found == numbers:
    return kept
  splits = {
    split: take(records_lib.open_records(name, split, data_dir))
    for split in numbers
  }
  try:
    json_files.write_atomically(path, json_files.dumps(splits, indent=2) + '\n')
  except errors.TrainingError as error:
    logging.warning('%s cannot be kept (%s)', path, error.__cause__)
  return splits


def _load(path: epath.Path) -> dict[str, dict[str, Any]]:
  """A kept census, or an empty one."""
  try:
    splits = json.loads(path.read_text())
    return {name: dict(of_split) for name, of_split in splits.items()}
  except (OSError, ValueError, AttributeError, TypeError):
    return {}


def take(records: records_lib.Records) -> dict[str, Any]:
  """Decodes every record of a split once, as training decodes it.

  Args:
    records: the split.

  Returns:
    `num_images, num_classes, class_counts: {name: n}, num_unlabelled,
    num_bytes` (of the encoded images), `sha256` (of the classes, and of all
    labels and encoded images in order), `smallest` and `largest` (by area:
    `{width, height, file_name}`), `median_width, median_height`, and
    `unreadable: [{index, file_name, reason}]`. Sizes are of what could be
    decoded; they are None where nothing could.

  Raises:
    InputError: if the records cannot be read from their files.
  """
  examined = _examine_all(records)
  labels = examined.labels
  counts = np.bincount(labels[labels >= 0], minlength=records.num_classes)
  return {
    'num_images': len(records),
    'num_classes': records.num_classes,
    'class_counts': dict(
      zip(records.class_names, counts.tolist(), strict=True)
    ),
    'num_unlabelled': int((labels < 0).sum()),
    'num_bytes': examined.num_bytes,
    identity.DIGEST: examined.digest,
    **_describe_sizes(records, examined.sizes),
    'unreadable': examined.unreadable,
  }


def _examine_all(records: records_lib.Records) -> _Examined:
  """Reads and decodes every record once, with a progress bar."""
  total = len(records)
  labels = np.zeros(total, np.int32)
  sizes = np.zeros((total, 2), np.int32)
  unreadable, num_bytes = [], 0
  found = hashlib.sha256(repr(tuple(records.class_names)).encode())
  checked = progress.progress_bar(
    ahead.map_ahead(_examine, _read(records)),
    desc=f'Checking {records.name}',
    total=total,
    unit='images',
  )
  for index, (example, digest, size, reason) in enumerate(checked):
    labels[index] = example['label']
    found.update(f'{example["label"]} '.encode() + digest)
    num_bytes += len(example['image'])
    if reason is None:
      sizes[index] = size
    else:
      file = records_lib.file_name(example)
      unreadable.append({'index': index, 'file_name': file, 'reason': reason})
  return _Examined(labels, sizes, num_bytes, found.hexdigest(), unreadable)


def _describe_sizes(
  records: records_lib.Records, sizes: np.ndarray
) -> dict[str, Any]:
  """The smallest and the largest image by area, and the median sides."""
  decoded = np.flatnonzero(sizes[:, 0])
  if not len(decoded):
    return dict.fromkeys(
      ('smallest', 'largest', 'median_width', 'median_height')
    )
  areas = sizes[decoded].astype(np.int64).prod(1)
  width, height = np.median(sizes[decoded], 0).tolist()
  return {
    'smallest': _describe(records, sizes, decoded[areas.argmin()]),
    'largest': _describe(records, sizes, decoded[areas.argmax()]),
    'median_width': width,
    'median_height': height,
  }


def _describe(
  records: records_lib.Records, sizes: np.ndarray, index: int
) -> dict[str, Any]:
  (example,) = records.read_examples(np.array([index]))
  width, height = sizes[index].tolist()
  file = records_lib.file_name(example)
  return {'width': width, 'height': height, 'file_name': file}


def _read(records: records_lib.Records):
  """All examples in order, read in chunks."""
  for start in range(0, len(records), _CHUNK):
    stop = min(start + _CHUNK, len(records))
    yield from records.read_examples(np.arange(start, stop))


def _examine(example: dict[str, Any]):
  """The example, its digest, and its size or why it cannot be decoded."""
  image = example['image']
  digest = hashlib.sha256(image).digest()
  try:
    return example, digest, image_file.decoded_size(image), None
  except image_file.UnreadableError as error:
    return example, digest, None, str(error)


def to_text(splits: dict[str, dict[str, Any]]) -> str:
  """A census for reading."""
  lines = []
  for split, census in splits.items():
    lines.append(
      f'{split}: {words.count(census["num_images"], "image")} of'
      f' {words.count(census["num_classes"], "class", "classes")},'
      f' {census["num_bytes"] / 1e6:,.1f} MB'
    )
    lines += [
      f'  {errors.on_one_line(line)}' for line in _classes_to_text(census)
    ]
    if census['smallest'] is not None:
      lines.append(
        f'  sizes: {_size_to_text(census["smallest"])} to'
        f' {_size_to_text(census["largest"])}, median'
        f' {census["median_width"]:g}x{census["median_height"]:g}'
      )
    unreadable = [
      f'record {entry["index"]}'
      + (f' ({entry["file_name"]})' if entry['file_name'] else '')
      + f': {entry["reason"]}'
      for entry in census['unreadable']
    ]
    if unreadable:
      lines.append(f'  {len(unreadable):,} cannot be decoded:')
      lines += [
        f'    {errors.on_one_line(line)}' for line in first_lines(unreadable)
      ]
  return '\n'.join(lines)


def first_lines(lines: list[str]) -> list[str]:
  """The first twenty, and how many more there are."""
  more = len(lines) - _MAX_LINES
  return lines[:_MAX_LINES] + ([f'and {more:,} more'] if more > 0 else [])


def _classes_to_text(census: dict[str, Any]) -> list[str]:
  counts = sorted(census['class_counts'].items(), key=lambda item: item[1])
  if census['num_unlabelled']:
    return [f'{census["num_unlabelled"]:,} without a label']
  if len(counts) <= _MAX_LINES:
    return [f'{name}: {n:,}' for name, n in census['class_counts'].items()]
  numbers = [n for _, n in counts]
  shown = lambda items: ', '.join(f'{name} {n:,}' for name, n in items)
  return [
    f'images a class: {numbers[0]:,} to {numbers[-1]:,}, median'
    f' {np.median(numbers):g}',
    f'smallest: {shown(counts[:_NUM_EXTREMES])}',
    f'largest: {shown(counts[: -_NUM_EXTREMES - 1 : -1])}',
  ]


def _size_to_text(size: dict[str, Any]) -> str:
  text = f'{size["width"]}x{size["height"]}'
  if not size['file_name']:
    return text
  return f'{text} ({errors.on_one_line(size["file_name"])})'
