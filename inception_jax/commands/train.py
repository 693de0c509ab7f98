"""The train command: a config and a folder to a trained run, or several."""

from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath
import ml_collections

from inception_jax.ensemble import train as train_ensemble
from inception_jax.runs import announcement
from inception_jax.runs import train as train_run


def train(
  config: ml_collections.ConfigDict | Mapping[str, Any],
  workdir: epath.PathLike,
  changes: Sequence[str] = (),
) -> dict[str, Any]:
  """Trains what a config describes, or resumes it.

  Args:
    config: of a run, see `create_experiment`; or of an ensemble, see
      `ensemble.train.member_configs`.
    workdir: run directory, or folder of an ensemble.
    changes: what is other than in the config's file, for the log.

  Returns:
    See `runs.train.train` and `ensemble.train.train_ensemble`.

  Raises:
    InputError: if something given cannot be used; nothing is written then.
    TrainingError: if training cannot go on.
    Interrupted: after SIGTERM or SIGINT, once the state is saved.
  """
  if train_ensemble.is_ensemble(config):
    announcement.announce_changes(changes)  # Once for all members.
    return train_ensemble.train_ensemble(config, workdir)
  return train_run.train(config, workdir, changes)
