"""What starts the processes of a run, as each launcher says it."""

import contextlib
import types

import metadata_server
import pytest

from inception_jax.runtime import cluster, errors, launchers

SLURM = {
  'SLURM_JOB_ID': '77',
  'SLURM_STEP_NODELIST': 'node[01-04]',
  'SLURM_NTASKS': '4',
  'SLURM_STEP_NUM_TASKS': '4',
  'SLURM_PROCID': '3',
  'SLURM_LOCALID': '0',
}
OPEN_MPI = {
  'OMPI_MCA_orte_hnp_uri': '1531576320.0;tcp://10.0.0.1:34911',
  'OMPI_COMM_WORLD_SIZE': '2',
  'OMPI_COMM_WORLD_RANK': '1',
  'OMPI_COMM_WORLD_LOCAL_RANK': '0',
}
GKE = {
  'TPU_WORKER_HOSTNAMES': 'a,b,c,d',
  'TPU_WORKER_ID': '2',
  'MEGASCALE_NUM_SLICES': '1',
  'MEGASCALE_SLICE_ID': '0',
}
BY_HAND = dict(zip(launchers.VARIABLES, ('a:1', '2', '1'), strict=True))


@pytest.fixture
def environ(monkeypatch):
  """Sets variables in an environment that has none of these."""
  for values in (SLURM, OPEN_MPI, GKE, BY_HAND):
    for name in values:
      monkeypatch.delenv(name, raising=False)
  monkeypatch.setattr(launchers.importlib.util, 'find_spec', lambda name: None)

  def set_all(values):
    for name, value in values.items():
      monkeypatch.setenv(name, value)

  return set_all


@pytest.fixture
def tpu_vm(environ, monkeypatch):
  """A TPU VM, as JAX sees it, without a metadata server."""
  from jax._src.clusters import cloud_tpu_cluster

  monkeypatch.setattr(cloud_tpu_cluster, 'running_in_cloud_tpu_vm', True)
  monkeypatch.setattr(
    launchers.importlib.util, 'find_spec', lambda name: 'libtpu'
  )
  monkeypatch.delenv('TPU_SKIP_MDS_QUERY', raising=False)
  monkeypatch.setenv('GCE_METADATA_IP', '127.0.0.1:9')


@pytest.fixture
def serve(tpu_vm, monkeypatch):
  """Gives the TPU VM a metadata server with these attributes."""
  with contextlib.ExitStack() as stack:

    def start(**attributes):
      attributes = {k.replace('_', '-'): v for k, v in attributes.items()}
      server = metadata_server.MetadataServer(attributes)
      stack.callback(server.close)
      monkeypatch.setenv('GCE_METADATA_IP', server.address)

    yield start


@pytest.mark.parametrize(
  'number, endpoints',
  [
    (0, 'a,b,c,d'),
    (3, 'a,b,c,d'),
    (1, 'x:0:10.0.0.1,x:1:10.0.0.2,x:2:10.0.0.3,x:3:10.0.0.4'),
  ],
)
def test_workers_of_tpu_vms(serve, number, endpoints):
  serve(
    agent_worker_number=str(number),
    worker_network_endpoints=endpoints,
    tpu_env="ACCELERATOR_TYPE: 'v5litepod-16'\n",
  )
  found = launchers.detect()
  assert found == ('gcetpu', 4, number)
  assert found.launcher == 'Google Cloud TPU VMs' and found.is_on_google_cloud


def test_two_slices_of_tpu_vms(serve):
  serve(
    agent_worker_number='1',
    worker_network_endpoints='a,b',
    tpu_env="MEGASCALE_NUM_SLICES: '2'\nMEGASCALE_SLICE_ID: '1'\n",
  )
  assert launchers.detect() == ('gcetpu', 4, 3)


def test_one_host_of_tpu_vms_is_alone(serve, monkeypatch):
  serve(agent_worker_number='0', worker_network_endpoints='a', tpu_env='')
  assert launchers.detect() is None
  monkeypatch.setenv('TPU_SKIP_MDS_QUERY', '1')  # Colab and Kaggle.
  assert launchers.detect() is None


def test_no_metadata_server_is_one_host(tpu_vm):
  assert launchers.detect() is None


@pytest.mark.parametrize(
  'variables, expected, name',
  [
    (SLURM, ('slurm', 4, 3), 'Slurm'),
    (OPEN_MPI, ('ompi', 2, 1), 'Open MPI'),
    (BY_HAND, ('variables', 2, 1), 'variables'),
    ({**SLURM, **BY_HAND}, ('variables', 2, 1), 'variables'),
  ],
)
def test_variables_of_launchers(environ, variables, expected, name):
  environ(variables)
  found = launchers.detect()
  assert found == expected and found.launcher == name
  assert not found.is_on_google_cloud


def test_workers_of_gke(tpu_vm, environ):
  environ(GKE)
  assert launchers.detect() == ('gketpu', 4, 2)
  environ({'TPU_WORKER_HOSTNAMES': 'localhost', 'TPU_WORKER_ID': '0'})
  assert launchers.detect() is None


@pytest.mark.parametrize(
  'variables',
  [
    {},
    {**SLURM, 'SLURM_STEP_NUM_TASKS': '1'},
    # In a batch script, outside of srun, there is one.
    {k: v for k, v in SLURM.items() if not k.startswith('SLURM_STEP')},
    {**OPEN_MPI, 'OMPI_COMM_WORLD_SIZE': '1', 'OMPI_COMM_WORLD_RANK': '0'},
    # Without a TPU these are of another program.
    GKE,
    {'KUBERNETES_SERVICE_HOST': '10.0.0.1', 'TPU_WORKER_HOSTNAMES': 'a'},
  ],
)
def test_one_process_is_alone(environ, variables):
  environ(variables)
  assert launchers.detect() is None


def test_one_task_of_an_allocation_is_alone_where_libtpu_is(tpu_vm, environ):
  environ({**SLURM, 'SLURM_STEP_NUM_TASKS': '1'})
  assert launchers.detect() is None


def test_a_launcher_that_does_not_say_enough(environ):
  environ({'OMPI_MCA_orte_hnp_uri': 'x'})
  with pytest.raises(
    errors.InputError, match='Open MPI has started .* set JAX'
  ):
    launchers.detect()


@pytest.mark.parametrize(
  'values, message',
  [
    (('host:1', '', '0'), 'JAX_NUM_PROCESSES is not set, though'),
    (('host:1', 'two', '0'), "whole numbers, not 'two' and '0'"),
    (('host:1', '2', '2'), 'JAX_PROCESS_ID=2 must be from 0 to'),
  ],
)
def test_variables_that_do_not_fit(environ, values, message):
  environ(dict(zip(launchers.VARIABLES, values, strict=True)))
  with pytest.raises(errors.InputError, match=message):
    launchers.detect()


def test_a_command_of_one_process_on_a_host_of_several(
  tpu_vm, environ, monkeypatch
):
  environ(GKE)
  monkeypatch.setattr(cluster._Membership, 'is_alone', False)
  said = {}
  config = types.SimpleNamespace(
    jax_platforms='tpu,cpu', update=said.__setitem__
  )
  monkeypatch.setattr(cluster.jax, 'config', config)
  cluster.check_alone('predict')
  assert said == {'jax_platforms': 'cpu'}
  # It does not look for the others when it fails.
  monkeypatch.setattr(cluster, 'initialize', None)
  cluster.leave(errors.InputError('no such file'))
