"""Tests of checkpoints: round trips, damage, full disks."""

import pathlib
import subprocess
import sys
import time

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax.runs import checkpoint
from inception_jax.runtime import errors


@struct.dataclass
class State:
  step: jax.Array
  params: dict
  nothing: None = None


def make_state(step):
  key = jax.random.key(step)
  return State(
    step=jnp.int32(step),
    params={
      'conv': {'kernel': jax.random.normal(key, (3, 4, 5))},
      'half': jnp.full((7,), step, jnp.bfloat16),
    },
  )


def saved(path, *steps, keep=10):
  checkpoints = checkpoint.Checkpoints(path, keep=keep)
  for step in steps:
    checkpoints.save(
      step, make_state(step), {'step': step, 'window': {'a': 0.1}}
    )
  checkpoints.close()
  return checkpoint.Checkpoints(path, keep=keep)


def assert_is_state(arrays, step):
  restored = checkpoint.unflatten(make_state(0), arrays, 'here')
  expected = make_state(step)
  assert jax.tree.structure(restored) == jax.tree.structure(expected)
  for found, wanted in zip(
    jax.tree.leaves(restored), jax.tree.leaves(expected), strict=True
  ):
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


def array_files(path):
  """Files with the arrays' bytes; Orbax leaves some that are never read."""
  data = [p for p in pathlib.Path(path).rglob('d/*') if p.is_file()]
  assert data
  return data


def test_round_trip_is_bit_identical(tmp_path):
  checkpoints = saved(tmp_path / 'c', 3)
  step, arrays, metadata = checkpoints.restore_newest_good()
  assert step == 3 and metadata == {'step': 3, 'window': {'a': 0.1}}
  assert_is_state(arrays, 3)


def test_donated_buffers_do_not_reach_the_file(tmp_path):
  checkpoints = checkpoint.Checkpoints(tmp_path / 'c')
  state = make_state(5)
  checkpoints.save(5, state, {})
  # Overwrites the memory while the save may still be running.
  jax.jit(lambda s: jax.tree.map(lambda x: x * 0, s), donate_argnums=0)(state)
  checkpoints.wait()
  assert_is_state(checkpoints.restore(5)[0], 5)


def test_only_the_newest_are_kept(tmp_path):
  assert saved(tmp_path / 'c', 1, 2, 3, 4, keep=2).steps() == [3, 4]


def test_relative_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  checkpoints = saved('runs/c', 4)
  assert checkpoints.steps() == [4] and (tmp_path / 'runs/c/4').exists()
  assert_is_state(checkpoints.restore(4)[0], 4)


def test_empty_folder_has_nothing_to_restore(tmp_path):
  assert checkpoint.Checkpoints(tmp_path / 'c').restore_newest_good() is None


@pytest.mark.parametrize('seed', range(5))
def test_a_flipped_bit_is_noticed(tmp_path, seed):
  saved(tmp_path / 'c', 1, 2)
  random = np.random.RandomState(seed)
  for file in array_files(tmp_path / 'c' / '2'):
    data = bytearray(file.read_bytes())
    data[random.randint(len(data))] ^= 1 << random.randint(8)
    file.write_bytes(data)
  checkpoints = checkpoint.Checkpoints(tmp_path / 'c')
  with pytest.raises(checkpoint.CorruptCheckpointError, match='checkpoint .*2'):
    checkpoints.restore(2)
  step, arrays, _ = checkpoints.restore_newest_good()
  assert step == 1
  assert_is_state(arrays, 1)
  # Nothing is lost, and the step can be saved again.
  assert (tmp_path / 'corrupt_checkpoints' / '2').exists()
  checkpoints.save(2, make_state(2), {})
  checkpoints.wait()
  assert_is_state(checkpoints.restore(2)[0], 2)


@pytest.mark.parametrize('item', ['arrays', 'digests', 'metadata'])
@pytest.mark.parametrize('damage', ['missing', 'truncated', 'empty'])
def test_damaged_items_are_noticed(tmp_path, item, damage):
  saved(tmp_path / 'c', 1)
  folder = tmp_path / 'c' / '1' / item
  files = [p for p in folder.rglob('*') if p.is_file()]
  assert files
  for file in files:
    data = file.read_bytes()
    if damage == 'missing':
      file.unlink()
    else:
      file.write_bytes(data[: len(data) // 2] if damage == 'truncated' else b'')
  with pytest.raises(checkpoint.CorruptCheckpointError, match='delete it'):
    checkpoint.Checkpoints(tmp_path / 'c').restore(1)


def test_all_corrupt_is_an_error_that_names_one(tmp_path):
  saved(tmp_path / 'c', 1)
  for file in array_files(tmp_path / 'c' / '1'):
    file.write_bytes(b'')
  with pytest.raises(checkpoint.CorruptCheckpointError, match='/c/1 '):
    checkpoint.Checkpoints(tmp_path / 'c').restore_newest_good()
  assert (tmp_path / 'c' / '1').exists()


def test_another_model_is_refused_with_the_difference():
  flat = {
    k: np.asarray(v) for k, v in checkpoint.flatten(make_state(0)).items()
  }
  kernel = flat.pop('params/conv/kernel')
  with pytest.raises(
    errors.InputError, match="1 arrays are missing .*'params/c"
  ):
    checkpoint.unflatten(make_state(0), flat, 'here')
  flat['params/conv/kernel'] = kernel[:2]
  with pytest.raises(errors.InputError, match=r'float32\[2, 4, 5\], not'):
    checkpoint.unflatten(make_state(0), flat, 'here')
  flat['params/conv/kernel'] = kernel
  flat['params/more'] = kernel
  with pytest.raises(
    errors.InputError, match="1 arrays are unknown .*'params/m"
  ):
    checkpoint.unflatten(make_state(0), flat, 'here')


def test_read_only_creates_nothing(tmp_path):
  saved(tmp_path / 'c', 1)
  before = sorted(tmp_path.rglob('*'))
  reader = checkpoint.Checkpoints(tmp_path / 'c', read_only=True)
  assert reader.steps() == [1]
  assert_is_state(reader.restore(1)[0], 1)
  assert sorted(tmp_path.rglob('*')) == before


def test_full_disk_ends_with_a_sentence_and_keeps_the_old(tmp_path):
  saved(tmp_path / 'c', 1)
  # No file may grow beyond 64 kB: to a program, a full disk.
  program = f"""
import resource, signal
import numpy as np
from inception_jax.runs import checkpoint
from inception_jax.runtime import errors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
checkpoints = checkpoint.Checkpoints({str(tmp_path / 'c')!r})
noise = np.random.RandomState(0).rand(1 << 20)
try:
  checkpoints.save(2, {{'big': noise}}, {{}})
  checkpoints.wait()
except errors.TrainingError as error:
  print('sentence:', error)
"""
  result = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, timeout=120
  )
  assert 'sentence: ' in result.stdout, result.stderr[-2000:]
  assert 'cannot be written' in result.stdout
  assert 'whole checkpoints: 1)' in result.stdout
  checkpoints = checkpoint.Checkpoints(tmp_path / 'c')
  assert checkpoints.steps() == [1]
  assert_is_state(checkpoints.restore(1)[0], 1)
  # What the failure left half-written is cleaned in the background.
  for _ in range(100):
    if not list((tmp_path / 'c').glob('*tmp*')):
      break
    time.sleep(0.1)
  else:
    pytest.fail('the half-written checkpoint is still there')
