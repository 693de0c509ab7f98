"""A run directory is one command's: no two train in it at the same time."""

from collections.abc import Iterator
import contextlib
import socket
import time
import uuid

from etils import epath

from inception_jax.runtime import agreement, cluster, errors, locks

_SECONDS_TO_APPEAR = 15.0
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
            f'training in {workdir}',
            _REMEDY,
          )
        )
      except locks.HeldError as error:
        held = error.who
      except OSError as error:
        raise errors.cannot_write(
          f'--workdir={workdir}', error, 'give another folder'
        ) from error
    held = agreement.broadcast(held)
    if held is not None:
      raise locks.HeldError(held, _REMEDY)
    _check_shared(epath.Path(workdir))
    yield


def _check_shared(workdir: epath.Path) -> None:
  """Raises InputError, on all processes, unless they see the same folder."""
  if cluster.num_processes() == 1:
    return
  name = agreement.broadcast(f'.shared_{uuid.uuid4().hex}')
  token = workdir / name
  if cluster.is_main_process():
    try:
      token.write_text('')
    except OSError as error:
      raise errors.cannot_write(
        f'--workdir={workdir}', error, 'give another folder'
      ) from error
  agreement.exchange(None)  # It is there.
  found = agreement.exchange(
    [_appears(token), f'{workdir} of host {socket.gethostname()}']
  )
  if cluster.is_main_process():
    token.unlink(missing_ok=True)
  for process, (seen, place) in enumerate(found):
    if not seen:
      raise errors.InputError(
        f'--workdir must be one folder for all processes of a run, but'
        f' {found[0][1]}, of process 0, is not {place}, of process {process};'
        ' give a folder on a drive that they share'
      )


def _appears(path: epath.Path) -> bool:
  # Network drives may show a new file to others after some seconds.
  deadline = time.monotonic() + _SECONDS_TO_APPEAR
  while not path.exists():
    if time.monotonic() > deadline:
      return False
    time.sleep(0.1)
  return True
