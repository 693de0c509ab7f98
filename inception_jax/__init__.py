"""GoogLeNet (Inception-v1) in JAX and Flax.

The names below are imported when they are used, so that what needs no JAX, such
as the parsing of a command line, does not wait for it.
"""

import importlib
import importlib.metadata
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from inception_jax.models import create_model, list_models
  from inception_jax.runs.run import load_run
  from inception_jax.weights.pretrained import list_pretrained, load_pretrained

# Buckets are read and written through gcsfs, even where TensorFlow is there.
os.environ.setdefault('EPATH_USE_TF', '0')

__all__ = [
  '__version__',
  'create_model',
  'list_models',
  'list_pretrained',
  'load_pretrained',
  'load_run',
]

_MODULES = {
  'create_model': 'models',
  'list_models': 'models',
  'list_pretrained': 'weights.pretrained',
  'load_pretrained': 'weights.pretrained',
  'load_run': 'runs.run',
}


def __getattr__(name: str):
  if name == '__version__':
    return importlib.metadata.version('inception_jax')
  if name not in _MODULES:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  module = importlib.import_module(f'{__name__}.{_MODULES[name]}')
  return getattr(module, name)


def __dir__() -> list[str]:
  return __all__
