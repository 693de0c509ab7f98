"""What an experiment would train on: its crops, and each augmentation alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from inception_jax.data import crop_rules
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.training import augment


def training_crops(
  experiment: experiment_lib.Experiment, step: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
  """The first images of a training batch as the network receives them.

  They pass through the same crop, augmentation and preprocessing as in training
  and are brought back to pixels at the end.

  Args:
    experiment: whose data.
    step: which batch.
    count: at most how many images; this process may hold fewer.

  Returns:
    uint8 `[n, size, size, 3]` and labels int32 `[n]`.
  """
  options = experiment.options
  (batch,) = experiment.dataset.train_batches(
    seed=options.seed,
    start_step=step,
    num_train_steps=step + 1,
    batch_size=options.batch_size,
    slots=experiment.slots[:count],
  )
  images = jnp.asarray(batch['image'])
  keys = augment.example_keys(
    experiment.keys[1], jnp.int32(step), batch['slot']
  )
  images = jax.jit(experiment.augmentation)(images, keys)
  preprocessing = experiment.preprocessing
  pixels = preprocessing.invert(preprocessing(images))
  pixels = np.clip(np.round(np.asarray(pixels)), 0, 255).astype(np.uint8)
  return pixels, batch['label']


def pieces(
  experiment: experiment_lib.Experiment,
) -> dict[str, experiment_lib.Experiment]:
  """The experiment with one piece of its augmentation at a time.

  Args:
    experiment: whose pieces.

  Returns:
    By title: without any, with each piece that it has alone, with all.
  """
  dataset = experiment.dataset
  nothing = augment.Augmentation(mirror=False)

  def variant(crop=dataset.eval_crop, augmentation=nothing):
    return dataclasses.replace(
      experiment,
      dataset=dataclasses.replace(dataset, train_crop=crop),
      augmentation=augmentation,
    )

  found = {'none': variant()}
  crop = dataset.train_crop
  if isinstance(crop, crop_rules.DistortedCrop):
    square, plain = (1.0, 1.0), crop.interpolations[:1]
    found['crop area'] = variant(
      dataclasses.replace(crop, aspect_ratio_range=square, interpolations=plain)
    )
    found['crop aspect ratio'] = variant(
      dataclasses.replace(crop, area_range=(0.5, 0.5), interpolations=plain)
    )
    small = (crop.area_range[0],) * 2  # Enlarged, they differ the most.
    for name in crop.interpolations:
      found[f'resized {name}'] = variant(
        dataclasses.replace(
          crop,
          area_range=small,
          aspect_ratio_range=square,
          interpolations=(name,),
        )
      )
  for field in dataclasses.fields(experiment.augmentation):
    value = getattr(experiment.augmentation, field.name)
    if value:
      alone = dataclasses.replace(nothing, **{field.name: value})
      found[field.name] = variant(augmentation=alone)
  found['all'] = experiment
  return found
