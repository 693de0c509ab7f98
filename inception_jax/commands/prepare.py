"""The prepare command: images or tars to records, once."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from inception_jax.data import tensorflow_modules
from inception_jax.experiment import config as config_lib
from inception_jax.experiment import field_table


def prepare(
  config: ml_collections.ConfigDict | Mapping[str, Any], source: str | None
) -> dict[str, Any]:
  """Prepares the dataset of a config, once, and says what it holds.

  Args:
    config: see `create_experiment`; `data.name` and `data.data_dir` are used.
    source: folder of images or of tars; see `preparation.prepare.prepare`.

  Returns:
    `name, data_dir, splits, left_out`.

  Raises:
    InputError: if the dataset cannot be prepared.
  """
  data = config_lib.sections(config)['data']
  field_table.find('data', 'name').check(data.get('name'))
  prepare_lib = tensorflow_modules.import_module(
    'preparation.prepare', 'preparing'
  )
  return prepare_lib.prepare(data['name'], data.get('data_dir'), source)
