"""Checkpoints: Orbax, with a digest of every array.

A checkpoint of a run, `checkpoints/STEP/`, holds

arrays      every leaf of `training.train_state.TrainState` by its path: `step`,
            `params/...`, `batch_stats/...`, `opt_state/...` (momentum), and
            `averages/...` (EMA and Polyak); of imported weights only `params`
            and `batch_stats`
digests     the SHA-256 of the type, shape and bytes of each array
metadata    `step`, the sums of the metrics since the last line of the log
            (`window`), the heads that were warned of (`warned`), the `config`,
            and the `lines` of `metrics.jsonl`; its digest is among the others

Neither the order of the data nor random states are in it: both are functions of
(seed, step, slot).

Orbax writes atomically but does not notice a flipped bit in the arrays, so
every checkpoint carries a SHA-256 of each leaf and restoring verifies them.
Trees are saved flat, as host arrays under their paths ('params/conv1/kernel'),
which makes a checkpoint independent of devices, hosts and library classes.
"""

from collections.abc import Mapping
from concurrent import futures
import hashlib
import json
from typing import Any

from absl import logging
from etils import epath
import jax
import numpy as np
import orbax.checkpoint as ocp

from inception_jax.runs import named_arrays
from inception_jax.runtime import (
  cluster,
  durable,
  errors,
  paths,
  read_failures,
)

# Among the digests of arrays, none of which has such a name.
_METADATA = '.metadata'


class CorruptCheckpointError(errors.InputError):
  """A checkpoint whose files are missing, damaged, or of another step."""


class UnreadableCheckpointError(errors.InputError):
  """A checkpoint that cannot be read just now; it may be good."""


class Checkpoints:
  """The checkpoints of one folder.

  At every moment there is a whole checkpoint that outlasts a loss of power: an
  older one is only deleted when `keep` newer ones are on the disk. While a
  checkpoint is being written there is therefore one more than `keep`.

  Args:
    directory: folder, local or remote; made when first saved to.
    keep: number of newest checkpoints to keep.
    read_only: never create or delete anything.
  """

  def __init__(
    self, directory: epath.PathLike, *, keep: int = 3, read_only: bool = False
  ):
    self.directory = epath.Path(directory)
    if durable.is_local(directory):
      # Orbax refuses relative paths, and only once it writes.
      self.directory = self.directory.resolve()
    paths.check_folder(self.directory.parent, '--workdir', read_only)
    self._keep = keep
    # Saves that are under way: at most one, by its step.
    self._pending: tuple[int, futures.Future] | None = None
    self._has_saved = False
    self._background = futures.ThreadPoolExecutor(1, 'checkpoint')
    self._is_unsynced = not read_only  # What an earlier process has left.
    policy = ocp.checkpoint_managers.preservation_policy
    self._manager = ocp.CheckpointManager(
      self.directory,
      options=ocp.CheckpointManagerOptions(
        # Orbax deletes before the newest is synced.
        preservation_policy=policy.LatestN(keep + 1),
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
    self.wait()
    # Copies: the caller's buffers are donated to the next step.
    flat = {
      name: np.array(leaf)
      for name, leaf in named_arrays.flatten(_to_host(tree)).items()
    }
    digests = {name: named_arrays.digest(value) for name, value in flat.items()}
    digests[_METADATA] = _digest_json(metadata)
    try:
      if self._is_unsynced:
        for old in self.steps():
          self._sync(old)
        self._is_unsynced = False
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
    self._has_saved = True
    self._pending = step, self._background.submit(self._finish, step)

  def _finish(self, step: int) -> None:
    self._manager.wait_until_finished()
    self._sync(step)

  def _sync(self, step: int) -> None:
    if jax.process_index() == 0:  # Which writes all of it.
      durable.sync_tree(self.directory / str(step))

  def wait(self) -> None:
    """Returns when everything is written and on the disk.

    Raises:
      TrainingError: if it could not be.
    """
    if self._pending is None:
      return
    (step, future), self._pending = self._pending, None
    try:
      future.result()
    except Exception as error:
      raise self._failed(step, error) from error

  def close(self) -> None:
    """Waits, and deletes all but the newest.

    Raises:
      TrainingError: see `wait`.
    """
    try:
      self.wait()
      if self._has_saved and jax.process_index() == 0:
        for step in self.steps()[: -self._keep]:
          self._delete(step)
    finally:
      self._background.shutdown()
    self._manager.close()

  def _delete(self, step: int) -> None:
    # Not half a checkpoint, even after a kill: Orbax clears this name away.
    folder = self.directory / str(step)
    doomed = folder.with_name(f'{step}.orbax-checkpoint-tmp')
    try:
      folder.rename(doomed)
      doomed.rmtree()
    except OSError as error:
      logging.warning('%s cannot be deleted (%s)', folder, error)

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
      CorruptCheckpointError: if it is damaged or of another step.
      UnreadableCheckpointError: if reading failed for another reason.
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
      damage = _damage(step, arrays, restored['digests'], restored['metadata'])
    except Exception as error:
      reason = read_failures.cause(error, path)
      if reason is not None:
        raise UnreadableCheckpointError(
          f'checkpoint {path} cannot be read just now ({reason}); it is left as'
          ' it is: mend that and run the same command again'
        ) from error
      raise CorruptCheckpointError(
        f'checkpoint {path} is damaged: {errors.first_line(error)[:150]}'
      ) from error
    if damage:
      raise CorruptCheckpointError(f'checkpoint {path} is damaged: {damage}')
    arrays = {k: v for k, v in arrays.items() if k.startswith(prefix)}
    return arrays, restored['metadata']

  def restore_newest_good(
    self,
  ) -> tuple[int, dict[str, np.ndarray], dict[str, Any]] | None:
    """Newest checkpoint that verifies; damaged ones are set aside.

    Returns:
      Step, arrays by name and metadata; None if there is no checkpoint.

    Raises:
      CorruptCheckpointError: if there are checkpoints and all are damaged.
      UnreadableCheckpointError: if reading one failed for another reason.
    """
    damaged = []
    for step in reversed(self.steps()):
      try:
        arrays, metadata = self.restore(step)
      except CorruptCheckpointError as error:
        damaged.append((step, error))
        continue
      for bad, error in damaged:
        place = self._set_aside(bad)
        logging.error('%s; it was moved to %s', error, place)
      return step, arrays, metadata
    if damaged:
      step, error = damaged[0]
      raise CorruptCheckpointError(
        f'all checkpoints of {self.directory} are damaged (the newest,'
        f' {error}); give another --workdir, or delete that folder to begin'
        ' again'
      ) from error
    return None

  def read_metadata(self) -> dict[str, Any] | None:
    """Metadata of the newest checkpoint that has any to read, unverified."""
    for step in reversed(self.steps()):
      try:
        found = self._manager.restore(
          step, args=ocp.args.Composite(metadata=ocp.args.JsonRestore())
        )['metadata']
      except Exception:  # Of Orbax, of many kinds; `restore` names them.
        continue
      if isinstance(found, dict):
        return found
    return None

  def _set_aside(self, step: int) -> epath.Path:
    """Moves a checkpoint out of the way without losing it; returns where."""
    aside = self.directory.parent / 'corrupt_checkpoints'
    number, target = 0, aside / str(step)
    while target.exists():
      number += 1
      target = aside / f'{step}_{number}'
    if jax.process_index() == 0:
      aside.mkdir(parents=True, exist_ok=True)
      (self.directory / str(step)).rename(target)
    ocp.multihost.sync_global_processes('checkpoint set aside')
    self._manager.reload()
    return target

  def _failed(self, step: int, error: BaseException) -> errors.TrainingError:
    if lost := cluster.lost(error):
      return lost
    kept = ', '.join(str(x) for x in self.steps() if x != step) or 'none'
    return errors.cannot_write(
      f'checkpoint {step} of {self.directory}',
      error,
      f'{errors.remedy_of_writing(error)} and run the same command again'
      f' (whole checkpoints: {kept})',
      errors.TrainingError,
    )


def _damage(
  step: int,
  arrays: Mapping[str, np.ndarray],
  digests: Mapping[str, str],
  metadata: Mapping[str, Any],
) -> str | None:
  """What is wrong with the contents of a checkpoint; None if nothing is."""
  digests = dict(digests)
  # Those of earlier versions have none.
  if digests.pop(_METADATA, None) not in (None, _digest_json(metadata)):
    return 'its metadata are not what was saved'
  if arrays.keys() != digests.keys():
    return 'arrays or digests are missing'
  for name, value in arrays.items():
    if named_arrays.digest(value) != digests[name]:
      return f'{name!r} is not what was saved'
  for found in (arrays.get('step', step), metadata.get('step', step)):
    if int(found) != step:
      return f'it holds step {int(found)}'
  return None


def _digest_json(value: Any) -> str:
  # As it is when read again: lists for tuples, and keys that are strings.
  text = json.dumps(json.loads(json.dumps(value)), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


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
