"""Tests of what every mode of the command line shares."""

import os
import signal

from absl import flags as absl_flags
import pytest

from inception_jax.commands import registry as command
from inception_jax.runtime import errors


def parse(*arguments):
  flags = absl_flags.FlagValues()
  for name in ('mode', 'workdir', 'weights', 'output', 'config'):
    absl_flags.DEFINE_string(name, None, '', flag_values=flags)
  flags(['main.py', *arguments])
  return flags


@pytest.fixture
def happened(monkeypatch):
  """One mode only, which sends this process the signals it is told."""
  seen = []

  def run(flags, files):
    seen.append((flags.weights, list(files)))
    if flags.weights and flags.weights.startswith('SIG'):
      os.kill(os.getpid(), getattr(signal, flags.weights))
      seen.append('went on')
    return {}

  mode = command.Mode(run, ('workdir',), ('weights',), takes_files=True)
  others = command.Mode(run, ('config',), ('output',))
  monkeypatch.setattr(command, 'MODES', {'mine': mode, 'other': others})
  return seen


def test_flags_and_files_reach_the_mode(happened):
  flags = parse('--mode=mine', '--workdir=x', '--weights=raw')
  assert command.run(flags, ['a', 'b']) == {}
  assert happened == [('raw', ['a', 'b'])]


@pytest.mark.parametrize(
  ('arguments', 'files', 'message'),
  [
    (('--mode=mine',), ['a'], '--mode=mine needs --workdir'),
    (('--mode=mine', '--workdir=x'), [], '--mode=mine needs pictures'),
    (('--mode=other', '--config=x'), ['a'], "'a' is no flag"),
    (
      ('--mode=mine', '--workdir=x', '--output=y'),
      ['a'],
      '--output is of no use with --mode=mine',
    ),
  ],
)
def test_what_does_not_belong_is_refused(happened, arguments, files, message):
  with pytest.raises(errors.InputError, match=message):
    command.run(parse(*arguments), files)
  assert not happened


@pytest.mark.parametrize(
  ('name', 'status'), [('SIGTERM', 143), ('SIGINT', 130)]
)
def test_a_signal_ends_in_a_sentence(happened, name, status):
  before = signal.getsignal(signal.SIGTERM)
  flags = parse('--mode=mine', '--workdir=x', f'--weights={name}')
  with pytest.raises(errors.Interrupted, match=f'stopped by {name}') as caught:
    command.run(flags, ['a'])
  assert caught.value.exit_status == status
  assert happened == [(name, ['a'])]
  assert signal.getsignal(signal.SIGTERM) is before


def test_files_that_failed_make_an_error_of_the_whole():
  command.check_whole({'failed': []})
  command.check_whole({})
  with pytest.raises(errors.PartialError, match="2 of the files .* 'a': empty"):
    command.check_whole(
      {
        'failed': [
          {'file': 'a', 'reason': 'empty'},
          {'file': 'b', 'reason': ''},
        ]
      }
    )
