"""A run directory is one command's: no two train in it at the same time."""

from collections.abc import Iterator
import contextlib

from etils import epath

from inception_jax.runtime import cluster, errors, locks

_REMEDY = 'wait for it or give another --workdir'


@contextlib.contextmanager
def claim(workdir: epath.PathLike) -> Iterator[None]:
  """Holds the lock of a run directory, which is made if need be.

  The first process of a run holds it; the others hear of it.

  Args:
    workdir: run directory, also one that is not there yet.

  Raises:
    HeldError: if another command trains in it, on every process of this one.
    InputError: if the lock cannot be written.
  """
  with contextlib.ExitStack() as stack:
    held = None
    if cluster.is_main_process():
      try:
        stack.enter_context(
          locks.hold(
            epath.Path(workdir) / locks.FILE,
            f'trains in {workdir}',
            _REMEDY,
          )
        )
      except locks.HeldError as error:
        held = error.who
      except OSError as error:
        raise errors.cannot_write(
          f'--workdir={workdir}', error, 'give another folder'
        ) from error
    held = cluster.broadcast(held)
    if held is not None:
      raise locks.HeldError(held, _REMEDY)
    yield
