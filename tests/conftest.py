"""Set-up that every test shares."""

import gc
import hashlib
import importlib.metadata
import mmap
import os
import pathlib
import platform
import tempfile


def _compilation_cache():
  """A folder outside the checkout for the programs of these versions."""
  cpu = pathlib.Path('/proc/cpuinfo')
  lines = cpu.read_text().splitlines() if cpu.exists() else []
  features = next((x for x in lines if x.startswith(('flags', 'Features'))), '')
  names = ('jax', 'jaxlib', 'flax')
  versions = [platform.python_version(), platform.machine(), features]
  versions += [importlib.metadata.version(name) for name in names]
  key = hashlib.sha256(repr(versions).encode()).hexdigest()[:16]
  return (
    pathlib.Path(os.environ.get('XDG_CACHE_HOME', '~/.cache')).expanduser()
    / f'inception_jax_tests/{key}'
  )


def _is_known(flag):
  """Whether XLA has a flag: one that it does not know ends the process."""
  import jaxlib

  name = flag.strip('-').split('=')[0].encode()
  for library in pathlib.Path(jaxlib.__file__).parent.glob('*.so'):
    with library.open('rb') as file:
      if mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ).find(name) >= 0:
        return True
  return False


# Compiling is most of the suite's time. Speed of the result does not matter
# here, and whatever is compiled twice (also in subprocesses) is kept.
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(_compilation_cache()))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.5')
os.environ['XLA_FLAGS'] = ' '.join(
  [
    os.environ.get('XLA_FLAGS', ''),
    '--xla_backend_optimization_level=0',
    *filter(
      _is_known,
      [
        '--xla_cpu_use_fusion_emitters=false',
        '--xla_cpu_parallel_codegen_split_count=1',
      ],
    ),
  ]
)
# An array that is broadcast by accident is an error.
os.environ['JAX_NUMPY_RANK_PROMOTION'] = 'raise'
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')
# Compiled programs of the user's own runs are not the tests'.
os.environ.setdefault('JAX_ENABLE_COMPILATION_CACHE', 'false')
# Here, since TFDS reads it once, when it is imported.
_TFDS = tempfile.TemporaryDirectory(prefix='tfds_')
os.environ['TFDS_DATA_DIR'] = _TFDS.name

import pytest  # noqa: E402
import shared_programs  # noqa: E402

TEST_DATA = 'INCEPTION_JAX_TEST_DATA'


@pytest.fixture(scope='session')
def tfds_data_dir():
  """A TFDS folder of the session's own, subprocesses included."""
  return pathlib.Path(_TFDS.name)


@pytest.fixture
def any_bucket(monkeypatch):
  """No bucket is asked for."""
  from inception_jax.runtime import remote

  monkeypatch.setattr(remote, 'check', lambda path, name: None)


@pytest.fixture(scope='session', autouse=True)
def shares_programs():
  with pytest.MonkeyPatch.context() as patch:
    shared_programs.share(patch)
    yield


# A process may have 65,530 memory maps on Linux.
_MANY_MAPS = 25_000


@pytest.fixture(scope='module', autouse=True)
def forgets_programs():
  """Frees what was compiled before it takes too many memory maps.

  Each program takes some of those that a process may have; when none is left
  the compiler crashes.
  """
  yield
  maps = pathlib.Path('/proc/self/maps')
  if maps.exists() and maps.read_bytes().count(b'\n') < _MANY_MAPS:
    return
  shared_programs.forget()
  gc.collect()


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
  """An unbroken run of `tiny_config`: its folder and its result."""
  import tiny_config

  from inception_jax.runs import train

  workdir = tmp_path_factory.mktemp('trained') / 'run'
  return workdir, train.train(tiny_config.get_config(), workdir)


# Files of few tests that each take minutes, in processes of their own.
_LONGEST = ('test_devices', 'test_kill', 'test_configs')


def pytest_collection_modifyitems(items):
  # First, so that neither process is left with one at the end.
  items.sort(key=lambda item: item.path.stem not in _LONGEST)


_skipped = []


def pytest_runtest_logreport(report):
  if report.skipped and 'test_data' in report.keywords:
    _skipped.append(report.nodeid)


def pytest_terminal_summary(terminalreporter):
  terminalreporter.write_line(
    f'{len(_skipped)} tests that need {TEST_DATA} were skipped'
  )


def pytest_sessionfinish(session):
  # With the data there, a skip hides a test that should have run.
  if _skipped and os.environ.get(TEST_DATA):
    session.exitstatus = pytest.ExitCode.TESTS_FAILED
