"""The inspect command: what training would see, and how fast the input is."""

from collections.abc import Mapping
import csv
import io
import time
from typing import Any

from absl import logging
from etils import epath
import jax
import ml_collections
import numpy as np

from inception_jax.data import ahead, device
from inception_jax.data import dataset as dataset_lib
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.experiment import preview
from inception_jax.runtime import durable, errors, log, own_files, paths, words
from inception_jax.visualisation import drawn_names, plots

_FILES = (
  'training_crops.png',
  'evaluation_crops.png',
  'augmentations.png',
  'classes.csv',
)
_NUM_CROPS = 32
_NUM_COLUMNS = 8
# Of the title of an image, in characters.
_TITLE_WIDTH = 18
# How long the input alone is measured, and what is not measured before.
_MEASURED_SECONDS = 5.0
_WARMUP_BATCHES = 3


def inspect(
  config: ml_collections.ConfigDict | Mapping[str, Any],
  output: epath.PathLike | None = None,
) -> dict[str, Any]:
  """Looks at a config's data through its own crops and augmentation.

  Writes `training_crops.png`, `evaluation_crops.png`, `augmentations.png` (each
  piece alone, then all together) and `classes.csv` (images of each class).

  Args:
    config: see `create_experiment`.
    output: folder for these; None is `inspection/NAME_OF_THE_DATA`.

  Returns:
    `output`, `splits` (see `census.take`, without the counts of classes),
    `images_per_second` of the input alone, on this host, and `num_threads`.

  Raises:
    InputError: if something given cannot be used.
  """
  experiment = experiment_lib.create_experiment(config)
  name = experiment.config['data']['name']
  folder = f'inspection/{name}' if output is None else output
  folder = epath.Path(paths.expand(folder, '--output'))
  try:
    durable.check_writable(folder)
    files = own_files.OwnFiles(folder, '--output')
    files.check(_FILES)
    # First what a bad image cannot stop.
    splits = _take_census(experiment, files)
    _save_crops(experiment, files)
  except OSError as error:
    raise errors.cannot_write(
      f'--output={folder}', error, 'give another folder'
    ) from error
  speed = measure_input(experiment)
  threads = ahead.usable_threads(experiment.dataset.num_threads)
  logging.info(
    'input alone: %.0f images/s in %s; pictures are in %s',
    speed,
    words.count(threads, 'thread'),
    folder,
  )
  return {
    'output': str(folder),
    'splits': splits,
    'images_per_second': speed,
    'num_threads': threads,
  }


def measure_input(experiment: experiment_lib.Experiment) -> float:
  """Training images a second from records to device batches, on this host."""
  batches = device.prefetch(experiment.train_batches(0))
  num_images, start = 0, None
  for number, batch in enumerate(batches):
    jax.block_until_ready(batch)
    if start is None:
      if number + 1 >= _WARMUP_BATCHES:
        start = time.perf_counter()
      continue
    num_images += batch['label'].size
    if time.perf_counter() - start > _MEASURED_SECONDS:
      break
  if not num_images:
    raise errors.InputError(
      f'{words.count(experiment.num_train_steps, "step")} of training are too'
      ' few to measure the input; set'
      f' config.train.num_train_steps to {2 * _WARMUP_BATCHES} or more'
    )
  return num_images / (time.perf_counter() - start)


def _save_crops(
  experiment: experiment_lib.Experiment, files: own_files.OwnFiles
) -> None:
  save = lambda name, figure: files.write({name: plots.to_png(figure)})
  names = drawn_names.distinct(experiment.dataset.class_names, _TITLE_WIDTH)
  images, labels = preview.training_crops(experiment, step=0, count=_NUM_CROPS)
  save(
    'training_crops.png',
    plots.image_grid(images, [names[label] for label in labels]),
  )
  batch_size = experiment.options.eval_batch_size
  slots = np.arange(min(_NUM_CROPS, batch_size, len(experiment.dataset.eval)))
  batch = next(
    experiment.dataset.eval_batches(batch_size=batch_size, slots=slots)
  )
  save(
    'evaluation_crops.png',
    plots.image_grid(
      batch['image'], [names[label] for label in batch['label']]
    ),
  )
  images, titles = [], []
  for title, variant in preview.pieces(experiment).items():
    row, _ = preview.training_crops(variant, step=0, count=_NUM_COLUMNS)
    images += list(row)
    titles += [title] + [''] * (len(row) - 1)
  save(
    'augmentations.png',
    plots.image_grid(images, titles, columns=min(_NUM_COLUMNS, len(row))),
  )


def _take_census(
  experiment: experiment_lib.Experiment, files: own_files.OwnFiles
) -> dict[str, Any]:
  """Prints and writes what the prepared dataset holds."""
  data = experiment.config['data']
  if data['name'] == dataset_lib.FAKE:
    return {}
  from inception_jax.data.preparation import (
    census,  # TensorFlow, only if needed.
  )

  splits = census.load_or_take(data['name'], data.get('data_dir'))
  log.print_result(census.to_text(splits))
  table = io.StringIO()
  writer = csv.writer(table, lineterminator='\n')
  writer.writerow(['class', *splits])
  counts = [of_split['class_counts'] for of_split in splits.values()]
  for name in experiment.dataset.class_names:
    writer.writerow([name, *(of_split.get(name, 0) for of_split in counts)])
  contents = table.getvalue().encode(errors='backslashreplace')
  files.write({'classes.csv': contents})
  return {
    split: {k: v for k, v in of_split.items() if k != 'class_counts'}
    for split, of_split in splits.items()
  }
