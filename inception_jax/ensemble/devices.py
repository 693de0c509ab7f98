"""The devices of a machine, divided among processes of an ensemble."""

from collections.abc import Sequence
import os
import subprocess
import sys

from absl import logging
import jax

from inception_jax.runtime import errors

_FIELD = 'config.ensemble.num_parallel'
# What JAX finds on this machine, asked in a process that gives it back.
_PROBE = 'import jax; print(jax.default_backend(), jax.local_device_count())'


def divide(num_parallel: int) -> list[dict[str, str]]:
  """What each of several processes must find in its environment.

  From then on this process has no accelerator, which are the others'.

  Args:
    num_parallel: processes at the same time.

  Returns:
    Variables of each: an equal share of the GPUs, or none on CPUs.

  Raises:
    InputError: if this process cannot leave its devices to others, or there are
      too few.
  """
  if jax.distributed.is_initialized():
    raise errors.InputError(
      f'{_FIELD}={num_parallel} is for one process; of several, give each'
      ' machine members of its own with config.ensemble.only'
    )
  jax.config.update('jax_platforms', 'cpu')
  if jax.default_backend() != 'cpu':  # It was begun before.
    raise errors.InputError(
      f'{_FIELD}={num_parallel} is for a process that has not used its devices'
      ' yet; train by the command line'
    )
  platform, count = _run_probe()
  visible = os.environ.get('CUDA_VISIBLE_DEVICES')
  names = visible.split(',') if visible else list(map(str, range(count)))
  return _shares(platform, names[:count], num_parallel)


def _run_probe() -> tuple[str, int]:
  found = subprocess.run(
    [sys.executable, '-c', _PROBE],
    env={**os.environ, 'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'},
    stdout=subprocess.PIPE,
    text=True,
    check=False,
  )
  if found.returncode:
    raise errors.InputError(
      f'{_FIELD} needs to know the devices, which JAX cannot open; set it to 1'
      ' to see why'
    )
  platform, count = found.stdout.split()[-2:]
  return platform, int(count)


def _shares(
  platform: str, devices: Sequence[str], num_parallel: int
) -> list[dict[str, str]]:
  """See `divide`."""
  if platform == 'cpu':
    return [{} for _ in range(num_parallel)]
  if platform != 'gpu':
    raise errors.InputError(
      f'{_FIELD}={num_parallel} cannot be used on a {platform}, which is one'
      " process's; set it to 1"
    )
  size = len(devices) // num_parallel
  if not size:
    raise errors.InputError(
      f'{_FIELD}={num_parallel} is more than the {len(devices)} GPUs of this'
      ' machine; lower it'
    )
  if idle := devices[size * num_parallel :]:
    logging.warning(
      '%s=%d leaves %d of the %d GPUs idle: each member has %d',
      _FIELD,
      num_parallel,
      len(idle),
      len(devices),
      size,
    )
  return [
    {'CUDA_VISIBLE_DEVICES': ','.join(devices[start : start + size])}
    for start in range(0, size * num_parallel, size)
  ]
