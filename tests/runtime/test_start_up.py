"""Four workers that find each other, each as its launcher says it.

The metadata server is faked, and so is JAX's knowledge that there is a TPU:
without chips it sees no TPU VM. All else is JAX's own.
"""

import json
import os
import subprocess
import sys

import launch
import metadata_server
import pytest

COUNT = 4
WORKER = """
import json, os, sys
import jax
from jax._src.clusters import cloud_tpu_cluster, cluster as jax_cluster

is_tpu, port = json.loads(sys.argv[1])
os.environ.pop('TPU_SKIP_MDS_QUERY', None)
for module in (cloud_tpu_cluster, jax_cluster):
  module.running_in_cloud_tpu_vm = is_tpu

from inception_jax.runtime import cluster, joining, launchers

launchers._may_be_several = lambda: True
cluster.initialize(120, port=port)
print(json.dumps({
  'number': cluster.number_of_process(),
  'count': cluster.num_processes(),
  'address': joining.state().coordinator_address,
  'processes_of_jax': jax.process_count(),
}))
"""


def gce(number, server):
  return {'GCE_METADATA_IP': server(number)}


def gke(number, server):
  return {
    **gce(number, server),
    'TPU_WORKER_HOSTNAMES': ','.join(['localhost'] * COUNT),
    'TPU_WORKER_ID': str(number),
    'MEGASCALE_NUM_SLICES': '1',
    'MEGASCALE_SLICE_ID': '0',
    'TPU_SKIP_MDS_QUERY': '1',
  }


def slurm(number, unused_server):
  return {
    'SLURM_JOB_ID': '77',
    'SLURM_STEP_NODELIST': 'localhost,b,c,d',
    'SLURM_NTASKS': str(COUNT),
    'SLURM_STEP_NUM_TASKS': str(COUNT),
    'SLURM_PROCID': str(number),
    'SLURM_LOCALID': '0',
  }


def open_mpi(number, unused_server):
  return {
    'OMPI_MCA_orte_hnp_uri': '1531576320.0;tcp://127.0.0.1:34911',
    'OMPI_COMM_WORLD_SIZE': str(COUNT),
    'OMPI_COMM_WORLD_RANK': str(number),
    'OMPI_COMM_WORLD_LOCAL_RANK': '0',
  }


def nothing(unused_number, unused_server):
  return {}


@pytest.fixture
def metadata():
  """From the number of a worker to the address of its metadata server."""
  servers = []

  def serve(number):
    servers.append(
      metadata_server.MetadataServer(
        {
          'agent-worker-number': str(number),
          'worker-network-endpoints': ','.join(['localhost'] * COUNT),
          'tpu-env': "ACCELERATOR_TYPE: 'v5litepod-16'\n",
        }
      )
    )
    return servers[-1].address

  yield serve
  for server in servers:
    server.close()


@pytest.mark.parametrize('kind', [gce, gke, slurm, open_mpi, nothing])
def test_four_workers(kind, metadata):
  port = launch.free_port()
  base = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(('SLURM_', 'OMPI_', 'TPU_', 'JAX_', 'GCE_'))
  }
  processes = [
    subprocess.Popen(
      [sys.executable, '-c', WORKER, json.dumps([kind in (gce, gke), port])],
      env={
        **base,
        'JAX_PLATFORMS': 'cpu',
        'GCE_METADATA_IP': '127.0.0.1:9',
        **kind(number, metadata),
      },
      cwd=launch.ROOT,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for number in range(COUNT)
  ]
  outputs = [process.communicate(timeout=180) for process in processes]
  for process, (_, said) in zip(processes, outputs, strict=True):
    assert process.returncode == 0, said
  found = [json.loads(out.splitlines()[-1]) for out, _ in outputs]
  if kind is nothing:
    alone = {'number': 0, 'count': 1, 'address': None, 'processes_of_jax': 1}
    assert found == [alone] * COUNT
    return
  assert [x['number'] for x in found] == list(range(COUNT))
  for one in found:
    assert one['count'] == one['processes_of_jax'] == COUNT
    assert one['address'] in (f'localhost:{port}', f'127.0.0.1:{port}')
