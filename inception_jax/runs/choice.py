"""Which network of a run in two steps is used: see `two_steps`."""

from absl import logging
from etils import epath

from inception_jax.runtime import errors, json_files, read_failures

# The run directory of the first step, inside that of the run, and what says
# which of the two is used.
FIRST_STEP = 'last_layer'
FILE = 'used.json'


def used(workdir: epath.Path) -> epath.Path:
  """The run directory whose weights are used if nothing else is asked for.

  Args:
    workdir: of any run.

  Returns:
    That of its first step, if that was found to be the better one; or itself.

  Raises:
    InputError: if the file that says so is damaged.
  """
  path = workdir / FILE
  if not read_failures.exists(path):
    return workdir
  stored = json_files.read_dict_or_none(path) or {}
  if stored.get('run') not in ('.', FIRST_STEP):
    raise errors.InputError(
      f'{path} is damaged; run the training command again, which writes it'
      ' anew, or say which --weights to use'
    )
  return workdir / stored['run']


def say_if_unfinished(workdir: epath.Path, step: int) -> None:
  """Logs that a run is used whose training has not come to its end."""
  stored = json_files.read_dict_or_none(workdir / 'training.json') or {}
  last = stored.get('num_train_steps')
  if isinstance(last, int) and step < last:
    logging.info('%s is at step %d of %d', workdir, step, last)
