"""Batches of noise, for measuring speed without a dataset. Needs no TF."""

from collections.abc import Iterator
import dataclasses
from typing import Any

import numpy as np

from inception_jax.data import identity


@dataclasses.dataclass(frozen=True)
class SyntheticRecords:
  """Stands in for `records.Records` where the images do not matter.

  Attributes:
    num_records: images in the set.
    num_classes: classes, labels being uniform.
  """

  num_records: int
  num_classes: int

  def __len__(self) -> int:
    return self.num_records

  def fingerprint(self) -> str:
    """See `records.Records.fingerprint`."""
    return f'noise {self.num_records} {self.num_classes}'

  @property
  def name(self) -> str:
    return 'noise'

  @property
  def identity(self) -> dict[str, Any]:
    """See `identity.describe`."""
    noise = {'num_images': len(self), identity.DIGEST: self.fingerprint()}
    return {'num_images': len(self), 'splits': {'noise': noise}}

  @property
  def class_names(self) -> tuple[str, ...]:
    return tuple(str(i) for i in range(self.num_classes))


def synthetic_batches(
  records: SyntheticRecords,
  *,
  start_step: int,
  num_steps: int,
  batch_size: int,
  slots: np.ndarray,
  image_size: int,
  num_images: int | None = None,
) -> Iterator[dict[str, np.ndarray]]:
  """Batches like those of `pipeline`, all with the same pixels.

  Args:
    records: size of the set.
    start_step: step of the first batch.
    num_steps: step at which to end.
    batch_size: global batch size.
    slots: places in the global batch that this process holds.
    image_size: height and width, pixels.
    num_images: of all batches; what lies beyond is padding. None is no padding.

  Yields:
    Batches of `len(slots)` examples.
  """
  slots = np.asarray(slots, np.int32)
  shape = (batch_size, image_size, image_size, 3)
  generator = np.random.RandomState(0)
  image = generator.randint(0, 256, shape, np.uint8)[slots]
  label = generator.randint(0, records.num_classes, batch_size)[slots]
  for step in range(start_step, num_steps):
    mask = np.ones(len(slots), bool)
    if num_images is not None:
      mask = step * batch_size + slots < num_images
    yield {
      'image': image,
      'label': label.astype(np.int32),
      'mask': mask,
      'skipped': np.zeros(len(slots), bool),
      'slot': slots,
    }
