"""Several networks asked together: classes in common, and one answer of all.

References:
  Szegedy et al. 2014, Going Deeper with Convolutions, section 7.
"""

from collections.abc import Iterator, Sequence
import dataclasses
from typing import NamedTuple

import numpy as np

from inception_jax.data import labels as labels_lib
from inception_jax.evaluation import answers as answers_lib
from inception_jax.runtime import errors, words

_PICTURES_AT_A_TIME = 256


@dataclasses.dataclass(frozen=True)
class Member:
  """One network of several.

  Attributes:
    name: for messages and tables.
    labels: what its outputs mean.
    answers: what it has answered to every picture.
  """

  name: str
  labels: labels_lib.LabelMap
  answers: answers_lib.Answers


class PredictionBatch(NamedTuple):
  """What all members say of some pictures.

  Attributes:
    log_probs: float32 `[members, n, classes]`.
    labels: int32 `[n]`, of the classes in common.
    indices: int `[n]`, places of the pictures in the set.
    num_skipped: pictures between them that one of the members, or several,
      could not decode.
  """

  log_probs: np.ndarray
  labels: np.ndarray
  indices: np.ndarray
  num_skipped: int


class Ensemble:
  """Networks that answer to the same pictures.

  Where all have the same outputs, these are the classes. Else the classes are
  what all of them know, and what only some have (dummies, a background) is
  left out.

  Args:
    members: at least one.
    class_names: of the dataset, in the order of its labels.

  Raises:
    InputError: if members do not know the same classes, or these not all of
      the dataset's.
  """

  def __init__(self, members: Sequence[Member], class_names: Sequence[str]):
    self.members = tuple(members)
    first = self.members[0]
    if all(member.labels == first.labels for member in self.members):
      self.labels = first.labels
      self._columns = [slice(None)] * len(self.members)
    else:
      self.labels = _classes_in_common(self.members)
      names = self.labels.class_names
      self._columns = [
        member.labels.outputs_of(names) for member in self.members
      ]
    try:
      self._class_of_label = self.labels.outputs_of(class_names)
    except ValueError as error:
      raise errors.InputError(
        f'{first.name} cannot be evaluated on this dataset: {error}'
      ) from error

  @property
  def num_images(self) -> int:
    return self.members[0].answers.num_images

  def read(
    self, num_crops: int | None, aggregation: str
  ) -> Iterator[PredictionBatch]:
    """What every member says of every picture, a few at a time.

    Args:
      num_crops: see `Answers.find_view`.
      aggregation: likewise.

    Raises:
      InputError: if the answers are damaged, or not to the same pictures.
    """
    views = [
      member.answers.find_view(num_crops, aggregation)
      for member in self.members
    ]
    for start in range(0, self.num_images, _PICTURES_AT_A_TIME):
      stop = min(start + _PICTURES_AT_A_TIME, self.num_images)
      blocks = [
        member.answers.read(start, stop, view)
        for member, view in zip(self.members, views, strict=True)
      ]
      # Crops of other sizes read other parts of a damaged picture.
      counted = np.logical_and.reduce([block.counted for block in blocks])
      for member, block in zip(self.members, blocks, strict=True):
        if not np.array_equal(block.labels[counted], blocks[0].labels[counted]):
          raise errors.InputError(
            f'{member.name} and {self.members[0].name} have not answered to the'
            f' same pictures; delete {member.answers.folder}'
          )
      log_probs = [
        block.log_probs[counted][:, columns]
        for block, columns in zip(blocks, self._columns, strict=True)
      ]
      yield PredictionBatch(
        np.stack(log_probs),
        self._class_of_label[blocks[0].labels[counted]],
        start + np.flatnonzero(counted),
        int((~counted).sum()),
      )


def mean_probability(log_probs: np.ndarray) -> np.ndarray:
  """Mean over the members, as logarithms: `[members, ...]` to `[...]`."""
  if len(log_probs) == 1:
    return log_probs[0]
  largest = log_probs.max(0)
  total = np.exp(log_probs - largest).sum(0)
  return largest + np.log(total) - np.float32(np.log(len(log_probs)))


def _classes_in_common(members: Sequence[Member]) -> labels_lib.LabelMap:
  """The classes that each of the members has an output for."""
  known = [_real_classes(member.labels) for member in members]
  first = known[0]
  for member, classes in zip(members, known, strict=True):
    if classes.keys() != first.keys():
      differing = sorted(classes.keys() ^ first.keys())
      raise errors.InputError(
        f'{member.name} knows'
        f' {words.count(len(classes), "class", "classes")} and'
        f' {members[0].name} {len(first)}, and not the same ones (first'
        f' {differing[0]!r}); an ensemble must agree on the classes'
      )
  return labels_lib.LabelMap(tuple(first.values()))


def _real_classes(
  label_map: labels_lib.LabelMap,
) -> dict[str, labels_lib.Label]:
  """Labels by name, without dummies and what stands there twice."""
  names = label_map.class_names
  return {
    label.class_name: label
    for label in label_map.labels
    if label.is_class and names.count(label.class_name) == 1
  }
