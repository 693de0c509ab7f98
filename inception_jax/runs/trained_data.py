"""The data of a run, so that it does not go on with other data.

`data.json` says of the training and the evaluation set how many pictures they
have, and of each of their splits the digest that preparing took of all records,
or, where it took none, what TFDS's `dataset_info.json` says. Nothing is read of
the records.
"""

from collections.abc import Mapping
from typing import Any

from absl import logging
from etils import epath

from inception_jax.data import identity as identity_lib
from inception_jax.runs import checkpoint
from inception_jax.runtime import errors, json_files, read_failures

FILE = 'data.json'
_SETS = {'train': 'training', 'eval': 'evaluation'}


def check(
  workdir: epath.Path, data: Mapping[str, Any], num_train_steps: int
) -> dict[str, Any]:
  """Checks that the data is that of the run in a folder, if one is there.

  Args:
    workdir: run directory.
    data: `identity` of the `data.dataset.Dataset`.
    num_train_steps: step at which training is to end.

  Returns:
    What the run is to keep in `FILE`: `data`, with what is known of it from
      before.

  Raises:
    InputError: if the data is not that of the run, with what differs.
  """
  for found in data.values():
    if not identity_lib.is_covered(found):
      logging.info(
        '%s has no digest of its records: when the run goes on their numbers'
        ' and sizes are compared, not what is in them; --mode=prepare with this'
        ' config takes the digest',
        found['name'],
      )
  kept = _kept(workdir)
  if kept is None:
    _check_steps(workdir, num_train_steps)
    return dict(data)
  for name, found in data.items():
    if differs := identity_lib.difference(kept[name], found):
      raise errors.InputError(
        f'the {_SETS[name]} set, {found["name"]!r}, is not the one that'
        f' {workdir} was trained with: {differs}; give another --workdir, or'
        ' the earlier data'
      )
  return {
    name: identity_lib.merged(kept[name], found) for name, found in data.items()
  }


def is_whole(path: epath.Path) -> bool:
  """Whether a file holds the data of a run, whichever that is."""
  kept = json_files.read_dict_or_none(path)
  return kept is not None and _is_whole(kept)


def _kept(workdir: epath.Path) -> dict[str, Any] | None:
  """The data of the run that is there; None if there is none to compare."""
  path, folder = workdir / FILE, workdir / 'checkpoints'
  kept = json_files.read_dict_or_none(path)
  if kept is not None and _is_whole(kept):
    return kept
  metadata = {}
  if read_failures.exists(folder):
    checkpoints = checkpoint.Checkpoints(folder, read_only=True)
    metadata = checkpoints.read_metadata() or {}
    checkpoints.close()
  found = metadata.get('data')
  found = found if isinstance(found, dict) and _is_whole(found) else None
  if path.exists():
    logging.warning(
      '%s is damaged; it is written anew from the data%s',
      path,
      ', which is compared with that of the newest checkpoint'
      if found
      else '; that the data is the same could not be checked',
    )
  return found


def _is_whole(kept: Mapping[str, Any]) -> bool:
  try:
    return all(
      isinstance(kept[name]['num_images'], int)
      and all(isinstance(x, dict) for x in kept[name]['splits'].values())
      for name in _SETS
    )
  except (KeyError, TypeError, AttributeError):
    return False


def _check_steps(workdir: epath.Path, num_train_steps: int) -> None:
  """Checks what runs of earlier versions have kept: where training ends."""
  kept = json_files.read_dict_or_none(workdir / 'training.json') or {}
  before = kept.get('num_train_steps')
  if isinstance(before, int) and before != num_train_steps:
    raise errors.InputError(
      f'the training set is not the one that {workdir} was trained with: by its'
      f' number of images training would end at step {num_train_steps}, not'
      f' {before}; give another --workdir, or the earlier data'
    )
