"""A training and an evaluation set under one name."""

from collections.abc import Iterator
import dataclasses
from typing import Any

import numpy as np

from inception_jax.data import synthetic

# Name of the set of noise, for measuring speed.
FAKE = 'fake'
# ImageNet's number of training images and classes.
_FAKE_TRAIN = synthetic.SyntheticRecords(1_281_167, 1000)
_FAKE_EVAL = synthetic.SyntheticRecords(1_000, 1000)


@dataclasses.dataclass(frozen=True)
class Dataset:
  """Two splits and how their images are cut.

  Attributes:
    train: training records.
    eval: evaluation records, each used exactly once an evaluation.
    image_size: height and width of the crops, pixels.
    crop_fraction: side of the evaluation crop over the shorter side.
    area_range: smallest and largest share of the area of a training crop.
    aspect_ratio_range: its smallest and largest ratio of width to height.
    num_threads: threads that decode; None is one a core.
  """

  train: Any
  eval: Any
  image_size: int
  crop_fraction: float
  area_range: tuple[float, float]
  aspect_ratio_range: tuple[float, float]
  num_threads: int | None

  @property
  def class_names(self) -> tuple[str, ...]:
    return tuple(self.train.class_names)

  def train_batches(
    self,
    *,
    seed: int,
    start_step: int,
    num_train_steps: int,
    batch_size: int,
    slots: np.ndarray,
  ) -> Iterator[dict[str, np.ndarray]]:
    """See `pipeline.train_batches`."""
    if isinstance(self.train, synthetic.SyntheticRecords):
      return synthetic.synthetic_batches(
        self.train,
        start_step=start_step,
        num_steps=num_train_steps,
        batch_size=batch_size,
        slots=slots,
        image_size=self.image_size,
        masked=False,
      )
    from inception_jax.data import pipeline  # TensorFlow, only if needed.

    return pipeline.train_batches(
      self.train,
      seed=seed,
      start_step=start_step,
      num_train_steps=num_train_steps,
      batch_size=batch_size,
      slots=slots,
      image_size=self.image_size,
      area_range=self.area_range,
      aspect_ratio_range=self.aspect_ratio_range,
      num_threads=self.num_threads,
    )

  def eval_batches(
    self, *, batch_size: int, slots: np.ndarray
  ) -> Iterator[dict[str, np.ndarray]]:
    """See `pipeline.eval_batches`."""
    if isinstance(self.eval, synthetic.SyntheticRecords):
      return synthetic.synthetic_batches(
        self.eval,
        start_step=0,
        num_steps=-(-len(self.eval) // batch_size),
        batch_size=batch_size,
        slots=slots,
        image_size=self.image_size,
        masked=True,
      )
    from inception_jax.data import pipeline  # TensorFlow, only if needed.

    return pipeline.eval_batches(
      self.eval,
      batch_size=batch_size,
      slots=slots,
      image_size=self.image_size,
      crop_fraction=self.crop_fraction,
      num_threads=self.num_threads,
    )


def count_classes(name: str) -> int:
  """Number of classes of a dataset, prepared or not.

  Args:
    name: see `open_dataset`.

  Raises:
    ValueError: if there is no such dataset.
  """
  if name == FAKE:
    return _FAKE_TRAIN.num_classes
  return len(_import_records(name).class_names(name))


def open_dataset(
  *,
  name: str,
  image_size: int,
  train_split: str = 'train',
  eval_split: str = 'validation',
  data_dir: str | None = None,
  num_threads: int | None = None,
  crop_fraction: float = 0.875,
  area_range: tuple[float, float] = (0.08, 1.0),
  aspect_ratio_range: tuple[float, float] = (3 / 4, 4 / 3),
) -> Dataset:
  """Opens the data of an experiment.

  Args:
    name: TFDS name; 'digits' is prepared on the spot; 'fake' is noise.
    image_size: height and width of the crops, pixels.
    train_split: TFDS split to train on.
    eval_split: TFDS split to evaluate on.
    data_dir: TFDS data directory, local or remote; None is TFDS's default.
    num_threads: threads that decode; None is one a core.
    crop_fraction: side of the evaluation crop over the shorter side, in
      (0, 1]; 0.875 is 224 of 256.
    area_range: share of the image's area in a training crop; the paper's is
      8 % to 100 % (section 6).
    aspect_ratio_range: width over height of a training crop; the paper's is
      3/4 to 4/3.

  Returns:
    The two splits.

  Raises:
    ValueError: if an argument is out of its range, or see
      `records.open_records`.
  """
  if image_size < 1:
    raise ValueError(f'image_size must be positive, not {image_size}')
  if not 0 < crop_fraction <= 1:
    raise ValueError(f'crop_fraction must be in (0, 1], not {crop_fraction}')
  low, high = area_range
  if not 0 < low <= high <= 1:
    raise ValueError(f'area_range must be in (0, 1], not {tuple(area_range)}')
  low, high = aspect_ratio_range
  if not 0 < low <= high:
    raise ValueError(
      'aspect_ratio_range must be positive and ascending, not'
      f' {tuple(aspect_ratio_range)}'
    )
  if num_threads is not None and num_threads < 1:
    raise ValueError(f'num_threads must be positive, not {num_threads}')
  if name == FAKE:
    train, evaluation = _FAKE_TRAIN, _FAKE_EVAL
  else:
    records = _import_records(name)
    train = records.open_records(name, train_split, data_dir)
    evaluation = records.open_records(name, eval_split, data_dir)
  return Dataset(
    train=train,
    eval=evaluation,
    image_size=image_size,
    crop_fraction=crop_fraction,
    area_range=tuple(area_range),
    aspect_ratio_range=tuple(aspect_ratio_range),
    num_threads=num_threads,
  )


def _import_records(name: str):
  """Module `records`, which needs TensorFlow; without it, a clear error."""
  try:
    from inception_jax.data import pipeline, records
  except ImportError as error:
    raise ValueError(
      f'reading {name!r} needs TensorFlow and TFDS ({error.name} is missing);'
      " run `pip install 'inception_jax[data]'`"
    ) from error
  pipeline.hide_accelerators()
  return records
