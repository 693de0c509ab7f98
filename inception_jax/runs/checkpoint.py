"""Checkpoints: Orbax, with a digest of every array.

A checkpoint of a run, `checkpoints/STEP/`, holds

arrays      every leaf of `training.train_state.TrainState` by its path: `step`,
            `params/...`, `batch_stats/...`, `opt_state/...` (momentum), and
            `averages/...` (EMA and Polyak); of imported weights only `params`
            and `batch_stats`
digests     the SHA-256 of the type, shape and bytes of each array
metadata    `step`, the sums of the metrics since the last line of the log
            (`window`), and the heads that were warned of (`warned`)

Neither the order of the data nor random states are in it: both are functions of
(seed, step, slot).

Orbax writes atomically but does not notice a flipped bit in the arrays, so
every checkpoint carries a SHA-256 of each leaf and restoring verifies them.
Trees are saved flat, as host arrays under their paths ('params/conv1/kernel'),
which makes a checkpoint independent of devices, hosts and library classes.
"""

from collections.abc import Mapping
import hashlib
from typing import Any

from absl import logging
from etils import epath
import jax
import numpy as np
import orbax.checkpoint as ocp

from inception_jax.runtime import errors


def flatten(tree: Any) -> dict[str, Any]:
  """Leaves of a tree by their slash-separated paths."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): leaf
    for path, leaf in leaves
  }


def unflatten(target: Any, flat: Mapping[str, Any], source: str) -> Any:
  """Rebuilds a tree like `target` from `flat`.

  Args:
    target: tree of arrays or `jax.ShapeDtypeStruct`.
    flat: result of `flatten`.
    source: where `flat` comes from, for messages.

  Returns:
    A tree of host arrays.

  Raises:
    InputError: if names or shapes differ.
  """
  wanted = flatten(target)
  missing = sorted(wanted.keys() - flat.keys())
  unused = sorted(flat.keys() - wanted.keys())
  if missing or unused:
    parts = [
      f'{len(names)} arrays {what} (first {names[0]!r})'
      for what, names in (('are missing', missing), ('are unknown', unused))
      if names
    ]
    raise errors.InputError(
      f'{source} does not fit the model: {" and ".join(parts)}'
    )
  leaves = []
  for name, leaf in wanted.items():
    value = flat[name]
    if value.shape != leaf.shape or value.dtype != leaf.dtype:
      raise errors.InputError(
        f'{source} does not fit the model: {name!r} is'
        f' {value.dtype}{list(value.shape)}, not'
        f' {leaf.dtype}{list(leaf.shape)}'
      )
    leaves.append(value)
  return jax.tree.unflatten(jax.tree.structure(target), leaves)


def digest(value: np.ndarray) -> str:
  """SHA-256 of an array's type, shape and bytes."""
  value = np.ascontiguousarray(value)
  header = f'{value.dtype}{value.shape}'.encode()
  return hashlib.sha256(header + value.tobytes()).hexdigest()


class CorruptCheckpointError(errors.InputError):
  """A checkpoint that cannot be read or fails its digests."""


class Checkpoints:
  """The checkpoints of one folder.

  Args:
    directory: folder, local or remote; made when first saved to.
    keep: number of newest checkpoints to keep.
    read_only: never create or delete anything.
  """

  def __init__(
    self, directory: epath.PathLike, *, keep: int = 3, read_only: bool = False
  ):
    self.directory = epath.Path(directory)
    if '://' not in str(directory):
      # Orbax refuses relative paths, and only once it writes.
      self.directory = self.directory.resolve()
    policy = ocp.checkpoint_managers.preservation_policy
    self._manager = ocp.CheckpointManager(
      self.directory,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=policy.LatestN(keep),
        create=not read_only,
        cleanup_tmp_directories=not read_only,
      ),
    )

  def steps(self) -> list[int]:
    """Steps that have a checkpoint, ascending."""
    return sorted(self._manager.all_steps())

  def save(self, step: int, tree: Any, metadata: Mapping[str, Any]) -> None:
    """Starts to save; writing goes on in the background.

    Args:
      step: number of the checkpoint.
      tree: arrays, the same on every process.
      metadata: anything JSON can hold.

    Raises:
      TrainingError: if this save, or the one before it, could not be written.
    """
    # Copies: the caller's buffers are donated to the next step.
    flat = {
      name: np.array(leaf) for name, leaf in flatten(_to_host(tree)).items()
    }
    digests = {name: digest(value) for name, value in flat.items()}
    try:
      self._manager.save(
        step,
        args=ocp.args.Composite(
          arrays=ocp.args.StandardSave(flat),
          digests=ocp.args.JsonSave(digests),
          metadata=ocp.args.JsonSave(dict(metadata)),
        ),
        force=True,
      )
    except Exception as error:  # Orbax wraps what went wrong in many kinds.
      raise self._failed(step, error) from error

  def wait(self) -> None:
    """Returns when everything is written.

    Raises:
      TrainingError: if it could not be.
    """
    try:
      self._manager.wait_until_finished()
    except Exception as error:
      raise self._failed(None, error) from error

  def close(self) -> None:
    self.wait()
    self._manager.close()

  def restore(
    self, step: int, prefix: str = ''
  ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads and verifies a checkpoint.

    Args:
      step: one of `steps()`.
      prefix: only return arrays whose name begins so.

    Returns:
      Arrays by name, and the metadata.

    Raises:
      CorruptCheckpointError: if it cannot be read or a digest differs.
    """
    path = self.directory / str(step)
    try:
      restored = self._manager.restore(
        step,
        args=ocp.args.Composite(
          arrays=ocp.args.StandardRestore(),
          digests=ocp.args.JsonRestore(),
          metadata=ocp.args.JsonRestore(),
        ),
      )
      arrays = {k: np.asarray(v) for k, v in restored['arrays'].items()}
      digests = restored['digests']
      metadata = restored['metadata']
    except Exception as error:
      raise CorruptCheckpointError(
        f'checkpoint {path} cannot be read; delete it to fall back on an'
        ' older one'
      ) from error
    if arrays.keys() != digests.keys():
      raise CorruptCheckpointError(
        f'checkpoint {path} lacks arrays; delete it to fall back on an older'
        ' one'
      )
    for name, value in arrays.items():
      if digest(value) != digests[name]:
        raise CorruptCheckpointError(
          f'checkpoint {path} is corrupt: {name!r} is not what was saved;'
          ' delete it to fall back on an older one'
        )
    arrays = {k: v for k, v in arrays.items() if k.startswith(prefix)}
    return arrays, metadata

  def restore_newest_good(
    self,
  ) -> tuple[int, dict[str, np.ndarray], dict[str, Any]] | None:
    """Newest checkpoint that verifies; corrupt ones are set aside.

    Returns:
      Step, arrays by name and metadata; None if there is no checkpoint.

    Raises:
      CorruptCheckpointError: if there are checkpoints and all are corrupt.
    """
    steps = self.steps()
    for step in reversed(steps):
      try:
        arrays, metadata = self.restore(step)
      except CorruptCheckpointError as error:
        if step == steps[0]:
          raise
        logging.error('%s; going on from an older one', error)
        self._set_aside(step)
        continue
      return step, arrays, metadata
    return None

  def _set_aside(self, step: int) -> None:
    """Moves a checkpoint out of the way without losing it."""
    if jax.process_index() == 0:
      aside = self.directory.parent / 'corrupt_checkpoints'
      aside.mkdir(parents=True, exist_ok=True)
      target = aside / str(step)
      if target.exists():
        target.rmtree()
      (self.directory / str(step)).rename(target)
    ocp.multihost.sync_global_processes('checkpoint set aside')
    self._manager.reload()

  def _failed(
    self, step: int | None, error: BaseException
  ) -> errors.TrainingError:
    which = 'a checkpoint' if step is None else f'checkpoint {step}'
    kept = ', '.join(map(str, self.steps())) or 'none'
    return errors.cannot_write(
      f'{which} of {self.directory}',
      error,
      f'free some space and run the same command again (whole checkpoints:'
      f' {kept})',
      errors.TrainingError,
    )


def _to_host(tree: Any) -> Any:
  """Host copies of replicated arrays, from one local device each."""
  return jax.tree.map(
    lambda x: (
      np.asarray(x.addressable_shards[0].data)
      if isinstance(x, jax.Array)
      else np.asarray(x)
    ),
    tree,
  )
