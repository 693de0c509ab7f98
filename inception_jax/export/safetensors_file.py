"""Writes safetensors files; `weights.safetensors_file` reads them back."""

from collections.abc import Mapping

import numpy as np
from safetensors import numpy as safetensors_numpy


def serialize(
  arrays: Mapping[str, np.ndarray], description: Mapping[str, str]
) -> bytes:
  """The file of these arrays.

  The library keeps no order of the metadata, so the same run does not give the
  same bytes; `description['digest']` is the same.

  Args:
    arrays: by flat names.
    description: the file's metadata.
  """
  return safetensors_numpy.save(dict(arrays), dict(description))
