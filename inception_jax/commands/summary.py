"""The summary command: Table 1 of a config's network, beside the paper's."""

from collections.abc import Mapping
from typing import Any

from etils import epath
import ml_collections

from inception_jax import models
from inception_jax.data import dataset as dataset_lib
from inception_jax.experiment import config as config_lib
from inception_jax.experiment import field_table, fields
from inception_jax.paper import claims as paper_claims
from inception_jax.paper import summary
from inception_jax.runtime import errors, json_files, log, own_files, paths

_ENDINGS = ('.txt', '.json', '.csv')


def summarize(
  config: ml_collections.ConfigDict | Mapping[str, Any],
  output: epath.PathLike | None = None,
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
  if output is not None:
    output = epath.Path(paths.expand(output, '--output'))
  _check_output(output)
  model, image_size = _create_model(config_lib.sections(config))
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
      '.json': json_files.dumps(result, indent=2) + '\n',
      '.csv': summary.to_csv(table),
    }
    try:
      own_files.write(output, '--output', contents[output.suffix])
    except OSError as error:
      raise errors.cannot_write(
        f'--output={output}', error, 'give another file'
      ) from error
  log.print_result(text)
  return result


def _check_output(output: epath.Path | None) -> None:
  if output is None:
    return
  if output.suffix not in _ENDINGS:
    raise errors.InputError(
      f'--output={output} must end in .txt, .json or .csv'
    )
  if not output.parent.is_dir():
    raise errors.InputError(f'the folder of --output={output} does not exist')
  own_files.check(output, '--output')


def _create_model(config: Mapping[str, Any]) -> tuple[models.GoogLeNet, int]:
  """The network of a config, and the size of its images in pixels."""
  arguments, data = dict(config['model']), config['data']
  for name in ('name', 'image_size'):
    field_table.find('data', name).check(data.get(name))
  if 'num_classes' not in arguments:
    arguments['num_classes'] = dataset_lib.count_classes(data['name'])
  model = fields.call_with_section(models.create_model, 'model', arguments)
  return model, data['image_size']
