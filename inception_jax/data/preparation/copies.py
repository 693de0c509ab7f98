"""Copies among the pictures of a folder: the same bytes, or the same look.

Those of the same bytes are found everywhere, those of the same look, such as
copies of another size, between the training part and the others.
"""

from collections.abc import Sequence
from typing import NamedTuple

from absl import logging

from inception_jax.data.preparation import image_folder, looks


class Copy(NamedTuple):
  """A picture that an earlier one is a copy of.

  Attributes:
    file: its name, see `image_folder.File`.
    other: name of the earlier one.
    same_class: whether they are of one class.
    same_split: whether they are in one split.
    same_bytes: whether they are equal, and do not only look the same.
  """

  file: str
  other: str
  same_class: bool
  same_split: bool
  same_bytes: bool = True


class Copies:
  """Finds copies while pictures are read.

  Attributes:
    found: those of the same bytes, in the order of `add`.
  """

  def __init__(self):
    self.found: list[Copy] = []
    self._first: dict[bytes, tuple[str, image_folder.File]] = {}
    self._looks: dict[str, list[tuple[image_folder.File, bytes]]] = {}

  def add(
    self,
    digest: bytes,
    look: bytes | None,
    split: str,
    file: image_folder.File,
  ) -> None:
    """Takes a picture.

    Args:
      digest: of its bytes.
      look: see `looks`.
      split: it is in.
      file: where it is.
    """
    if look is not None:
      self._looks.setdefault(split, []).append((file, look))
    other_split, other = self._first.setdefault(digest, (split, file))
    if other is not file:
      copy = Copy(
        file.name,
        other.name,
        other.class_name == file.class_name,
        other_split == split,
      )
      self.found.append(copy)

  def alike(self) -> list[Copy]:
    """Pictures that look like one of the training part, but are not equal."""
    trained = self._looks.get('train', [])
    equal = {copy.file for copy in self.found}
    found = []
    for split, pictures in self._looks.items():
      if split == 'train' or len(pictures) * len(trained) > looks.MAX_PAIRS:
        continue
      pairs = looks.alike([x for _, x in pictures], [x for _, x in trained])
      for place, other_place in pairs:
        file, other = pictures[place][0], trained[other_place][0]
        if file.name not in equal:
          same_class = file.class_name == other.class_name
          found.append(Copy(file.name, other.name, same_class, False, False))
    return found


def warn(copies: Sequence[Copy]) -> None:
  """Logs a warning, with a remedy, of copies that mislead training."""
  equal = [x for x in copies if x.same_bytes]
  _warn(
    [x for x in equal if not x.same_class],
    'in the folders of two classes',
    'delete each from the class that it is not of',
  )
  _warn(
    [x for x in equal if x.same_class and not x.same_split],
    'in two parts, so that an evaluation sees what was trained on',
    'delete each from one of them',
  )
  _warn(
    [x for x in copies if not x.same_bytes],
    'like one of the training part, though in another, so that an evaluation'
    ' may see what was trained on',
    'delete them if they are copies of another size',
  )


def _warn(copies: Sequence[Copy], where: str, remedy: str) -> None:
  if copies:
    logging.warning(
      '%s %s (first: %r and %r); %s',
      'a picture is' if len(copies) == 1 else f'{len(copies):,} pictures are',
      where,
      copies[0].file,
      copies[0].other,
      remedy,
    )
