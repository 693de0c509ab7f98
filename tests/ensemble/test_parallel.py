"""Tests of members that are trained at the same time."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

from etils import epath
import launch
import lock_holder
import pytest
from same_runs import assert_same_run
import tiny_config

from inception_jax.ensemble import parallel as member_processes
from inception_jax.ensemble import train as train_ensemble
from inception_jax.runtime import errors

# Stands for training: says when it runs, and does what its config says.
PROGRAM = """
import json, pathlib, signal, sys, time
given = json.loads(sys.stdin.readline())
config, workdir = given['config'], pathlib.Path(given['workdir'])
def stop(signum, frame):
  (workdir / 'saved').touch()
  if not config.get('stubborn'):
    sys.exit(128 + signum)
for signum in (signal.SIGTERM, signal.SIGINT):
  signal.signal(signum, stop)
times = [time.time()]
(workdir / 'begun').touch()
while time.time() < times[0] + config.get('seconds', 0):
  time.sleep(0.01)
times.append(time.time())
if config.get('status'):
  print('error: no luck', file=sys.stderr)
  sys.exit(config['status'])
print('chatter')
print(json.dumps({'times': times, 'workdir': given['workdir']}))
"""


@pytest.fixture
def folder(monkeypatch, tmp_path):
  """Folder of members that `PROGRAM` trains."""
  program = (sys.executable, '-c', PROGRAM)
  monkeypatch.setattr(member_processes, '_PROGRAM', program)
  monkeypatch.setattr(member_processes, '_SECONDS_BETWEEN_LOOKS', 0.02)
  return epath.Path(tmp_path)


def send(signals, folder, names):
  """Sends signals to this process, once these members have begun."""

  def wait_and_send():
    while not all((folder / name / 'begun').exists() for name in names):
      time.sleep(0.01)
    for signum in signals:
      os.kill(os.getpid(), signum)
      time.sleep(0.5)

  thread = threading.Thread(target=wait_and_send)
  thread.start()
  return thread


def test_no_more_at_a_time_than_there_are_shares(folder, caplog):
  configs = {name: {'seconds': 0.3} for name in 'abcde'}
  with caplog.at_level('INFO'):
    results = member_processes.train_members(configs, folder, [{}, {}])
  assert [x['workdir'] for x in results] == [
    str(folder / name) for name in configs
  ]
  spans = [x['times'] for x in results]
  at_once = [sum(a <= start < b for a, b in spans) for start, _ in spans]
  assert max(at_once) == 2
  ends = [x.getMessage() for x in caplog.records if 'trained' in x.getMessage()]
  assert len(ends) == 5 and 'trained, 5 of 5' in ends[-1]
  assert 'about 0:00:00 left' in ends[-1]


def test_members_of_other_commands_are_left_to_them(folder):
  configs = {name: {'seconds': 0.1} for name in 'abc'}
  with lock_holder.held(folder / 'b' / '.lock') as other:
    with pytest.raises(
      errors.PartialError,
      match=f'^1 of 3 members is trained by others .process {other.pid} of',
    ):
      member_processes.train_members(configs, folder, [{}])
    assert [x.name for x in (folder / 'b').iterdir()] == ['.lock']
    assert (folder / 'a' / 'begun').exists()
    assert (folder / 'c' / 'begun').exists()
    # Those that are free by the time that the others are trained.
    look, looks = member_processes._Team.look, []

    def look_and_end(self, stopped_by):
      looks.append(dict(self.held))
      other.kill()
      other.wait()
      look(self, stopped_by)

    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(member_processes._Team, 'look', look_and_end)
      results = member_processes.train_members(configs, folder, [{}, {}])
  assert 'b' in looks[0]
  assert [x['workdir'] for x in results] == [str(folder / x) for x in 'abc']


def test_each_has_its_share(folder, monkeypatch):
  program = (
    'import json, os; print(json.dumps(os.environ["CUDA_VISIBLE_DEVICES"]))'
  )
  monkeypatch.setattr(
    member_processes, '_PROGRAM', (sys.executable, '-c', program)
  )
  shares = [{'CUDA_VISIBLE_DEVICES': x} for x in ('0,1', '2,3')]
  configs = {name: {} for name in 'ab'}
  results = member_processes.train_members(configs, folder, shares)
  assert results == ['0,1', '2,3']


def test_one_that_fails_stops_no_other(folder):
  configs = {'a': {'status': 3}, 'b': {'seconds': 0.3}, 'c': {}, 'd': {}}
  (folder / 'c').write_text('in the way of the folder')
  with pytest.raises(errors.TrainingError) as caught:
    member_processes.train_members(configs, folder, [{}, {}])
  text = str(caught.value)
  assert text.startswith('2 of 4 members could not be trained')
  assert f'{folder}/a/train.log: error: no luck' in text
  assert f'{folder}/c/train.log cannot be written' in text
  assert caught.value.exit_status == 1
  assert (folder / 'b' / 'begun').exists()
  assert (folder / 'd' / 'begun').exists()


@pytest.mark.parametrize(
  ('program', 'reason'),
  [
    ('import os; os.kill(os.getpid(), 9)', 'SIGKILL, perhaps for want of mem'),
    ('import os; os.abort()', 'ended by SIGABRT, after: '),
    ('', 'train.log: it says nothing'),
    ('print("no result")', 'train.log: it says nothing'),
  ],
)
def test_what_is_said_of_a_crash_is_of_this_attempt(
  folder, program, reason, monkeypatch
):
  monkeypatch.setattr(
    member_processes, '_PROGRAM', (sys.executable, '-c', program)
  )
  (folder / 'a').mkdir()
  (folder / 'a' / 'train.log').write_text('error: of an earlier attempt\n')
  with pytest.raises(errors.TrainingError, match=reason) as caught:
    member_processes.train_members({'a': {}}, folder, [{}])
  assert 'earlier' not in str(caught.value)
  assert 'earlier' in (folder / 'a' / 'train.log').read_text()


def test_a_process_that_cannot_be_started_stops_no_other(folder, monkeypatch):
  start = subprocess.Popen

  def refuse(*arguments, **options):
    if started:
      raise BlockingIOError(11, 'Resource temporarily unavailable')
    started.append(1)
    return start(*arguments, **options)

  started = []
  monkeypatch.setattr(subprocess, 'Popen', refuse)
  with pytest.raises(
    errors.TrainingError, match='1 of 2 .* started for .*/b .Resource tempor'
  ):
    configs = {'a': {'seconds': 0.3}, 'b': {}}
    member_processes.train_members(configs, folder, [{}, {}])
  assert (folder / 'a' / 'begun').exists()
  assert not (folder / 'a' / 'saved').exists()  # It came to its end.


@pytest.mark.parametrize('signum', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on(folder, signum):
  before = signal.getsignal(signum)
  configs = {'a': {}, 'b': {'seconds': 60}, 'c': {'seconds': 60}, 'd': {}}
  thread = send([signum], folder, 'bc')
  with pytest.raises(errors.Interrupted, match='1 of 4 members') as caught:
    member_processes.train_members(configs, folder, [{}, {}])
  thread.join()
  assert caught.value.exit_status == 128 + signum
  assert (folder / 'b' / 'saved').exists()
  assert (folder / 'c' / 'saved').exists()
  assert not (folder / 'd').exists()
  assert signal.getsignal(signum) is before


def test_a_second_signal_kills(folder):
  configs = {'a': {'seconds': 60, 'stubborn': True}}
  thread = send([signal.SIGTERM, signal.SIGINT], folder, 'a')
  start = time.monotonic()
  with pytest.raises(errors.Interrupted) as caught:
    member_processes.train_members(configs, folder, [{}])
  thread.join()
  assert caught.value.exit_status == 143 and time.monotonic() - start < 30
  assert (folder / 'a' / 'saved').exists()


@pytest.mark.parametrize(
  ('seconds', 'ages', 'num_waiting', 'num_parallel', 'expected'),
  [
    ([10, 20], [], 4, 2, 30),
    ([10], [4], 0, 2, 6),
    ([10], [4, 6], 3, 2, 20),
    ([10], [12], 0, 2, 0),
    ([10], [], 0, 2, 0),
  ],
)
def test_seconds_left(seconds, ages, num_waiting, num_parallel, expected):
  assert expected == member_processes.seconds_left(
    seconds, ages, num_waiting, num_parallel
  )


def config(num_parallel, *only):
  """Of `trained`, and of what differs in its data."""
  result = tiny_config.get_config('pair')
  result.ensemble.update({'only': only, 'num_parallel': num_parallel})
  return result


@pytest.mark.slow
def test_members_come_out_as_one_after_the_other(trained, tmp_path):
  folder = tmp_path / 'together'
  results = train_ensemble.train_ensemble(config(2), folder)
  alone = train_ensemble.train_ensemble(config(1, 'm2'), tmp_path / 'alone')
  references = [trained[1], *alone['members']]
  for name, one, other in zip(
    ('m1', 'm2'), results['members'], references, strict=True
  ):
    for workdir in (folder / name, epath.Path(other['workdir'])):
      assert (workdir / 'train.log').exists()
    assert_same_run(folder / name, epath.Path(other['workdir']))
    assert one['workdir'] == str(folder / name)
    assert {**one, 'workdir': ''} == {**other, 'workdir': ''}
  assert trained[1]['evaluation'] != alone['members'][0]['evaluation']
  for name in ('config', 'labels', 'model', 'preprocessing', 'training'):
    path = f'm2/{name}.json'
    assert (folder / path).read_bytes() == (
      tmp_path / 'alone' / path
    ).read_bytes()


def test_a_member_that_fails_says_why(tmp_path):
  words = 'error: unknown section config.modle'
  with pytest.raises(
    errors.TrainingError, match=f'1 of 1 .*{tmp_path}/m/train.log: {words}'
  ):
    member_processes.train_members(
      {'m': {'modle': {}}}, epath.Path(tmp_path), [{}]
    )


def test_remote_folders_are_refused(any_bucket):
  with pytest.raises(errors.InputError, match='num_parallel=2 needs a local'):
    train_ensemble.train_ensemble(config(2), 'gs://bucket/e')


@pytest.mark.slow
def test_the_command_stops_its_members_and_they_never_outlive_it(tmp_path):
  folder = tmp_path / 'e'
  arguments = (
    f'--config={launch.TINY}:pair',
    f'--workdir={folder}',
    '--config.ensemble.num_parallel=2',
    '--config.train.num_train_steps=100000',
    '--config.train.eval_every_steps=100000',
    '--config.train.checkpoint_every_steps=100000',
  )
  process = launch.start(*arguments)
  wait_for(lambda: len(children(process)) == 2, process)
  members = children(process)
  process.send_signal(signal.SIGKILL)
  launch.finish(process)
  wait_for(lambda: not any(map(is_running, members)))
  process = launch.start(*arguments)
  files = [folder / name / 'metrics.jsonl' for name in ('m1', 'm2')]
  wait_for(lambda: all(map(pathlib.Path.exists, files)), process)
  members = children(process)
  # As systems do that stop every process of a job, whoever passes it on.
  os.kill(members[0], signal.SIGTERM)
  process.send_signal(signal.SIGTERM)
  time.sleep(0.5)
  for member in members:
    if is_running(member):
      os.kill(member, signal.SIGTERM)
  status, _, err = launch.finish(process)
  assert status == 143, err[-3000:]
  assert 'stopped by SIGTERM when 0 of 2 members had been trained' in err
  assert not any(map(is_running, members))
  for file in files:
    last = (file.parent / 'train.log').read_text().splitlines()[-1]
    (step,) = (file.parent / 'checkpoints').iterdir()
    assert f'stopped by SIGTERM at step {step.name}, which is saved' in last


def children(process):
  path = pathlib.Path(f'/proc/{process.pid}/task/{process.pid}/children')
  return list(map(int, path.read_text().split()))


def is_running(pid):
  try:
    state = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1]
  except OSError:
    return False
  return state.split()[0] != 'Z'


def wait_for(condition, process=None):
  for _ in range(2000):
    if condition():
      return
    if process is not None and process.poll() is not None:
      raise AssertionError(launch.finish(process))
    time.sleep(0.1)
  raise AssertionError('timed out')
