"""Tests of how a process of several ends, without the others."""

import types

import pytest

from inception_jax.runtime import cluster, errors, launchers, peers


class Others:
  """What a process has to do with the others."""

  def __init__(self):
    self.told = []

  def tell(self, error):
    self.told.append(error)

  def explanation(self):
    return peers.OtherProcessError('process 1 is lost')


@pytest.fixture
def others(monkeypatch):
  """This process is one of two; the errors that it ends with."""
  found = Others()
  found.ended = []
  monkeypatch.setattr(cluster._Membership, 'others', found)
  monkeypatch.setattr(cluster._Membership, 'has_tried', True)
  monkeypatch.setattr(cluster, 'num_processes', lambda: 2)
  monkeypatch.setattr(
    cluster.peers, 'end_now', lambda error, is_said: found.ended.append(error)
  )
  return found


def test_an_error_is_told_before_the_process_ends(others, capsys):
  error = errors.InputError('no')
  cluster.leave(error)
  assert others.told == others.ended == [error]
  cluster.leave(KeyError('a bug\nof two lines'))  # Of it the first is told.
  assert 'a bug' in str(others.told[1]) and others.ended[1].exit_status == 1
  assert 'KeyError' in capsys.readouterr().err


def test_a_signal_in_start_up_is_told_and_a_step_of_all_is_not(others):
  together = errors.Interrupted('stopped at step 7, which is saved', 15)
  cluster.leave(together)
  assert not others.told and not others.ended
  alone = errors.Interrupted('stopped', 15)
  alone.__cause__ = KeyboardInterrupt(15)
  cluster.leave(alone)
  assert others.told == others.ended == [alone]


def test_who_fails_before_joining_joins_to_say_so(others, monkeypatch):
  monkeypatch.setattr(cluster._Membership, 'has_tried', False)
  for name, value in zip(launchers.VARIABLES, ('a:1', '2', '1'), strict=True):
    monkeypatch.setenv(name, value)
  joined = []
  monkeypatch.setattr(
    cluster, 'initialize', lambda *args, **more: joined.append((args, more))
  )
  cluster.leave(errors.InputError('--mode=fly is unknown'))
  assert joined == [((cluster._SECONDS_TO_SAY,), {'is_silent': True})]
  assert len(others.told) == 1


def test_one_process_ends_as_always(monkeypatch):
  for name in launchers.VARIABLES:
    monkeypatch.delenv(name, raising=False)
  cluster.leave(errors.InputError('no'))  # And returns.
  assert cluster.lost(RuntimeError('gloo: connection reset')) is None
  cluster.check_alone('predict')


def test_what_another_has_caused_is_told_apart(others):
  lost = cluster.lost(RuntimeError('[/gloo/pair.cc:598] Connection closed'))
  assert str(lost) == 'process 1 is lost'
  assert cluster.lost(lost) is lost
  assert cluster.lost(RuntimeError('shapes differ')) is None
  assert cluster.lost(errors.InputError('a barrier in the config')) is None


def test_commands_of_one_process_are_not_started_in_several(monkeypatch):
  for name, value in zip(launchers.VARIABLES, ('a:1', '2', '1'), strict=True):
    monkeypatch.setenv(name, value)
  with pytest.raises(errors.InputError, match='--mode=predict runs in one'):
    cluster.check_alone('predict')
  for name in launchers.VARIABLES:
    monkeypatch.delenv(name)
  for name, value in {
    'JOB_ID': '7',
    'STEP_NODELIST': 'a,b',
    'STEP_NUM_TASKS': '2',
    'NTASKS': '2',
    'PROCID': '1',
    'LOCALID': '0',
  }.items():
    monkeypatch.setenv(f'SLURM_{name}', value)
  with pytest.raises(errors.InputError, match='srun --ntasks=1'):
    cluster.check_alone('prepare')


@pytest.mark.parametrize(
  ('line', 'words'),
  [
    ('assert None', "JAX_PLATFORMS='cuda' is nothing .* finds no device"),
    (
      'raise RuntimeError("Unknown backend cuda. (set JAX_PLATFORMS=x)")',
      r'\(Unknown backend cuda.\); unset it',
    ),
  ],
)
def test_a_platform_that_cannot_be_started_is_named(monkeypatch, line, words):
  config = types.SimpleNamespace(jax_platforms='cuda')
  monkeypatch.setattr(cluster.jax, 'config', config)

  def fail(file):
    try:
      exec(compile(line, file, 'exec'))
    except (AssertionError, RuntimeError) as raised:
      error = raised
      found = cluster.wrong_platforms(error)
    try:  # What needed the device gives a reason of its own.
      raise errors.InputError('cannot be read just now') from error
    except errors.InputError as wrapped:
      assert repr(cluster.wrong_platforms(wrapped)) == repr(found)
    return found

  with pytest.raises(errors.InputError, match=words):
    raise fail('/packages/jax/_src/xla_bridge.py')
  assert fail('/packages/other.py') is None
  config.jax_platforms = None
  assert fail('/packages/jax/_src/xla_bridge.py') is None
