"""The modes of the command line, beside `train`."""

from collections.abc import Mapping
import dataclasses
import json
from typing import Any

from etils import epath
import ml_collections
import numpy as np

from inception_jax import (
  errors,
  fields,
  json_files,
  models,
  optional,
  paper_claims,
  run,
  summary,
)
from inception_jax import experiment as experiment_lib
from inception_jax.data import crop_spec, device
from inception_jax.data import dataset as dataset_lib
from inception_jax.evaluation import multi_crop
from inception_jax.training import step as step_lib

# Of each image, where a protocol has many.
_CROPS_AT_A_TIME = 16


def evaluate(
  workdir: epath.PathLike,
  protocol: str,
  weights: str | None,
  config: ml_collections.ConfigDict | Mapping[str, Any] | None = None,
  aggregation: str | None = None,
) -> dict[str, Any]:
  """Evaluates a run.

  Args:
    workdir: run directory, trained or imported.
    protocol: 'single', one centre crop an image, or one of
      `crop_spec.PROTOCOLS`.
    weights: see `run.load_run`.
    config: whose `data` and `train.eval_batch_size` say what to evaluate on;
      None is the run's own. The size of the crop is always the run's, and so is
      its kind unless the config names one.
    aggregation: what is made of several crops, one of
      `multi_crop.AGGREGATIONS`; None is the mean of the probabilities.

  Returns:
    `workdir, protocol, num_crops, aggregation, weights, step, num_images, top1,
    top5, loss, top5_error`.

  Raises:
    InputError: if the run, the protocol or the data cannot be used.
  """
  _check_protocol(protocol, aggregation)
  stored = run.read_config(workdir)
  if config is not None:
    stored = experiment_lib.sections(config)
  loaded = run.load_run(workdir, weights)
  dataset, outputs = _open_dataset(stored['data'], loaded, protocol, workdir)
  batch_size, num_crops = stored['train']['eval_batch_size'], 1
  if isinstance(dataset.eval_crop, crop_spec.MultiCrop):
    # Some crops each of some images at a time, in all what one crop has.
    batch_size = -(-batch_size // _CROPS_AT_A_TIME)
    num_crops = len(dataset.eval_crop)
  logits_fn = multi_crop.create_logits_fn(
    loaded.model,
    loaded.preprocessing,
    dataset.eval_crop,
    aggregation or 'mean_probability',
    _CROPS_AT_A_TIME,
  )
  scores = experiment_lib.evaluate(
    dataset,
    step_lib.parallelize_eval_step(step_lib.create_eval_step(logits_fn)),
    {loaded.weights: device.replicate(loaded.variables)},
    batch_size,
    outputs,
    show_progress=True,
  )[loaded.weights]
  return {
    'workdir': str(workdir),
    'protocol': protocol,
    'num_crops': num_crops,
    'aggregation': aggregation or 'mean_probability',
    'weights': loaded.weights,
    'step': loaded.step,
    **scores,
    'top5_error': 1 - scores['top5'],
  }


def _open_dataset(
  data: Mapping[str, Any],
  loaded: run.Run,
  protocol: str,
  workdir: epath.PathLike,
) -> tuple[dataset_lib.Dataset, np.ndarray]:
  """What to evaluate on, cut for the run; and the output of each class."""
  data = {**data, 'image_size': loaded.eval_crop.size}
  if data.get('eval_crop') is None:
    data['eval_crop'] = loaded.eval_crop.name
  if data.get('name') is None:
    raise errors.InputError(
      f'{workdir} does not say what to evaluate on; give --config'
    )
  dataset = fields.call_with_section(dataset_lib.open_dataset, 'data', data)
  try:
    outputs = loaded.labels.outputs_of(dataset.class_names)
  except ValueError as error:
    raise errors.InputError(
      f'{workdir} cannot be evaluated on {data["name"]!r}: {error}'
    ) from error
  if protocol != 'single':
    if data['name'] == dataset_lib.FAKE:
      raise errors.InputError(
        f'--protocol={protocol} needs pictures; noise has one crop only'
      )
    crop = crop_spec.protocol(protocol, loaded.eval_crop.size)
    dataset = dataclasses.replace(dataset, eval_crop=crop)
  return dataset, outputs


def _check_protocol(protocol: str, aggregation: str | None) -> None:
  known = ('single', *crop_spec.PROTOCOLS)
  if protocol not in known:
    raise errors.InputError(
      f'--protocol must be one of {", ".join(known)}, not'
      f' {protocol!r}{errors.suggestion(protocol, known)}'
    )
  known = multi_crop.AGGREGATIONS
  if aggregation is not None and aggregation not in known:
    raise errors.InputError(
      f'--aggregation must be one of {", ".join(known)}, not'
      f' {aggregation!r}{errors.suggestion(aggregation, known)}'
    )


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
    'inception_jax.data.prepare', 'preparing', 'data'
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
