"""What the layers below the classifier make of images, computed once.

features/DIGEST/     in the folder of a run: those of one network for one set
"""

from collections.abc import Sequence
import dataclasses
from typing import Any, NamedTuple

from absl import logging
from etils import epath
import jax
import numpy as np

from inception_jax.data import dataset as dataset_lib
from inception_jax.data import device
from inception_jax.evaluation import answering, crop_views
from inception_jax.evaluation import answers as answers_lib
from inception_jax.runs import run
from inception_jax.runtime import cluster, errors
from inception_jax.training import step as step_lib

FOLDER = 'features'
_END_POINT = 'avg_pool'


class Features(NamedTuple):
  """Features of n images.

  Attributes:
    values: float32 `[n, views, size]`.
    labels: int32 `[n]`, classes of the dataset.
    counted: bool `[n]`, False for images that cannot be decoded.
  """

  values: np.ndarray
  labels: np.ndarray
  counted: np.ndarray


def of_images(
  network: run.Run,
  dataset: dataset_lib.Dataset,
  *,
  views: int,
  dtype: Any,
  batch_size: int,
  folders: Sequence[epath.Path],
) -> Features:
  """Features of the evaluation images of a dataset.

  Args:
    network: what computes them.
    dataset: the images, `dataset.eval`, and how they are cut.
    views: 1 is the crop of evaluation, 2 this and its mirror image.
    dtype: of the computation.
    batch_size: images at a time, over all devices.
    folders: of runs; the features are kept in the first that can be written.

  Returns:
    All features, from disk where they have been computed before.

  Raises:
    InputError: if a feature is not finite or an image cannot be decoded.
    TrainingError: if the features cannot be kept.
  """
  model = network.model.clone(dtype=dtype)
  batch_size = device.divisible(batch_size)
  kept = _open(network, model, dataset, views, batch_size, folders)
  slots = cluster.local_slots(batch_size)
  answering.complete(
    kept,
    step_lib.parallelize_answer_step(_features_fn(network, model, views)),
    device.replicate(network.variables),
    lambda start, stop: dataset.eval_batches(
      batch_size=batch_size, slots=slots, start=start, stop=stop
    ),
    'features',
  )
  blocks = [kept.read(0, kept.num_images, view) for view in range(views)]
  return Features(
    np.stack([x.log_probs for x in blocks], 1),
    blocks[0].labels,
    blocks[0].counted,
  )


def size_of(network: run.Run) -> int:
  """Features of one view."""
  return network.variables['params']['classifier']['kernel'].shape[0]


def _features_fn(network: run.Run, model: Any, views: int):
  """`(variables, images) -> features`, float32 `[batch, views, size]`."""

  def features_fn(variables, images):
    found = []
    for crop in [images, images[:, :, ::-1]][:views]:
      _, end_points = model.apply(
        variables, network.preprocessing(crop), train=False
      )
      found.append(end_points[_END_POINT].astype(np.float32))
    return jax.numpy.stack(found, 1)

  return features_fn


def _open(
  network: run.Run,
  model: Any,
  dataset: dataset_lib.Dataset,
  views: int,
  batch_size: int,
  folders: Sequence[epath.Path],
) -> answers_lib.Answers:
  """Where the features are kept."""
  identity = {
    'network': network.digest,
    'end_point': _END_POINT,
    'dtype': np.dtype(model.dtype).name,
    'preprocessing': repr(network.preprocessing),
    'crop': [
      type(dataset.eval_crop).__name__,
      dataclasses.asdict(dataset.eval_crop),
    ],
    'views': views,
    'data': dataset.eval.fingerprint(),
  }
  place = f'{FOLDER}/{answers_lib.digest(identity)}'

  def open_in(folder):
    return answers_lib.Answers(
      folder / place,
      identity,
      views=tuple(
        crop_views.View(1, f'{_END_POINT}_{number}') for number in range(views)
      ),
      num_images=len(dataset.eval),
      num_outputs=size_of(network),
      batch_size=batch_size,
    )

  for folder in folders[:-1]:
    try:
      return open_in(folder)
    except (errors.InputError, errors.TrainingError) as error:
      logging.info('features are kept in %s (%s)', folders[-1], error)
  return open_in(folders[-1])
