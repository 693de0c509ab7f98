"""Linen modules of the Inception-v1 family."""

from inception_jax.models.architectures import (
  ARCHITECTURES,
  MODULE_LAYERS,
  list_models,
)
from inception_jax.models.inception_v1 import GoogLeNet, create_model

__all__ = [
  'ARCHITECTURES',
  'MODULE_LAYERS',
  'GoogLeNet',
  'create_model',
  'list_models',
]
