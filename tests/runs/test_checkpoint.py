"""Tests of checkpoints: round trips, damage, full disks."""

import builtins
import errno
import io
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import threading
import time

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from inception_jax.runs import checkpoint, named_arrays
from inception_jax.runtime import agreement, durable, errors


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
  restored = named_arrays.unflatten(make_state(0), arrays, 'here')
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
  with pytest.raises(checkpoint.CorruptCheckpointError, match='is damaged: '):
    checkpoint.Checkpoints(tmp_path / 'c').restore(1)


def test_all_corrupt_is_an_error_that_names_one(tmp_path):
  saved(tmp_path / 'c', 1)
  for file in array_files(tmp_path / 'c' / '1'):
    file.write_bytes(b'')
  with pytest.raises(
    checkpoint.CorruptCheckpointError, match='/c/1 is damaged'
  ):
    checkpoint.Checkpoints(tmp_path / 'c').restore_newest_good()
  assert (tmp_path / 'c' / '1').exists()


def test_another_model_is_refused_with_the_difference():
  flat = {
    k: np.asarray(v) for k, v in named_arrays.flatten(make_state(0)).items()
  }
  kernel = flat.pop('params/conv/kernel')
  with pytest.raises(errors.InputError, match="1 array is missing .*'params/c"):
    named_arrays.unflatten(make_state(0), flat, 'here')
  flat['params/conv/kernel'] = kernel[:2]
  with pytest.raises(errors.InputError, match=r'float32\[2, 4, 5\], not'):
    named_arrays.unflatten(make_state(0), flat, 'here')
  flat['params/conv/kernel'] = kernel
  flat['params/more'] = kernel
  with pytest.raises(errors.InputError, match="1 array is unknown .*'params/m"):
    named_arrays.unflatten(make_state(0), flat, 'here')


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


def passing_failures():
  """What libraries raise when a good checkpoint cannot be read just now."""
  hidden = ValueError('Error reading arrays')
  hidden.__cause__ = OSError(errno.EIO, 'Input/output error')
  return {
    'EMFILE': (OSError(errno.EMFILE, 'Too many open files'), 'Too many open'),
    'EACCES': (PermissionError(errno.EACCES, 'Permission denied'), 'Permissi'),
    'ESTALE': (OSError(errno.ESTALE, 'Stale file handle'), 'Stale file'),
    'EIO, wrapped': (hidden, 'Input/output error'),
    'memory': (MemoryError(), 'not enough memory'),
    'tensorstore': (
      ValueError('RESOURCE_EXHAUSTED: Error opening "d/1"'),
      'RESOURCE_EXHAUSTED',
    ),
    'tensorstore, system': (
      ValueError('Failed to open file: [OS error 24: Too many open files]'),
      'Too many open',
    ),
    'tensorstore, newer': (
      ValueError('UNKNOWN: Error opening "c/d/1" [os_error_code=\'5\']'),
      'Input/output error',
    ),
  }


@pytest.mark.parametrize('name', passing_failures())
def test_a_passing_failure_moves_nothing_and_says_why(
  tmp_path, monkeypatch, name
):
  failure, reason = passing_failures()[name]
  checkpoints = saved(tmp_path / 'c', 1, 2)

  def fail(*arguments, **options):
    raise failure

  with monkeypatch.context() as patch:
    patch.setattr(ocp.CheckpointManager, 'restore', fail)
    with pytest.raises(checkpoint.UnreadableCheckpointError) as found:
      checkpoints.restore_newest_good()
  message = str(found.value)
  assert reason in message and 'damaged' not in message
  assert '/c/2 cannot be read just now' in message and '\n' not in message
  assert not (tmp_path / 'corrupt_checkpoints').exists()
  assert checkpoints.restore_newest_good()[0] == 2


class Faults:
  """Makes one call of the system fail, or all from that on.

  Args:
    monkeypatch: of the test.
    folder: only calls about what lies in it count and fail.
  """

  def __init__(self, monkeypatch, folder):
    self._folder = str(folder)
    self.count, self._fails = 0, lambda number: False
    for owner, name in (
      (os, 'stat'),
      (os, 'listdir'),
      (os, 'scandir'),
      (builtins, 'open'),
      (io, 'open'),
    ):
      monkeypatch.setattr(owner, name, self._failing(getattr(owner, name)))

  def begin(self, fails):
    self.count, self._fails = 0, fails

  def _failing(self, call):
    def wrapped(path='.', *arguments, **options):
      if not isinstance(path, int) and self._folder in os.fsdecode(path):
        self.count += 1
        if self._fails(self.count):
          raise OSError(errno.EIO, 'Input/output error')
      return call(path, *arguments, **options)

    return wrapped


@pytest.mark.parametrize('lasts', [False, True])
def test_whichever_call_fails_a_good_checkpoint_stays_where_it_is(
  tmp_path, monkeypatch, lasts
):
  saved(tmp_path / 'c', 1, 2)
  before = sorted(tmp_path.rglob('*'))
  faults = Faults(monkeypatch, tmp_path)
  assert checkpoint.Checkpoints(tmp_path / 'c').restore_newest_good()[0] == 2
  num_calls, outcomes = faults.count, []
  assert num_calls > 30
  for number in range(1, num_calls + 1):
    faults.begin(lambda x, n=number: x >= n if lasts else x == n)
    try:
      checkpoints = checkpoint.Checkpoints(tmp_path / 'c')
      assert checkpoints.restore_newest_good()[0] == 2
      outcomes.append('good')
    except checkpoint.UnreadableCheckpointError as error:
      assert 'left as' in str(error)
      outcomes.append('unreadable')
    faults.begin(lambda x: False)
    assert sorted(tmp_path.rglob('*')) == before
  # What fails once need not stop it.
  assert set(outcomes) == ({'unreadable'} if lasts else {'good', 'unreadable'})


def test_without_file_descriptors_nothing_is_moved(tmp_path):
  checkpoints = saved(tmp_path / 'c', 1, 2)
  limits = resource.getrlimit(resource.RLIMIT_NOFILE)
  free = os.open(os.devnull, os.O_RDONLY)
  os.close(free)
  said = []
  # Three are enough for the event loop of Orbax, unless one is there already,
  # and not for TensorStore, which is no Python.
  for spare in (3, 2, 1, 0):
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + spare, limits[1]))
    try:
      checkpoints.restore_newest_good()
    except checkpoint.UnreadableCheckpointError as error:
      said.append(str(error))
    finally:
      resource.setrlimit(resource.RLIMIT_NOFILE, limits)
  assert said and all('Too many open files' in x for x in said)
  assert checkpoints.restore_newest_good()[0] == 2


def test_a_damaged_checkpoint_that_cannot_be_moved_is_one_sentence(
  tmp_path, monkeypatch
):
  saved(tmp_path / 'c', 1, 2)
  for file in array_files(tmp_path / 'c' / '2'):
    file.write_bytes(b'')
  (tmp_path / 'corrupt_checkpoints').write_text('a file')
  with pytest.raises(errors.InputError, match='/c/2 is damaged.*cannot be mo'):
    checkpoint.Checkpoints(tmp_path / 'c').restore_newest_good()
  assert checkpoint.Checkpoints(tmp_path / 'c').steps() == [1, 2]


def test_what_another_process_finds_damaged_is_damaged_for_all(
  tmp_path, monkeypatch
):
  checkpoints = saved(tmp_path / 'c', 1, 2)
  said = iter([[None, 'checkpoint 2 is damaged: there'], [None, None]])
  monkeypatch.setattr(agreement, 'exchange', lambda mine: next(said))
  step, arrays, _ = checkpoints.restore_newest_good()
  assert step == 1
  assert_is_state(arrays, 1)
  assert (tmp_path / 'corrupt_checkpoints' / '2').exists()


def test_files_among_the_checkpoints_are_none_of_them(tmp_path):
  saved(tmp_path / 'c', 1)
  (tmp_path / 'c' / '5').write_text('')
  (tmp_path / 'c' / '007').mkdir()
  assert checkpoint.Checkpoints(tmp_path / 'c').steps() == [1]


def test_metadata_that_cannot_be_read_now_are_not_those_of_an_older(
  tmp_path, monkeypatch
):
  checkpoints = saved(tmp_path / 'c', 1, 2)
  failure = OSError(errno.EIO, 'Input/output error')

  def fail(*arguments, **options):
    raise failure

  monkeypatch.setattr(ocp.CheckpointManager, 'restore', fail)
  with pytest.raises(checkpoint.UnreadableCheckpointError, match='/c/2 cannot'):
    checkpoints.read_metadata()


def test_a_file_the_system_cannot_read_is_no_damage(tmp_path, monkeypatch):
  # The library hides the system's words; each file is tried.
  checkpoints = saved(tmp_path / 'c', 1)
  real = open

  def failing(path, *arguments, **options):
    if str(path).endswith('_METADATA'):
      raise OSError(errno.EIO, 'Input/output error')
    return real(path, *arguments, **options)

  def fail(*arguments, **options):
    raise ValueError('something went wrong')

  monkeypatch.setattr('builtins.open', failing)
  monkeypatch.setattr(ocp.CheckpointManager, 'restore', fail)
  with pytest.raises(checkpoint.UnreadableCheckpointError, match='Input/out'):
    checkpoints.restore(1)


def test_a_checkpoint_under_the_name_of_another_step_is_damaged(tmp_path):
  saved(tmp_path / 'c', 1, 2)
  (tmp_path / 'c' / '2').rename(tmp_path / 'c' / '7')
  checkpoints = checkpoint.Checkpoints(tmp_path / 'c')
  with pytest.raises(checkpoint.CorruptCheckpointError, match='holds step 2'):
    checkpoints.restore(7)
  assert checkpoints.restore_newest_good()[0] == 1


def test_every_damaged_checkpoint_is_kept_under_a_name_of_its_own(
  tmp_path, caplog
):
  for turn in range(2):
    saved(tmp_path / 'c', 1, 2, 3)
    for step in (2, 3):
      for file in array_files(tmp_path / 'c' / str(step)):
        file.write_bytes(b'')
    assert checkpoint.Checkpoints(tmp_path / 'c').restore_newest_good()[0] == 1
    (tmp_path / 'c' / '1').rename(tmp_path / f'good_{turn}')
  aside = sorted(x.name for x in (tmp_path / 'corrupt_checkpoints').iterdir())
  assert aside == ['2', '2_1', '3', '3_1']
  for step in (2, 3):
    assert any(f'c/{step} is damaged' in line for line in caplog.messages)


class Recorder:
  """The order in which files are synced and folders are deleted."""

  def __init__(self, monkeypatch):
    self.events = []
    fsync, rmtree = os.fsync, shutil.rmtree

    def recorded_fsync(descriptor):
      self.events.append(('sync', os.readlink(f'/proc/self/fd/{descriptor}')))
      fsync(descriptor)

    def recorded_rmtree(path, *arguments, **options):
      self.events.append(('delete', str(path)))
      rmtree(path, *arguments, **options)

    monkeypatch.setattr(os, 'fsync', recorded_fsync)
    monkeypatch.setattr(shutil, 'rmtree', recorded_rmtree)


@pytest.mark.skipif(not os.path.exists('/proc/self/fd'), reason='needs /proc')
def test_a_checkpoint_is_on_the_disk_before_an_older_one_is_deleted(
  tmp_path, monkeypatch
):
  recorder = Recorder(monkeypatch)
  folder = tmp_path / 'c'
  checkpoints = checkpoint.Checkpoints(folder, keep=1)
  present = {}
  for step in (1, 2, 3):
    checkpoints.save(step, make_state(step), {})
    checkpoints.wait()
    files = {str(x) for x in (folder / str(step)).rglob('*')}
    above = (folder / str(step), folder, tmp_path)
    present[step] = files.union(map(str, above))
    # Deleted in the background, not only by the next save.
    assert [x.name for x in folder.iterdir()] == [str(step)]
    assert checkpoints.steps() == [step]
  checkpoints.close()
  assert checkpoint.Checkpoints(folder).steps() == [3]
  deletions = [
    (place, int(pathlib.Path(path).name.split('.')[0]))
    for place, (kind, path) in enumerate(recorder.events)
    if kind == 'delete' and pathlib.Path(path).parent == folder
  ]
  assert [step for _, step in deletions] == [1, 2]
  for place, step in deletions:
    synced = {path for kind, path in recorder.events[:place] if kind == 'sync'}
    # Everything of the next one, and the names of all of it.
    assert present[step + 1] <= synced


def test_checkpoints_that_a_kill_left_over_go_with_the_next_save(tmp_path):
  saved(tmp_path / 'c', 1, 2, 3, keep=10)
  checkpoints = checkpoint.Checkpoints(tmp_path / 'c', keep=1)
  checkpoints.save(4, make_state(4), {})
  checkpoints.close()
  assert checkpoint.Checkpoints(tmp_path / 'c').steps() == [4]


def test_what_a_killed_process_saved_is_synced_with_the_next(
  tmp_path, monkeypatch
):
  saved(tmp_path / 'c', 1, 2)
  synced = []
  monkeypatch.setattr(durable, 'sync_tree', lambda path: synced.append(path))
  checkpoints = checkpoint.Checkpoints(tmp_path / 'c', keep=2)
  for step in (3, 4):
    checkpoints.save(step, make_state(step), {})
    checkpoints.wait()
  checkpoints.close()
  assert [x.name for x in synced] == ['2', '3', '4']


def test_a_save_is_synced_and_deletes_in_the_background(tmp_path, monkeypatch):
  folder = tmp_path / 'c'
  checkpoints = checkpoint.Checkpoints(folder, keep=1)
  checkpoints.save(1, make_state(1), {})
  checkpoints.wait()
  goes_on = threading.Event()
  sync_tree = durable.sync_tree

  def slow(path):
    assert goes_on.wait(30)
    sync_tree(path)

  monkeypatch.setattr(durable, 'sync_tree', slow)
  checkpoints.save(2, make_state(2), {})  # Returns before it is synced.
  while not (folder / '2').exists():
    time.sleep(0.01)
  assert (folder / '1').exists()  # The only one that is on the disk.
  goes_on.set()
  checkpoints.close()
  assert [x.name for x in folder.iterdir()] == ['2']


def test_a_deletion_that_was_cut_short_leaves_no_checkpoint(
  tmp_path, monkeypatch
):
  folder = tmp_path / 'c'
  checkpoints = checkpoint.Checkpoints(folder, keep=1)
  checkpoints.save(1, make_state(1), {})
  checkpoints.wait()

  def broken(path, *arguments, **options):
    raise OSError(errno.EIO, 'Input/output error')

  with monkeypatch.context() as patch:
    patch.setattr(shutil, 'rmtree', broken)
    checkpoints.save(2, make_state(2), {})
    checkpoints.close()
  assert len(list(folder.iterdir())) == 2
  checkpoints = checkpoint.Checkpoints(folder, keep=1)
  assert checkpoints.steps() == [2]
  checkpoints.save(3, make_state(3), {})
  checkpoints.close()
  assert [x.name for x in folder.iterdir()] == ['3']


def test_a_failed_save_is_named_by_its_own_step(tmp_path, monkeypatch):
  checkpoints = checkpoint.Checkpoints(tmp_path / 'c')
  checkpoints.save(1, make_state(1), {})
  checkpoints.wait()

  def full(path):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(durable, 'sync_tree', full)
  checkpoints.save(2, make_state(2), {})
  with pytest.raises(errors.TrainingError) as found:
    checkpoints.save(3, make_state(3), {})
  assert str(found.value).startswith('checkpoint 2 of ')
  assert 'free some space' in str(found.value)
  assert '(whole checkpoints: 1)' in str(found.value)


def test_closing_after_a_failed_save_raises_nothing_more(tmp_path, monkeypatch):
  checkpoints = checkpoint.Checkpoints(tmp_path / 'c')

  def full(*arguments, **options):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(type(checkpoints.directory), 'write_text', full)
  with pytest.raises(errors.TrainingError, match='checkpoint 1 .*free some'):
    try:
      checkpoints.save(1, make_state(1), {})
      checkpoints.wait()
    finally:  # As training does; what it raised would be lost.
      checkpoints.close()


def test_only_a_full_disk_asks_for_space():
  full = OSError(errno.ENOSPC, 'No space left on device')
  wrapped = ValueError('Error writing')
  wrapped.__cause__ = full
  assert 'space' in errors.remedy_of_writing(full)
  assert 'space' in errors.remedy_of_writing(wrapped)
  denied = PermissionError(errno.EACCES, 'Permission denied')
  assert 'space' not in errors.remedy_of_writing(denied)


def test_good_checkpoints_under_an_odd_path_are_not_called_damaged(tmp_path):
  saved(tmp_path / 'c', 1)
  shutil.copytree(tmp_path / 'c', tmp_path / '[x]' / 'c')
  shutil.copytree(tmp_path / 'c', tmp_path / 'a\\b' / 'c')
  other = os.fsdecode(b'a\xffb')
  shutil.copytree(tmp_path / 'c', tmp_path / other / 'c')
  reader = checkpoint.Checkpoints(tmp_path / '[x]' / 'c', read_only=True)
  assert_is_state(reader.restore(1)[0], 1)
  for folder, read_only in (
    ('[x]', False),
    ('a\\b', True),
    ('a\\b', False),
    (other, True),
    (other, False),
  ):
    with pytest.raises(errors.InputError, match='--workdir=.*give') as found:
      checkpoint.Checkpoints(tmp_path / folder / 'c', read_only=read_only)
    assert not isinstance(found.value, checkpoint.CorruptCheckpointError)
  assert (tmp_path / 'a\\b' / 'c' / '1').exists()
