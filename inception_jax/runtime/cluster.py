"""Start-up and end of several processes; the only place that knows of hosts."""

import atexit
from collections.abc import Iterator
import contextlib
import ctypes
import os
import re
import signal
import traceback
from typing import Any

from absl import logging
import jax
from jax.experimental import multihost_utils
import numpy as np

from inception_jax.runtime import errors, joining, launchers, peers, words

# For all processes of a run to be there.
SECONDS_TO_JOIN = 300.0
# For all to be there when one only comes to say why it cannot work.
_SECONDS_TO_SAY = 20.0
_OF_OTHERS = re.compile(
  'gloo|nccl|connection|barrier|heartbeat|coordinat|UNAVAILABLE|'
  'DEADLINE_EXCEEDED',
  re.IGNORECASE,
)


class _Membership:
  """Of this process in a run; none before `initialize`."""

  others: peers.Peers | None = None
  has_tried = False
  is_alone = False  # By a command of one process, beside other hosts.
  on_abort: Any = None  # Kept, else it would be freed.


def initialize(
  seconds: float = SECONDS_TO_JOIN,
  port: int | None = None,
  is_silent: bool = False,
) -> None:
  """Joins the other processes of the run, if there are any.

  Reads `JAX_COORDINATOR_ADDRESS` (host:port of process 0), `JAX_NUM_PROCESSES`
  and `JAX_PROCESS_ID`. Without them JAX finds out by itself: on TPU VMs, on
  GKE, under Slurm and Open MPI. One host starts nothing. From then on this
  process ends when another fails (see `peers`).

  Args:
    seconds: for all to be there.
    port: of process 0, where no variable gives its address; None is JAX's.
    is_silent: whether nothing is logged.

  Raises:
    InputError: if only some of the variables are set, or one is no number; or
      if the others do not come.
  """
  launch = launchers.detect()
  if launch is None:
    return
  if port is not None:
    os.environ[launchers.PORT_VARIABLE] = str(port)
  _Membership.has_tried = True
  _say_so_when_aborted()
  joining.join(launch, seconds, is_silent)
  _Membership.others = peers.Peers(
    joining.state().client,
    number_of_process(),
    num_processes(),
    peers.end_now,
  )
  _Membership.others.start()
  atexit.register(_finish)
  if not is_silent:
    logging.info(
      'process %d of %d, started by %s',
      number_of_process(),
      num_processes(),
      launch.launcher,
    )


def check_alone(mode: str) -> None:
  """Sees to it that a command of one process runs in one.

  On one of several TPU hosts it computes on the CPU, since the TPU of one host
  waits for those of the others.

  Args:
    mode: the command.

  Raises:
    InputError: if it was started in several.
  """
  launch = launchers.detect()
  if launch is None or launch.num_processes == 1:
    return
  if launch.is_on_google_cloud:
    _Membership.is_alone = True
    if jax.config.jax_platforms != 'cpu':
      logging.info(
        '--mode=%s runs in one process, and this is one of %d hosts of %s: it'
        ' computes on the CPU',
        mode,
        launch.num_processes,
        launch.launcher,
      )
      jax.config.update('jax_platforms', 'cpu')
    return
  remedy = {
    'variables': f'once, without {words.join(launchers.VARIABLES)}',
    'slurm': 'as one task, with srun --ntasks=1',
    'ompi': 'once, with mpirun -n 1 or without it',
  }.get(launch.method, 'once')
  raise errors.InputError(
    f'--mode={mode} runs in one process; start it {remedy}'
  )


def num_processes() -> int:
  """Of the run. Unlike JAX's, takes no device."""
  return joining.state().num_processes if is_joined() else 1


def number_of_process() -> int:
  """Of this process, from 0. Unlike JAX's, takes no device."""
  return joining.state().process_id if is_joined() else 0


def is_joined() -> bool:
  """Whether this is one of several processes that have found each other."""
  return jax.distributed.is_initialized()


def client() -> Any:
  """Of JAX's coordination service."""
  return joining.state().client


def find_devices() -> None:
  """Has JAX find the devices of several processes.

  All must do so at the same time, and whatever asks for devices first would.
  """
  if is_joined():
    jax.devices()


def failure() -> errors.UserFacingError | None:
  """The error for another process that has said why it ended."""
  return _Membership.others and _Membership.others.failure()


def lost(error: BaseException) -> errors.UserFacingError | None:
  """The error for a failure of JAX that another process has caused.

  Args:
    error: what JAX or Orbax raised.

  Returns:
    None where there is one process, and for other failures.
  """
  if _Membership.others is None or num_processes() == 1:
    return None
  if isinstance(error, peers.OtherProcessError):
    return error
  if isinstance(error, errors.UserFacingError):
    return None
  if not _OF_OTHERS.search(str(error)):
    return None
  return _Membership.others.explanation()


def wrong_platforms(error: BaseException) -> errors.InputError | None:
  """The error for a failure of JAX to start what `JAX_PLATFORMS` names.

  Args:
    error: what JAX raised, or what was raised from it. For a platform without
      devices JAX raises an assertion without a word.

  Returns:
    None for other failures.
  """
  platforms = jax.config.jax_platforms
  found = filter(_is_of_start, errors.chain(error))
  error = next(found, None)
  if not platforms or error is None:
    return None
  reason = 'it finds no device'
  if str(error):
    reason = errors.first_line(error).split(' (set JAX')[0]
  return errors.InputError(
    f'JAX_PLATFORMS={platforms!r} is nothing that JAX can start here'
    f' ({reason}); unset it, or set it to cpu'
  )


def _is_of_start(error: BaseException) -> bool:
  """Whether JAX raised an error while it started its platforms."""
  if not isinstance(error, (RuntimeError, AssertionError)):
    return False
  frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
  name = frames[-1].f_code.co_filename if frames else ''
  return os.path.basename(name) == 'xla_bridge.py'


@contextlib.contextmanager
def closing() -> Iterator[None]:
  """Around what is brought to its end though another process has failed."""
  if _Membership.others is None:
    yield
    return
  with _Membership.others.closing():
    yield


def leave(error: BaseException) -> None:
  """Tells the other processes what ends this one, and ends it.

  Does nothing, and returns, where there is one process, and where all stop
  together. Call it when the sentence is out.

  Args:
    error: that ends it; of one that is not meant for users the first line is
      told, and the traceback printed.
  """
  is_signal = isinstance(error.__cause__, KeyboardInterrupt)
  if isinstance(error, errors.Interrupted) and not is_signal:
    return  # A step that all have finished.
  if not isinstance(error, errors.UserFacingError):
    if _Membership.others is not None:  # Else the interpreter prints it.
      traceback.print_exception(error)
    error = errors.InputError(errors.first_line(error))
  if not _Membership.has_tried and not _Membership.is_alone:
    with contextlib.suppress(errors.UserFacingError, KeyboardInterrupt):
      initialize(_SECONDS_TO_SAY, is_silent=True)
  if _Membership.others is not None:
    _Membership.others.tell(error)
  if _Membership.has_tried:
    peers.end_now(error, is_said=True)


def is_main_process() -> bool:
  """Whether this process writes the files of the run."""
  return number_of_process() == 0


def gather(tree: Any) -> Any:
  """Rows of all processes, in their order, on every process.

  Args:
    tree: of host arrays `[n, ...]`, of the same shapes on every process.

  Returns:
    A tree of arrays `[num_processes * n, ...]`.
  """
  if jax.process_count() == 1:
    return tree
  return jax.tree.map(
    lambda x: np.asarray(x).reshape(-1, *x.shape[2:]),
    multihost_utils.process_allgather(tree),
  )


def local_slots(batch_size: int) -> np.ndarray:
  """Places in the global batch that this process holds, int32, contiguous.

  Args:
    batch_size: global batch size.

  Raises:
    InputError: if the batch does not divide over all devices.
  """
  num_devices = jax.device_count()
  if batch_size % num_devices:
    raise errors.InputError(
      f'config.train.batch_size={batch_size} does not divide over {num_devices}'
      f' devices; use a multiple of {num_devices}'
    )
  share = batch_size // jax.process_count()
  start = share * jax.process_index()
  return np.arange(start, start + share, dtype=np.int32)


def _say_so_when_aborted() -> None:
  """Makes a sentence the last line when JAX aborts this process.

  JAX's client aborts, from a thread of its own and below Python, when the
  coordinator or another process is gone.
  """

  def on_abort(_):
    known = _Membership.others
    found = known and (known.failure() or known.lost())
    if found is None:
      state = joining.state()
      address = state.coordinator_address
      who = 'another process'
      if state.process_id and address and not joining.is_listening(address):
        who = f'process 0 of {state.num_processes}'
      found = peers.OtherProcessError(
        f'{who} of this run has ended or cannot be reached: see its own'
        f' messages, then {joining.START_AGAIN}'
      )
    peers.end_now(found)

  handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(on_abort)
  ctypes.CDLL(None).signal(signal.SIGABRT, handler)
  _Membership.on_abort = handler


def _finish() -> None:
  """Before JAX's own end, which waits for the others without a word."""
  try:
    _Membership.others.finish()
  except errors.UserFacingError as error:
    peers.end_now(error)
