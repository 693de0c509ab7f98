"""Digests of what a checkpoint holds, made when saving and compared after."""

from collections.abc import Mapping
import hashlib
import json
from typing import Any

import numpy as np

from inception_jax.runs import named_arrays
from inception_jax.runtime import json_files

# Among the digests of arrays, none of which has such a name.
_METADATA = '.metadata'


def digests(
  arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]
) -> dict[str, str]:
  """The SHA-256 of each array by its name, and of the metadata."""
  found = {name: named_arrays.digest(value) for name, value in arrays.items()}
  return {**found, _METADATA: _digest_json(metadata)}


def damage(
  step: int,
  arrays: Mapping[str, np.ndarray],
  digests: Mapping[str, str],
  metadata: Mapping[str, Any],
) -> str | None:
  """What is wrong with the contents of a checkpoint.

  Args:
    step: by the name of its folder.
    arrays: by name.
    digests: that were saved with them.
    metadata: likewise.

  Returns:
    What is wrong, in words; None if nothing is.
  """
  digests = dict(digests)
  # Those of earlier versions have none.
  if digests.pop(_METADATA, None) not in (None, _digest_json(metadata)):
    return 'its metadata are not what was saved'
  if arrays.keys() != digests.keys():
    return 'arrays or digests are missing'
  for name, value in arrays.items():
    if named_arrays.digest(value) != digests[name]:
      return f'{name!r} is not what was saved'
  for found in (arrays.get('step', step), metadata.get('step', step)):
    if int(found) != step:
      return f'it holds step {int(found)}'
  return None


def _digest_json(value: Any) -> str:
  # As it is when read again: lists for tuples, and keys that are strings.
  text = json_files.dumps(json.loads(json_files.dumps(value)), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()
