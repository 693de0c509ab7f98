"""What a command has written into a folder."""

import os
import pathlib

from inception_jax.runtime import own_files


def names(folder):
  """Sorted names, hidden ones too, without the list of own files."""
  return sorted(x for x in os.listdir(folder) if x != own_files.LIST)


def contents(folder):
  """Bytes of each file by name, without the list of own files."""
  return {x: (pathlib.Path(folder) / x).read_bytes() for x in names(folder)}
