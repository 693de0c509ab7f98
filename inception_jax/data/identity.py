"""What tells a set of pictures from another, without reading its records."""

from collections.abc import Mapping
import json
import os
from typing import Any

from etils import epath

from inception_jax.runtime import words

# Beside the records of a prepared dataset; see `preparation.census`.
CENSUS_FILE = 'census.json'
# In it, of each split; and here.
DIGEST = 'sha256'
# Compared where one of the two has no digest.
_SIZES = {
  'num_images': 'images',
  'num_bytes': 'bytes',
  'shard_lengths': 'images a file',
  'version': 'as version of the dataset',
}
_MAX_SHOWN = 60


def describe(builder: Any, info: Any) -> dict[str, Any]:
  """What a set is made of, from what lies beside its records.

  Args:
    builder: TFDS builder of the prepared dataset.
    info: TFDS split info of the set, which may be a part of a split or several.

  Returns:
    `num_images` of the set, and `splits`: of each whole split that it has
    pictures of `num_images, num_bytes, shard_lengths, version` and, if
    preparing has kept it, the digest of its records, `sha256`.
  """
  files = {os.path.basename(x.filename) for x in info.file_instructions}
  digests = _digests(epath.Path(builder.data_dir) / CENSUS_FILE)
  splits = {}
  for name, split in builder.info.splits.items():
    if files.isdisjoint(split.filenames):
      continue
    num_images = int(split.num_examples)
    splits[name] = {
      'num_images': num_images,
      'num_bytes': int(split.num_bytes),
      'shard_lengths': [int(x) for x in split.shard_lengths],
      'version': str(builder.version),
    }
    if digest := digests.get((name, num_images)):
      splits[name][DIGEST] = digest
  return {'num_images': int(info.num_examples), 'splits': splits}


def _digests(path: epath.Path) -> dict[tuple[str, int], str]:
  """By name of the split and number of its images, as a census has them."""
  try:
    census = json.loads(path.read_text())
    return {
      (name, split['num_images']): split[DIGEST]
      for name, split in census.items()
      if DIGEST in split
    }
  except (OSError, ValueError, AttributeError, KeyError, TypeError):
    return {}


def is_covered(found: Mapping[str, Any]) -> bool:
  """Whether the digests of all records are known."""
  return all(DIGEST in split for split in found['splits'].values())


def difference(kept: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
  """In what two sets differ; None if in nothing that is known of both.

  Args:
    kept: what `describe` returned of one, there.
    found: likewise of the other, here.
  """
  if kept['num_images'] != found['num_images']:
    count = words.count(kept['num_images'], 'image')
    return f'{count} there, {found["num_images"]:,} here'
  if kept['splits'].keys() != found['splits'].keys():
    return (
      f'of {", ".join(kept["splits"])} there, {", ".join(found["splits"])} here'
    )
  for name, there in kept['splits'].items():
    here = found['splits'][name]
    if there.get(DIGEST) and here.get(DIGEST):
      if there[DIGEST] != here[DIGEST]:
        return (
          f'{words.count(here["num_images"], "image")} in split {name!r} there'
          ' and here, but other pictures, labels or another order'
        )
      continue
    for field, unit in _SIZES.items():
      if there.get(field) != here.get(field):
        return (
          f'{_show(there.get(field))} {unit} in split {name!r} there,'
          f' {_show(here.get(field))} here'
        )
  return None


def _show(value: Any) -> str:
  text = str(value)
  return text if len(text) <= _MAX_SHOWN else f'{text[:_MAX_SHOWN]}...'


def merged(kept: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
  """What is found, with the digests that are known of what it equals."""
  splits = {}
  for name, split in found['splits'].items():
    digest = split.get(DIGEST) or kept['splits'][name].get(DIGEST)
    splits[name] = {**split, **({DIGEST: digest} if digest else {})}
  return {**found, 'splits': splits}
