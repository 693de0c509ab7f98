"""What to do after a loss that is not finite."""

import shlex

from etils import epath

from inception_jax.experiment import experiment as experiment_lib
from inception_jax.runtime import read_failures


def remedy(
  experiment: experiment_lib.Experiment,
  workdir: epath.Path,
  last_good: int | None,
) -> str:
  """The command that trains again, since the run's folder keeps its config.

  Args:
    experiment: of the run.
    workdir: its run directory.
    last_good: step of its newest checkpoint, or None.

  Returns:
    What to give instead, as the end of a sentence.
  """
  rate = experiment.config['learning_rate']['init_value'] / 2
  if read_failures.exists(workdir.parent / 'ensemble.json'):
    change = shlex.quote(
      f'--config.ensemble.members.{workdir.name}.learning_rate.init_value'
      f'={rate:g}'
    )
    return (
      f'move {workdir} away, and add {change} to the same command: it trains'
      ' this member anew, with a lower learning rate, and leaves the others'
    )
  more = f'--config.learning_rate.init_value={rate:g}'
  if last_good is not None:
    more = f'{shlex.quote(f"--config.init_from={workdir}")} {more}'
  return (
    'this folder keeps its config, so train in a new one with a lower learning'
    f' rate: --workdir=NEW {more}, or a longer'
    ' --config.learning_rate.warmup_epochs'
  )
