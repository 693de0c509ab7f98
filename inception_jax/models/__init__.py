"""Linen modules of the Inception-v1 family."""

from inception_jax.models.inception_v1 import (
  ARCHITECTURES,
  GoogLeNet,
  create_model,
)

__all__ = ['ARCHITECTURES', 'GoogLeNet', 'create_model']
