import errno
import fcntl
import json
import logging
import os
import re
import signal
import socket
import time

import lock_holder
import pytest

from inception_jax.runtime import locks


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'new' / 'run' / locks.FILE


def hold(path):
  return locks.hold(path, 'training in runs/a', 'wait for it')


def assert_refused(path, pid):
  found = re.escape(f'process {pid} of host {socket.gethostname()}')
  with pytest.raises(
    locks.HeldError,
    match=f'^{found} has been training in runs/a since 20.*:.*; wait for it$',
  ):
    with hold(path):
      raise AssertionError('two hold it')


def leave(path, **changes):
  """Leaves the file of a process, this one but for the changes."""
  with hold(path):
    owner = json.loads(path.read_text())
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps({**owner, **changes}))


def refuse_locks(monkeypatch, number):
  def refuse(*unused):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr(fcntl, 'flock', refuse)


def test_one_process_holds_it_until_it_is_killed(path):
  with lock_holder.held(path) as other:
    before = path.read_text()
    assert_refused(path, other.pid)
    assert path.read_text() == before
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert path.exists()
    with hold(path) as is_sure:
      assert is_sure
      assert_refused(path, os.getpid())
  assert not path.exists()


def test_nothing_is_left_and_what_was_there_stays(path):
  path.parent.mkdir(parents=True)
  with hold(path):
    pass
  assert list(path.parent.iterdir()) == []
  path.parent.rmdir()
  path.parent.parent.rmdir()
  with hold(path):
    pass
  assert not path.parent.parent.exists()
  path.parent.mkdir(parents=True)
  with hold(path):
    (path.parent / 'config.json').write_text('{}')
  assert [x.name for x in path.parent.iterdir()] == ['config.json']


def test_who_waited_for_a_removed_file_does_not_share_it(path, monkeypatch):
  """The file is removed between another's opening and locking it."""
  lock, first = fcntl.flock, []

  def remove_and_lock(descriptor, operation):
    if not first:
      first.append(os.fstat(descriptor).st_ino)
      path.unlink()
      path.write_text('')  # A third process's.
    lock(descriptor, operation)

  monkeypatch.setattr(fcntl, 'flock', remove_and_lock)
  with hold(path):
    assert first
    assert_refused(path, os.getpid())


def test_who_holds_it_may_not_have_said_so_yet(path, monkeypatch):
  monkeypatch.setattr(time, 'sleep', lambda seconds: None)
  with hold(path):
    text = path.read_text()
    path.write_text(text[:5])
    with pytest.raises(
      locks.HeldError, match='^another process is training in'
    ):
      with hold(path):
        pass


def test_another_host_that_is_gone_is_warned_of(path, caplog):
  leave(path, host='box-1')
  with hold(path) as is_sure:
    assert is_sure
  assert (
    'process' in caplog.text
    and 'of host box-1 has been training in' in caplog.text
  )
  caplog.clear()
  leave(path, started=1)
  with hold(path):
    pass
  assert not caplog.records


@pytest.mark.parametrize('name', ['ENOLCK', 'EOPNOTSUPP', 'EINVAL', 'ENOSYS'])
def test_without_locks_the_file_is_warned_of(path, name, monkeypatch, caplog):
  refuse_locks(monkeypatch, getattr(errno, name))
  with hold(path) as is_sure:
    assert not is_sure
    assert f'{path} cannot be locked' in caplog.text
    # Seen to run, so it is believed.
    assert_refused(path, os.getpid())
  assert not path.exists()
  for changes in (
    {'host': 'box-1', 'boot': 'another'},
    {'started': 1},  # The same number, given to a later process.
    {'pid': 2**30},
  ):
    leave(path, **changes)
    caplog.clear()
    with hold(path):
      pass
    assert 'has been training in runs/a since' in caplog.messages[-1]
    assert 'stop one of the two' in caplog.messages[-1]


@pytest.mark.parametrize('text', ['', '{', '[]', '{"pid": 1}', '7'])
def test_a_file_that_says_nothing(path, text, monkeypatch, caplog):
  path.parent.mkdir(parents=True)
  for number in (None, errno.ENOLCK):
    path.write_text(text)
    if number:
      refuse_locks(monkeypatch, number)
    with hold(path):
      pass
    assert 'trains' not in caplog.text


def test_the_file_of_another_is_not_removed(path, monkeypatch):
  """Without locks, another may have begun after the warning."""
  refuse_locks(monkeypatch, errno.ENOLCK)
  with hold(path):
    path.write_text('{"host": "box-1", "pid": 1, "time": "now"}')
  assert path.exists()


def test_remote_folders_have_no_locks(tmp_path, monkeypatch):
  monkeypatch.setattr(locks.durable, 'is_local', lambda path: False)
  path = tmp_path / locks.FILE
  with hold(path) as is_sure:
    assert not is_sure
    assert json.loads(path.read_text())['pid'] == os.getpid()
  assert not path.exists()


@pytest.fixture(autouse=True)
def logs(caplog):
  caplog.set_level(logging.WARNING)
