"""What has started this process, and how many others of the same run.

JAX's own detection decides (`jax._src.clusters`), which is private: `detect`
is the only place that knows of it. What has one host starts no cluster.
"""

import contextlib
import importlib.util
import os
from typing import Any, NamedTuple

from inception_jax.runtime import errors, words

# Set on each process of a hand-made cluster.
VARIABLES = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
# JAX reads it wherever the launcher gives no port.
PORT_VARIABLE = 'JAX_COORDINATOR_PORT'
# Names of JAX's detections for people. Its others need more packages, and take
# a notebook on Kubernetes for a run of several processes.
_NAMES = {
  'gcetpu': 'Google Cloud TPU VMs',
  'gketpu': 'GKE',
  'slurm': 'Slurm',
  'ompi': 'Open MPI',
}
_ON_GOOGLE_CLOUD = ('gcetpu', 'gketpu')
# Set in a step of Slurm, which srun starts, and not in the script around it.
_SLURM_TASKS = 'SLURM_STEP_NUM_TASKS'


class Launch(NamedTuple):
  """How this process was started.

  Attributes:
    method: 'variables', or the name of JAX's detection.
    num_processes: of the run; may be one if variables say so.
    process_id: of this one, from 0.
  """

  method: str
  num_processes: int
  process_id: int

  @property
  def launcher(self) -> str:
    """For messages."""
    return _NAMES.get(self.method, 'variables')

  @property
  def is_on_google_cloud(self) -> bool:
    return self.method in _ON_GOOGLE_CLOUD


def read_variables() -> dict[str, Any] | None:
  """Arguments of JAX's `initialize`; None if no variable is set.

  Raises:
    InputError: if only some are set, or one is no number in its range.
  """
  values = [os.environ.get(name) for name in VARIABLES]
  if not any(values):
    return None
  for name, value in zip(VARIABLES, values, strict=True):
    if not value:
      raise errors.InputError(
        f'the environment variable {name} is not set, though others of'
        f' {words.join(VARIABLES)} are; set all three or none'
      )
  try:
    count, number = int(values[1]), int(values[2])
  except ValueError as error:
    raise errors.InputError(
      'JAX_NUM_PROCESSES and JAX_PROCESS_ID must be whole numbers, not'
      f' {values[1]!r} and {values[2]!r}'
    ) from error
  if not 0 <= number < count:
    raise errors.InputError(
      f'JAX_PROCESS_ID={number} must be from 0 to JAX_NUM_PROCESSES - 1, which'
      f' is {count - 1}'
    )
  return {
    'coordinator_address': values[0],
    'num_processes': count,
    'process_id': number,
  }


def detect() -> Launch | None:
  """Finds out what has started this process.

  Takes no device. Asks the metadata server on TPU VMs.

  Returns:
    None where this process is the only one of its run.

  Raises:
    InputError: if what a launcher has set does not fit together.
  """
  arguments = read_variables()
  if arguments is not None:
    return Launch(
      'variables', arguments['num_processes'], arguments['process_id']
    )
  if not _may_be_several():
    return None
  from jax._src import clusters  # Seconds, and only where it can matter.

  for kind in clusters.ClusterEnv._cluster_types:
    if (name := kind.name) not in _NAMES or not _is_present(kind):
      continue
    try:
      count, number = kind.get_process_count(), kind.get_process_id()
    except Exception as error:
      raise errors.InputError(
        f'{_NAMES[name]} has started this process, but does not say'
        f' which of how many it is ({errors.first_line(error)}); set'
        f' {words.join(VARIABLES)}'
      ) from error
    if name == 'slurm' and num_slurm_tasks() < 2:
      return None
    return Launch(name, count, number) if count > 1 else None
  return None


def num_slurm_tasks() -> int:
  """Tasks of the step that srun started, not of the allocation around it."""
  tasks = os.environ.get(_SLURM_TASKS, '1')
  return int(tasks) if tasks.isdigit() else 1


def _may_be_several() -> bool:
  """Whether it is worth importing JAX to ask; seconds before a refusal."""
  variables = ('OMPI_MCA_orte_hnp_uri', 'TPU_LIBRARY_PATH')
  variables += ('TPU_WORKER_HOSTNAMES', 'TPU_PROCESS_ADDRESSES')
  variables += ('JAX_FORCE_TPU_INIT',)
  if num_slurm_tasks() > 1 or any(x in os.environ for x in variables):
    return True
  return importlib.util.find_spec('libtpu') is not None


def _is_present(kind: Any) -> bool:
  """Whether JAX sees this kind of cluster; no where it cannot tell.

  A TPU VM without its metadata server is alone.
  """
  with contextlib.suppress(Exception):
    return bool(kind.is_env_present())
  return False
