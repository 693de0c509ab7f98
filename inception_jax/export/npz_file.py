"""The format npz, for programs that have only NumPy."""

from collections.abc import Mapping
import io
import json

from etils import epath
import numpy as np

from inception_jax.export import checking, formats
from inception_jax.runtime import json_files
from inception_jax.weights import exported

METADATA = 'metadata'


def serialize(request: formats.Request) -> dict[str, bytes]:
  """The file of the arrays, by their flat names, and of `metadata`.

  `json.loads(numpy.load(path)['metadata'].item())` is the description.
  """
  file = io.BytesIO()
  # Bytes and not text, of which NumPy would store four bytes a character.
  text = json_files.dumps(dict(request.description), sort_keys=True).encode()
  np.savez(
    file, **dict(sorted(request.arrays.items())), **{METADATA: np.array(text)}
  )
  return {'.npz': file.getvalue()}


def outputs_of(
  request: formats.Request, files: Mapping[str, epath.Path], pixels: np.ndarray
) -> np.ndarray:
  """Logits of the network that the file holds; see `formats`."""
  path = files['.npz']
  with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
    arrays = dict(file)
  description = json.loads(arrays.pop(METADATA).item())
  network = exported.network_of(arrays, description, str(path))
  return checking.outputs_of_network(network, request, pixels)
