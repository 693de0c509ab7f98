"""What is probably not meant in a folder of pictures, as warnings."""

import collections

from absl import logging

from inception_jax.data.preparation import image_folder
from inception_jax.runtime import paths

_FEW = 3


def warn(folder: image_folder.ImageFolder) -> None:
  """Logs a warning, with a remedy, of each thing that is probably not meant."""
  _warn_of_one_class(folder)
  _warn_of_single_pictures(folder)
  _warn_of_small_classes(folder)
  _warn_of_twins(folder)


def _warn_of_one_class(folder: image_folder.ImageFolder) -> None:
  if len(folder.class_names) == 1:
    logging.warning(
      'there is one class, %r: a network can be evaluated on it, but there is'
      ' nothing to learn; put the pictures of each class into a folder of its'
      ' own, and give the folder that holds these',
      folder.class_names[0],
    )


def _warn_of_single_pictures(folder: image_folder.ImageFolder) -> None:
  """Of the classes that no part of their own validates."""
  counts = collections.Counter(x.class_name for x in folder.splits['train'])
  single = [name for name in folder.class_names if counts[name] == 1]
  if not single:
    return
  several = len(single) > 1
  text = '%d %s one picture to train on (first %r)'
  if 'validation' not in folder.splits:
    text += (
      ', and so there is no validation; add pictures, or set'
      " data.eval_split='train' to evaluate on those of training"
    )
  else:
    text += '; add pictures, or take such classes away'
  logging.warning(
    text, len(single), 'classes have' if several else 'class has', single[0]
  )


def _warn_of_small_classes(folder: image_folder.ImageFolder) -> None:
  """Warns of classes whose accuracy is a matter of chance."""
  counts = collections.Counter(x.class_name for x in folder.splits['train'])
  small = [x for x in folder.class_names if 1 < counts[x] <= _FEW]
  if small:
    logging.warning(
      '%s %d pictures or fewer to train on (first %r, with %d); what is found'
      ' out about such a class is mostly chance: add pictures',
      'a class has' if len(small) == 1 else f'{len(small):,} classes have',
      _FEW,
      small[0],
      counts[small[0]],
    )


def _warn_of_twins(folder: image_folder.ImageFolder) -> None:
  """Of files whose names look like another's, of which they may be copies."""
  seen: set[str] = set()
  twins = []
  for file in (x for files in folder.splits.values() for x in files):
    name = paths.normal_form(file.name)
    if name in seen:
      twins.append(file.name)
    seen.add(name)
  if twins:
    logging.warning(
      'names of files differ from those of others in Unicode normalisation only'
      ' (%d, first %a); delete them if they are copies',
      len(twins),
      twins[0],
    )
