"""GoogLeNet (Inception-v1) in JAX and Flax."""

from inception_jax.models import create_model
from inception_jax.runs.run import load_run

__all__ = ['create_model', 'load_run']
