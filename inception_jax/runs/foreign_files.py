"""Files in a `--workdir` that are not a run's, among which none is begun."""

import os

from etils import epath

from inception_jax.data import system_files
from inception_jax.runtime import durable, errors

# Any of these makes a folder that of a run or of an ensemble.
_MARKS = ('config.json', 'ensemble.json', 'checkpoints')
# What a start that was interrupted may have left besides.
_OWN = frozenset(
  {
    'card.json',
    'config_changes.jsonl',
    'corrupt_checkpoints',
    'data.json',
    'features',
    'labels.json',
    'last_layer',
    'last_layer.json',
    'metrics.jsonl',
    'model.json',
    'plots',
    'preprocessing.json',
    'profile',
    'tensorboard',
    'timing.jsonl',
    'train.log',
    'training.json',
    'used.json',
  }
)
# What shells and schedulers write before a command begins, such as nohup.out.
_OUTPUTS = ('.log', '.out', '.err', '.txt', '.pid')


def check_not_several(workdir: epath.Path) -> None:
  """Raises InputError for several runs, with commas between them."""
  parts = str(workdir).split(',')
  if len(parts) > 1 and all(map(os.path.isdir, parts)):
    raise errors.InputError(
      f'--workdir={workdir} names {len(parts)} folders, and a run has one; give'
      ' one'
    )


def check(workdir: epath.PathLike) -> None:
  """Checks that a folder is new, empty, or that of a run or an ensemble.

  Files of the names that a run writes are looked at later (`RunDirectory`).
  Hidden files, and text that shells and schedulers write there, may be there.

  Args:
    workdir: expanded.

  Raises:
    InputError: if it is no folder, or holds other files and no run.
  """
  workdir = epath.Path(workdir)
  if not durable.is_local(workdir):
    return  # An object store has no folders that could be somebody's.
  try:
    if not workdir.exists():
      check_not_several(workdir)
      return
    if not workdir.is_dir():
      raise errors.InputError(
        f'--workdir={workdir} is a file; give the name of a folder'
      )
    names = sorted(path.name for path in workdir.iterdir())
  except OSError:
    return  # Said where the folder is used.
  if any(name in names for name in _MARKS):
    return
  for name in names:
    if name in _OWN or system_files.is_ignored(name):
      continue
    if name.lower().endswith(_OUTPUTS):
      continue
    raise errors.InputError(
      f'--workdir={workdir} holds other files (such as {name!r}) and no run;'
      ' give a new or empty folder'
    )
