"""The prepare command: images or tars to records, once."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from inception_jax.experiment import config as config_lib
from inception_jax.runtime import errors, optional


def prepare(
  config: ml_collections.ConfigDict | Mapping[str, Any], source: str | None
) -> dict[str, Any]:
  """Prepares the dataset of a config, once, and says what it holds.

  Args:
    config: see `create_experiment`; `data.name` and `data.data_dir` are used.
    source: folder of pictures or of tars; see `data.prepare.prepare`.

  Returns:
    `name, data_dir, splits, left_out`.

  Raises:
    InputError: if the dataset cannot be prepared.
  """
  data = config_lib.sections(config)['data']
  if data.get('name') is None:
    raise errors.InputError('field config.data.name is missing')
  # TensorFlow and TFDS, only if needed.
  prepare_lib = optional.import_package(
    'inception_jax.data.preparation.prepare', 'preparing', 'data'
  )
  pipeline = optional.import_package(
    'inception_jax.data.pipeline', 'preparing', 'data'
  )
  pipeline.hide_accelerators()
  return prepare_lib.prepare(data['name'], data.get('data_dir'), source)
