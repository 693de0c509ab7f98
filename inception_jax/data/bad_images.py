"""What becomes of a bad image: one that cannot be decoded.

- Preparing a folder of images names the file with the reason and leaves it out;
  a class without an image left is an error (`preparation.examples`).
- Preparing a dataset of TFDS keeps every record; the census decodes all of
  them and names the bad ones (`preparation.census`).
- Training names the record. With `data.on_bad_image='fail'` the run ends; with
  'skip' the next good record of the set takes its place.
- Evaluation names the record. With 'fail' it ends; with 'skip' the image is
  masked, so that no accuracy counts it, and the result has their number
  (`num_skipped`).
- Predicting and visualising name the file with the reason and go on with the
  others; the exit status is 1 (`pictures`).

Training and evaluation end in any case where more than `MAX_BAD_SHARE` of the
set is bad. They decode what a crop needs, so a JPEG that was cut short is bad
only for crops that reach the missing part.

This module keeps the account of training and evaluation. It needs no
TensorFlow.
"""

from collections.abc import Callable
import threading
from typing import Any

from absl import logging
import numpy as np

from inception_jax.runtime import errors

# What `data.on_bad_image` may be.
CHOICES = ('fail', 'skip')
# More bad records than this share of the set end training and evaluation; one
# is always allowed.
MAX_BAD_SHARE = 0.01


class Account:
  """The bad images that one process has met in a set. Threads may share it.

  Args:
    records: the set, a `records.Records`.
    on_bad_image: one of `CHOICES`.
  """

  def __init__(self, records: Any, on_bad_image: str):
    self._records = records
    self._skips = on_bad_image == 'skip'
    self._indices: set[int] = set()
    self._lock = threading.Lock()

  def add(self, indices: np.ndarray) -> None:
    """Counts bad images and names each once.

    Args:
      indices: int `[n]`, records whose images are bad.

    Raises:
      InputError: if `on_bad_image` is 'fail', or too many images of the set
        are bad.
    """
    with self._lock:
      new = sorted(set(indices.tolist()) - self._indices)
      self._indices.update(new)
      num_bad = len(self._indices)
    for index in new:
      what = f'{self._records.describe(index)} is no image that can be decoded'
      if not self._skips:
        raise errors.InputError(
          f'{what}; prepare the dataset again without it, or set'
          " data.on_bad_image='skip'"
        )
      logging.warning('%s; it is skipped', what)
    num_records = len(self._records)
    if num_bad > max(1, MAX_BAD_SHARE * num_records) or num_bad == num_records:
      raise errors.InputError(
        f'{num_bad} of the {num_records} images of {self._records.name}'
        f' cannot be decoded, more than {MAX_BAD_SHARE:.0%}; prepare the'
        ' dataset again without them'
      )


def decode_next_good(
  decode: Callable[
    [np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]
  ],
  indices: np.ndarray,
  uniforms: np.ndarray,
  num_records: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Decodes records; the next good record of the set stands in for a bad one.

  The result depends on the arguments only, so it is the same after a resume and
  on any host. The crop stays that of the example: its random numbers do.

  Args:
    decode: from indices and random numbers to images, labels and whether each
      image is bad; raises where too many are, else this would not end.
    indices: int `[n]`, records.
    uniforms: float32 `[n, count]`, random numbers of each example.
    num_records: records of the set; the first follows the last.

  Returns:
    Images and labels, `[n, ...]`, all of them good.
  """
  images, labels, bad = decode(indices, uniforms)
  indices = indices.copy()
  while bad.any():
    indices[bad] = (indices[bad] + 1) % num_records
    places = np.flatnonzero(bad)
    images[places], labels[places], bad[places] = decode(
      indices[places], uniforms[places]
    )
  return images, labels
