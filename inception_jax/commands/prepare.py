"""The prepare command: images or tars to records, once."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from inception_jax.data import tensorflow_modules
from inception_jax.experiment import config as config_lib
from inception_jax.experiment import field_table
from inception_jax.runtime import durable, errors, log


def prepare(
  config: ml_collections.ConfigDict | Mapping[str, Any],
  source: str | None,
  copy_to: str | None = None,
) -> dict[str, Any]:
  """Prepares the dataset of a config, once, and says what it holds.

  Args:
    config: see `create_experiment`; `data.name` and `data.data_dir` are used.
    source: folder of images or of tars; see `preparation.prepare.prepare`.
    copy_to: TFDS data directory in a bucket that gets a copy; None is none.

  Returns:
    `name, data_dir, splits, left_out`, and `copy`, the folder of the copy.

  Raises:
    InputError: if the dataset cannot be prepared or the bucket not be used.
    TrainingError: if a file cannot be copied.
  """
  data = config_lib.sections(config)['data']
  field_table.find('data', 'name').check(data.get('name'))
  prepare_lib = tensorflow_modules.import_module(
    'preparation.prepare', 'preparing'
  )
  data_dir = data.get('data_dir')
  if data_dir and not durable.is_local(data_dir):
    raise errors.InputError(
      f'config.data.data_dir={data_dir}: records are written to local folders;'
      f' give one, and --copy_to={data_dir}'
    )
  copying = None
  if copy_to is not None:
    copying = tensorflow_modules.import_module('preparation.copying', 'copying')
    copying.check(copy_to)  # Before hours of preparing.
  result = prepare_lib.prepare(data['name'], data_dir, source)
  if copying is not None:
    result['copy'] = copying.copy(result['data_dir'], data['name'], copy_to)
    log.say(f'copied to {result["copy"]}')
  return result
