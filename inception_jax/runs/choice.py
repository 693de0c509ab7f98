"""Which network of a run in two steps is used: see `two_steps`."""

from absl import logging
from etils import epath

from inception_jax.runtime import json_files

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
  """
  stored = json_files.read_dict_or_none(workdir / FILE) or {}
  if stored.get('run') != FIRST_STEP:
    return workdir
  logging.info(
    'using %s, whose top-1 was not below that of %s',
    workdir / FIRST_STEP,
    workdir,
  )
  return workdir / FIRST_STEP
