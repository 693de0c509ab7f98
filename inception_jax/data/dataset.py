"""A training and an evaluation set under one name."""

from collections.abc import Iterator
import dataclasses
import types
from typing import Annotated, Any

import numpy as np

from inception_jax.data import (
  bad_images,
  crop_rules,
  synthetic,
  tensorflow_modules,
)
from inception_jax.runtime import ranges

# Name of the set of noise, for measuring speed.
FAKE = 'fake'
# Where a config does not say.
EVAL_SPLIT = 'validation'
_Text = Annotated[str, ranges.Text()]
# Fields in which the hosts of a run may differ.
OF_HOSTS = ('data_dir', 'num_threads')
# ImageNet's number of training images and classes.
_FAKE_TRAIN = synthetic.SyntheticRecords(1_281_167, 1000)
_FAKE_EVAL = synthetic.SyntheticRecords(1_000, 1000)


@dataclasses.dataclass(frozen=True)
class Dataset:
  """Two splits and how their images are cut.

  Attributes:
    train: training records.
    eval: evaluation records, each used exactly once an evaluation.
    train_crop: how training images are cut.
    eval_crop: how evaluation images are cut.
    num_threads: threads that decode, at most one a core; None is one a core.
    on_bad_image: 'fail' or 'skip'; see `bad_images`.
  """

  train: Any
  eval: Any
  train_crop: crop_rules.DistortedCrop | crop_rules.EvaluationCrop
  eval_crop: crop_rules.EvaluationCrop
  num_threads: int | None
  on_bad_image: str

  @property
  def image_size(self) -> int:
    """Height and width of the crops, pixels."""
    return self.eval_crop.size

  @property
  def class_names(self) -> tuple[str, ...]:
    return tuple(self.train.class_names)

  @property
  def identity(self) -> dict[str, Any]:
    """Of `train` and `eval` the name and what `identity.describe` says."""
    return {
      'train': {'name': self.train.name, **self.train.identity},
      'eval': {'name': self.eval.name, **self.eval.identity},
    }

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
      )
    from inception_jax.data import pipeline  # TensorFlow, only if needed.

    return pipeline.train_batches(
      self.train,
      seed=seed,
      start_step=start_step,
      num_train_steps=num_train_steps,
      batch_size=batch_size,
      slots=slots,
      crop=self.train_crop,
      num_threads=self.num_threads,
      on_bad_image=self.on_bad_image,
    )

  def eval_batches(
    self,
    *,
    batch_size: int,
    slots: np.ndarray,
    start: int = 0,
    stop: int | None = None,
  ) -> Iterator[dict[str, np.ndarray]]:
    """See `pipeline.eval_batches`."""
    if isinstance(self.eval, synthetic.SyntheticRecords):
      num_images = (stop or len(self.eval)) - start
      return synthetic.synthetic_batches(
        self.eval,
        start_step=0,
        num_steps=-(-num_images // batch_size),
        batch_size=batch_size,
        slots=slots,
        image_size=self.image_size,
        num_images=num_images,
      )
    from inception_jax.data import pipeline  # TensorFlow, only if needed.

    return pipeline.eval_batches(
      self.eval,
      batch_size=batch_size,
      slots=slots,
      crop=self.eval_crop,
      num_threads=self.num_threads,
      on_bad_image=self.on_bad_image,
      start=start,
      stop=stop,
    )


def eval_images(
  dataset: Dataset, indices: np.ndarray, crop: crop_rules.EvaluationCrop
) -> np.ndarray | None:
  """See `pipeline.eval_images`; None of noise."""
  if isinstance(dataset.eval, synthetic.SyntheticRecords):
    return None
  from inception_jax.data import pipeline  # TensorFlow, only if needed.

  return pipeline.eval_images(dataset.eval, indices, crop)


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
  name: _Text,
  image_size: crop_rules.Side,
  train_split: _Text = 'train',
  eval_split: _Text = EVAL_SPLIT,
  data_dir: _Text | None = None,
  train_crop: crop_rules.TrainCropName = 'distorted',
  area_range: tuple[crop_rules.Area, crop_rules.Area] = crop_rules.AREA_RANGE,
  aspect_ratio_range: tuple[crop_rules.AspectRatio, crop_rules.AspectRatio] = (
    crop_rules.ASPECT_RATIO_RANGE
  ),
  aspect_ratio_law: crop_rules.AspectRatioLaw = 'log_uniform',
  interpolations: tuple[
    crop_rules.Interpolation, ...
  ] = crop_rules.INTERPOLATIONS,
  eval_crop: crop_rules.EvaluationCropName | None = None,
  num_threads: Annotated[int, ranges.Range(1, 1024)] | None = None,
  on_bad_image: Annotated[str, ranges.OneOf(bad_images.CHOICES)] = 'fail',
) -> Dataset:
  """Opens the data of an experiment.

  Args:
    name: TFDS name; 'imagenet2012' is the paper's (section 7); 'digits' is
      prepared on the spot; 'fake' is noise.
    image_size: height and width of the crops, pixels; the paper's is 224
      (section 5).
    train_split: TFDS split to train on.
    eval_split: TFDS split to evaluate on; the paper's single model is
      evaluated on 'validation' (section 7).
    data_dir: TFDS data directory, local or remote; None is TFDS's default.
    train_crop: 'distorted', the paper's (section 6), or a crop of evaluation,
      see `eval_crop`, to train without it.
    area_range: smallest and largest share of the image's area in a distorted
      crop; the paper's are 8 % and 100 % (section 6).
    aspect_ratio_range: smallest and largest width over height of a distorted
      crop; the paper's are 3/4 and 4/3 (section 6).
    aspect_ratio_law: how that ratio is drawn; the paper says "randomly"
      (section 6).
    interpolations: one of these is drawn for each distorted crop; the paper's
      are all four (section 6).
    eval_crop: which part of an image is evaluated: 'shorter_side' is the centre
      of one whose shorter side is 8/7 of the crop's, 'center_square' the
      central square, 'central_fraction' 7/8 of each side, 'warp' the centre of
      one warped to a square. None is 'shorter_side', or in a config that of the
      network's profile.
    num_threads: threads that decode, at most one a core; None is one a core.
    on_bad_image: what an image that cannot be decoded does: 'fail' ends the
      command, 'skip' leaves the image out.

  Returns:
    The two splits.

  Raises:
    ValueError: if an argument is out of its range, or see
      `records.open_records`.
  """
  ranges.check(open_dataset, locals())
  distorted = crop_rules.DistortedCrop(
    image_size,
    tuple(area_range),
    tuple(aspect_ratio_range),
    aspect_ratio_law,
    tuple(interpolations),
  )
  train, evaluation = _open_splits(name, train_split, eval_split, data_dir)
  return Dataset(
    train=train,
    eval=evaluation,
    train_crop=distorted
    if train_crop == 'distorted'
    else crop_rules.EvaluationCrop(image_size, train_crop),
    eval_crop=crop_rules.EvaluationCrop(
      image_size, eval_crop or 'shorter_side'
    ),
    num_threads=num_threads,
    on_bad_image=on_bad_image,
  )


def _open_splits(
  name: str, train_split: str, eval_split: str, data_dir: str | None
) -> tuple[Any, Any]:
  """Records to train and to evaluate on; see `open_dataset`."""
  if name == FAKE:
    return _FAKE_TRAIN, _FAKE_EVAL
  records = _import_records(name)
  return (
    records.open_records(name, train_split, data_dir),
    records.open_records(name, eval_split, data_dir),
  )


def _import_records(name: str) -> types.ModuleType:
  return tensorflow_modules.import_module('records', f'reading {name!r}')
