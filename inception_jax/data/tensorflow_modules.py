"""Imports of the modules that need TensorFlow, where they are first used.

TensorFlow is optional and takes seconds to import: fake data, the summary and
the export do without. JAX alone uses the accelerators.
"""

import types

from absl import logging

from inception_jax.runtime import optional


def import_module(name: str, purpose: str) -> types.ModuleType:
  """Imports a module that needs TensorFlow, and hides the GPUs from it.

  Args:
    name: the module below `inception_jax.data`, such as 'records'.
    purpose: what needs it, for the message.

  Raises:
    InputError: if TensorFlow, or another package of the extra `data`, cannot be
      imported.
  """
  module = optional.import_package(
    f'inception_jax.data.{name}', purpose, 'data'
  )
  _hide_accelerators()
  return module


def _hide_accelerators() -> None:
  """Keeps TensorFlow from taking the memory of the GPUs that JAX uses."""
  import tensorflow as tf

  try:
    tf.config.set_visible_devices([], 'GPU')
  except RuntimeError:  # A notebook has used TensorFlow already.
    logging.warning('TensorFlow has taken GPUs; restart to leave them to JAX')
