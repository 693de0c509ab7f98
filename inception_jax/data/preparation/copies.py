"""Copies among the pictures of a folder: the same bytes under another name."""

from collections.abc import Sequence
from typing import NamedTuple

from absl import logging

from inception_jax.data.preparation import image_folder


class Copy(NamedTuple):
  """A picture whose bytes an earlier one has too.

  Attributes:
    file: its name, see `image_folder.File`.
    other: name of the earlier one.
    same_class: whether they are of one class.
    same_split: whether they are in one split.
  """

  file: str
  other: str
  same_class: bool
  same_split: bool


class Copies:
  """Finds copies while pictures are read.

  Attributes:
    found: the copies, in the order of `add`.
  """

  def __init__(self):
    self.found: list[Copy] = []
    self._first: dict[bytes, tuple[str, image_folder.File]] = {}

  def add(self, digest: bytes, split: str, file: image_folder.File) -> None:
    """Takes a picture.

    Args:
      digest: of its bytes.
      split: it is in.
      file: where it is.
    """
    other_split, other = self._first.setdefault(digest, (split, file))
    if other is not file:
      copy = Copy(
        file.name,
        other.name,
        other.class_name == file.class_name,
        other_split == split,
      )
      self.found.append(copy)


def warn(copies: Sequence[Copy]) -> None:
  """Logs a warning, with a remedy, of copies that mislead training."""
  _warn(
    [x for x in copies if not x.same_class],
    'in the folders of two classes',
    'delete each from the class that it is not of',
  )
  _warn(
    [x for x in copies if x.same_class and not x.same_split],
    'in two parts, so that an evaluation sees what was trained on',
    'delete each from one of them',
  )


def _warn(copies: Sequence[Copy], where: str, remedy: str) -> None:
  if copies:
    logging.warning(
      '%s %s (first: %r is %r); %s',
      'a picture is' if len(copies) == 1 else f'{len(copies):,} pictures are',
      where,
      copies[0].file,
      copies[0].other,
      remedy,
    )
