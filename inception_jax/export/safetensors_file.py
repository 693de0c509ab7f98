"""The format safetensors; `weights.safetensors_file` reads it back."""

from collections.abc import Mapping

from etils import epath
import numpy as np
from safetensors import numpy as safetensors_numpy

from inception_jax.export import checking, formats
from inception_jax.weights import safetensors_file as reader


def serialize(request: formats.Request) -> dict[str, bytes]:
  """The file of the arrays, by their flat names.

  The library keeps no order of the metadata, so the same run does not give the
  same bytes; `digest` in the description is the same.
  """
  data = safetensors_numpy.save(dict(request.arrays), dict(request.description))
  return {'.safetensors': data}


def outputs_of(
  request: formats.Request, files: Mapping[str, epath.Path], pixels: np.ndarray
) -> np.ndarray:
  """Logits of the network that the file holds; see `formats`."""
  network = reader.read(files['.safetensors'])
  return checking.outputs_of_network(network, request, pixels)
