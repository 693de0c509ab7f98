"""What a run draws: curves, crops and confusions, as files and as events."""

import io
import math

from absl import logging
from etils import epath
import jax
import jax.numpy as jnp
import numpy as np

from inception_jax.data import labels
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.experiment import preview
from inception_jax.runs import recorder as recorder_lib
from inception_jax.runtime import errors

_NUM_CROPS = 32
_COLUMNS = 8


class Confusions:
  """Which class is taken for which, with the weights that a run is used with.

  Args:
    experiment: what is trained.
  """

  def __init__(self, experiment: experiment_lib.Experiment):
    num_classes = experiment.model.num_classes
    self.counts = np.zeros((num_classes, num_classes), np.int64)
    self._names = [
      label.name
      for label in labels.from_class_names(
        experiment.dataset.class_names, num_classes
      ).labels
    ]

  def add(self, classes: np.ndarray, predictions: np.ndarray) -> None:
    """Counts pictures, both int `[n]`."""
    np.add.at(self.counts, (classes, predictions), 1)

  def record(self, recorder: recorder_lib.Recorder, step: int) -> None:
    """Draws what is counted as an event; nothing if nothing is."""
    if not self.counts.any():
      return
    from inception_jax.visualisation import confusions, plots

    figure = confusions.figure_of(self.counts, self._names)
    recorder.picture('confusion', plots.to_png(figure), step)


def record_crops(
  experiment: experiment_lib.Experiment, recorder: recorder_lib.Recorder
) -> None:
  """Records the first training batch as the network sees it, as an event."""
  from PIL import Image

  images, _ = preview.training_crops(experiment, step=0, count=_NUM_CROPS)
  buffer = io.BytesIO()
  Image.fromarray(tiled(images, _COLUMNS)).save(buffer, 'PNG')
  recorder.picture('training_crops', buffer.getvalue(), 1)


def tiled(images: np.ndarray, columns: int) -> np.ndarray:
  """Images beside and below each other.

  Args:
    images: uint8 `[n, height, width, 3]`.
    columns: images in a row, at most.

  Returns:
    uint8 `[rows * height, columns * width, 3]`; what is left over is black.
  """
  num, height, width, channels = images.shape
  columns = min(columns, num)
  rows = -(-num // columns)
  grid = np.zeros((rows * columns, height, width, channels), images.dtype)
  grid[:num] = images
  grid = grid.reshape(rows, columns, height, width, channels)
  return grid.swapaxes(1, 2).reshape(rows * height, columns * width, channels)


def draw_curves(
  experiment: experiment_lib.Experiment,
  folder: epath.Path,
  recorder: recorder_lib.Recorder,
) -> None:
  """Saves the learning curves so far; training goes on without them.

  Args:
    experiment: what is trained.
    folder: for the pictures; made if need be.
    recorder: holds the metrics.
  """
  try:
    _save_curves(experiment, folder, recorder)
  except OSError as error:
    logging.warning(
      'the learning curves cannot be drawn yet (%s)', errors.first_line(error)
    )


def _save_curves(
  experiment: experiment_lib.Experiment,
  folder: epath.Path,
  recorder: recorder_lib.Recorder,
) -> None:
  # Slow to import, and only the main process draws.
  from inception_jax.visualisation import plots

  folder.mkdir(parents=True, exist_ok=True)
  plots.save_figure(
    plots.learning_curves(
      recorder.metrics, math.log(experiment.model.num_classes)
    ),
    folder / 'learning_curves.png',
  )


def save(
  experiment: experiment_lib.Experiment,
  folder: epath.Path,
  recorder: recorder_lib.Recorder,
) -> None:
  """Saves the plots of a run at its end, which is whole without them.

  Args:
    experiment: what is trained.
    folder: for the pictures; made if need be.
    recorder: holds the metrics.

  Raises:
    PartialError: if they cannot be written.
  """
  try:
    _save(experiment, folder, recorder)
  except OSError as error:
    raise errors.cannot_write(
      folder,
      error,
      f'the run is trained and saved; {errors.remedy_of_writing(error)} and run'
      ' the same command again for its plots',
      errors.PartialError,
    ) from error
  logging.info('plots: %s', folder)


def _save(
  experiment: experiment_lib.Experiment,
  folder: epath.Path,
  recorder: recorder_lib.Recorder,
) -> None:
  """Learning curves, learning rate, and what the network really sees."""
  from inception_jax.visualisation import drawn_names, plots

  _save_curves(experiment, folder, recorder)
  # A long schedule is drawn from 2,000 of its steps.
  steps = np.linspace(
    0, experiment.num_train_steps - 1, min(experiment.num_train_steps, 2000)
  ).astype(np.int32)
  rates = np.asarray(jax.vmap(experiment.learning_rate_fn)(jnp.asarray(steps)))
  plots.save_figure(
    plots.learning_rate(steps / experiment.steps_per_epoch, rates),
    folder / 'learning_rate.png',
  )
  images, classes = preview.training_crops(experiment, step=0, count=_NUM_CROPS)
  short = drawn_names.distinct(experiment.dataset.class_names, 18)
  names = [short[label] for label in classes]
  plots.save_figure(
    plots.image_grid(images, names), folder / 'training_crops.png'
  )
