"""Host batches onto the local devices, ahead of their use. Needs no TF."""

import collections
from collections.abc import Iterable, Iterator
import itertools

import jax
import numpy as np

# Name of the local devices' axis, in meshes and in what pmap compiles.
AXIS = 'batch'


def local_mesh() -> jax.sharding.Mesh:
  """The devices of this process, along one axis."""
  return jax.sharding.Mesh(np.array(jax.local_devices()), (AXIS,))


def shard(batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
  """Divides a host batch over the local devices.

  Args:
    batch: arrays `[n, ...]`, n divisible by the number of local devices.

  Returns:
    Arrays `[num_local_devices, n / num_local_devices, ...]`, one row a device,
    as `jax.pmap` takes them without a copy.
  """
  mesh = local_mesh()
  sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))
  num_devices = mesh.devices.size
  return {
    name: jax.device_put(
      value.reshape(num_devices, -1, *value.shape[1:]), sharding
    )
    for name, value in batch.items()
  }


def divisible(batch_size: int) -> int:
  """The least multiple of the number of devices that is not smaller.

  For evaluations, where what is too much is padding.
  """
  num_devices = jax.device_count()
  return -(-batch_size // num_devices) * num_devices


def replicate(tree):
  """Puts a tree on every local device, one copy each.

  Without this a donated argument of a multi-process pmap is deleted twice.
  """
  sharding = jax.sharding.NamedSharding(
    local_mesh(), jax.sharding.PartitionSpec()
  )
  return jax.device_put(tree, sharding)


def prefetch(
  batches: Iterable[dict[str, np.ndarray]], depth: int = 2
) -> Iterator[dict[str, jax.Array]]:
  """Keeps `depth` batches on their way to the devices."""
  source = iter(batches)
  queue = collections.deque(
    shard(batch) for batch in itertools.islice(source, depth)
  )
  while queue:
    yield queue.popleft()
    queue.extend(shard(batch) for batch in itertools.islice(source, 1))
