"""The modes of the command line, beside `train`."""

from collections.abc import Mapping
import json
from typing import Any

from etils import epath
import ml_collections

from inception_jax import models
from inception_jax.data import dataset as dataset_lib
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.experiment import fields
from inception_jax.paper import claims as paper_claims
from inception_jax.paper import summary
from inception_jax.runtime import errors, json_files, optional


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
  data = experiment_lib.sections(config)['data']
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


def summarize(
  config: ml_collections.ConfigDict | Mapping[str, Any], output: str | None
) -> dict[str, Any]:
  """Prints Table 1 for a config's network beside the paper's figures.

  Needs the dataset's name only, not its images.

  Args:
    config: see `create_experiment`.
    output: file to write the table to as well, by its ending .txt, .json or
      .csv; None for none.

  Returns:
    `params, params_with_heads, multiply_adds, rows` and `paper`.

  Raises:
    InputError: if a field or `output` cannot be used.
  """
  ending = epath.Path(output).suffix if output is not None else None
  if ending not in (None, '.txt', '.json', '.csv'):
    raise errors.InputError(
      f'--output={output} must end in .txt, .json or .csv'
    )
  if output is not None and not epath.Path(output).parent.is_dir():
    raise errors.InputError(f'the folder of --output={output} does not exist')
  config = experiment_lib.sections(config)
  model_arguments = {k: v for k, v in config['model'].items() if v is not None}
  data = config['data']
  for name in ('name', 'image_size'):
    if data.get(name) is None:
      raise errors.InputError(f'field config.data.{name} is missing')
  if 'num_classes' not in model_arguments:
    model_arguments['num_classes'] = dataset_lib.count_classes(data['name'])
  model = fields.call_with_section(
    models.create_model, 'model', model_arguments
  )
  image_size = data.get('image_size')
  try:
    table = summary.summarize(model, image_size)
    comparison = paper_claims.compare_with_paper(model, image_size)
  except ValueError as error:  # Images too small for the network.
    raise errors.InputError(
      f'config.data.image_size={image_size}: {error}'
    ) from error
  result = {**summary.to_json(table), 'paper': comparison}
  text = (
    summary.to_text(table) + '\n' + paper_claims.comparison_to_text(comparison)
  )
  if output is not None:
    contents = {
      '.txt': text + '\n',
      '.json': json.dumps(result, indent=2) + '\n',
      '.csv': summary.to_csv(table),
    }
    json_files.write_atomically(epath.Path(output), contents[ending])
  print(text)
  return result
