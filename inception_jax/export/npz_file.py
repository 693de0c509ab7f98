"""Writes npz files, for programs that have only NumPy, and reads them back."""

from collections.abc import Mapping
import io
import json

import numpy as np

METADATA = 'metadata'


def serialize(
  arrays: Mapping[str, np.ndarray], description: Mapping[str, str]
) -> bytes:
  """The file of these arrays, by their flat names, and of `metadata`.

  `json.loads(numpy.load(path)['metadata'].item())` is the description.
  """
  file = io.BytesIO()
  # Bytes and not text, of which NumPy would store four bytes a character.
  text = json.dumps(dict(description), sort_keys=True).encode()
  np.savez(file, **dict(sorted(arrays.items())), **{METADATA: np.array(text)})
  return file.getvalue()


def deserialize(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Arrays and description of a file that `serialize` made."""
  with np.load(io.BytesIO(data), allow_pickle=False) as file:
    arrays = dict(file)
  return arrays, json.loads(arrays.pop(METADATA).item())
