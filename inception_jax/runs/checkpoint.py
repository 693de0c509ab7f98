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
import contextlib
from typing import Any

from absl import logging
from etils import epath
import jax
import numpy as np
import orbax.checkpoint as ocp

from inception_jax.runs import named_arrays, verification
from inception_jax.runtime import (
  agreement,
  cluster,
  durable,
  errors,
  paths,
  read_failures,
)


class CorruptCheckpointError(errors.InputError):
  """A checkpoint whose files are missing, damaged, or of another step."""


class UnreadableCheckpointError(errors.InputError):
  """A checkpoint that cannot be read just now; it may be good."""


class Checkpoints:
  """The checkpoints of one folder.

  At every moment there is a whole checkpoint that outlasts a loss of power: in
  the background the new one is written, then synced to the disk, and only then
  an older one is deleted. Until then there is one more than `keep`.

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
    self._background = futures.ThreadPoolExecutor(1, 'checkpoint')
    self._synced: set[int] = set()
    self._deleted: set[int] = set()  # Of which Orbax does not know.
    self._manager = self._open(read_only)

  def _open(self, read_only: bool) -> ocp.CheckpointManager:
    """Opens the folder; raises UnreadableCheckpointError if it cannot be."""
    policy = ocp.checkpoint_managers.preservation_policy
    try:
      found = self._folders()
      manager = ocp.CheckpointManager(
        self.directory,
        options=ocp.CheckpointManagerOptions(
          # Orbax deletes before the newest is synced.
          preservation_policy=policy.PreserveAll()
          if durable.is_local(self.directory)
          else policy.LatestN(self._keep),
          create=not read_only,
          cleanup_tmp_directories=not read_only,
        ),
      )
      # To Orbax what cannot be looked at just now does not exist, and a run
      # would begin again or go on from an older step.
      missing = found - set(manager.all_steps())
      if unlisted := missing & self._folders():
        raise OSError(f'checkpoint {max(unlisted)} cannot be looked at')
    except Exception as error:  # Of Orbax and remote folders, of many kinds.
      reason = read_failures.cause(error, self.directory)
      raise UnreadableCheckpointError(
        f'the checkpoints of {self.directory} cannot be read just now'
        f' ({reason or errors.first_line(error)[:300]}); they are left as they'
        ' are: mend that and run the same command again'
      ) from error
    return manager

  def _folders(self) -> set[int]:
    """Steps that have a folder on this machine; raises OSError."""
    names = read_failures.folders(self.directory)
    return {int(x) for x in names if x.isdecimal() and str(int(x)) == x}

  def steps(self) -> list[int]:
    """Steps that have a checkpoint, ascending."""
    return sorted(set(self._manager.all_steps()) - self._deleted)

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
      for name, leaf in named_arrays.flatten(named_arrays.to_host(tree)).items()
    }
    try:
      self._manager.save(
        step,
        args=ocp.args.Composite(
          arrays=ocp.args.StandardSave(flat),
          digests=ocp.args.JsonSave(verification.digests(flat, metadata)),
          metadata=ocp.args.JsonSave(dict(metadata)),
        ),
        force=True,
      )
    except Exception as error:  # Orbax wraps what went wrong in many kinds.
      raise self._failed(step, error) from error
    self._pending = step, self._background.submit(self._finish, step)

  def _finish(self, step: int) -> None:
    """Waits until a checkpoint is written, syncs it, deletes the oldest."""
    self._manager.wait_until_finished()
    if not durable.is_local(self.directory):
      return  # The store keeps what it has, and Orbax has deleted.
    steps = self.steps()
    writes = jax.process_index() == 0  # The first process writes all of it.
    for kept in steps[-self._keep :]:
      # What an earlier process has left may not be on the disk either.
      if writes and kept not in self._synced:
        durable.sync_tree(self.directory / str(kept))
        durable.sync_folder(self.directory.parent)
      self._synced.add(kept)
    for old in steps[: -self._keep]:
      if writes:
        self._delete(old)
      self._deleted.add(old)

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
    """Waits; raises as `wait` does."""
    try:
      self.wait()
    finally:
      self._background.shutdown()
      # Orbax raises again what an earlier `wait` has raised.
      with contextlib.suppress(Exception):
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
    for is_last in (False, True):
      try:
        arrays, metadata = self._read(step)
        break
      except CorruptCheckpointError:
        # What only failed to be found, or was read wrongly, is there now.
        if is_last:
          raise
    arrays = {k: v for k, v in arrays.items() if k.startswith(prefix)}
    return arrays, metadata

  def _read(self, step: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
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
      damage = verification.damage(
        step, arrays, restored['digests'], restored['metadata']
      )
    except Exception as error:
      self._check_passing(step, error)
      raise CorruptCheckpointError(
        f'checkpoint {path} is damaged: {errors.first_line(error)[:150]}'
      ) from error
    if damage:
      raise CorruptCheckpointError(f'checkpoint {path} is damaged: {damage}')
    return arrays, restored['metadata']

  def _check_passing(self, step: int, error: Exception) -> None:
    """Raises UnreadableCheckpointError unless `error` tells of damage."""
    path = self.directory / str(step)
    if reason := read_failures.cause(error, path):
      raise UnreadableCheckpointError(
        f'checkpoint {path} cannot be read just now ({reason}); it is left as'
        ' it is: mend that and run the same command again'
      ) from error

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
      error = None
      try:
        arrays, metadata = self.restore(step)
      except CorruptCheckpointError as found:
        error = found
      # All take the same, whoever may have read it otherwise.
      said = agreement.exchange(error and str(error))
      if texts := [x for x in said if x]:
        damaged.append((step, error or CorruptCheckpointError(texts[0])))
        continue
      for bad, error in damaged:
        place = self._set_aside(bad, error)
        logging.error('%s; it was moved to %s', error, place)
      return step, arrays, metadata
    if damaged:
      step, error = damaged[0]
      raise CorruptCheckpointError(
        f'all checkpoints of {self.directory} are damaged and left as they are'
        f' (the newest, {error}); give another --workdir, or delete'
        f' {self.directory} to begin again'
      ) from error
    return None

  def read_metadata(self) -> dict[str, Any] | None:
    """Metadata of the newest checkpoint that has any, unverified.

    Raises:
      UnreadableCheckpointError: if reading failed for another reason.
    """
    for step in reversed(self.steps()):
      try:
        found = self._manager.restore(
          step, args=ocp.args.Composite(metadata=ocp.args.JsonRestore())
        )['metadata']
      except Exception as error:  # Of Orbax, of many kinds.
        self._check_passing(step, error)
        continue
      if isinstance(found, dict):
        return found
    return None

  def _set_aside(self, step: int, error: CorruptCheckpointError) -> epath.Path:
    """Moves a checkpoint out of the way without losing it; returns where."""
    aside = self.directory.parent / 'corrupt_checkpoints'
    number, target = 0, aside / str(step)
    while target.exists():
      number += 1
      target = aside / f'{step}_{number}'
    if jax.process_index() == 0:
      try:
        aside.mkdir(parents=True, exist_ok=True)
        (self.directory / str(step)).rename(target)
      except OSError as failure:
        raise errors.InputError(
          f'{error}; it cannot be moved to {target}'
          f' ({failure.strerror or failure}): move it away and run the same'
          ' command again'
        ) from failure
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
