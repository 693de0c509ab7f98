"""Tests of the table of commands and of what all of them share."""

import copy
import inspect
import os
import pathlib
import signal
import sys
import types

from absl import flags as absl_flags
import pytest

from inception_jax.commands import flags as flags_lib
from inception_jax.commands import registry
from inception_jax.evaluation import protocol
from inception_jax.runtime import errors, paths, words


def parse(*arguments):
  flags = absl_flags.FlagValues()
  for name in ('mode', 'workdir', 'weights', 'output', 'config'):
    absl_flags.DEFINE_string(name, None, '', flag_values=flags)
  absl_flags.DEFINE_boolean('compilation_cache', False, '', flag_values=flags)
  flags(['main.py', *arguments])
  return flags


@pytest.fixture
def happened(monkeypatch):
  """Two commands, which send this process the signals it is told."""
  seen = []

  def run(folder, weights, files):
    assert folder == 'x'
    seen.append((weights, list(files)))
    if weights and weights.startswith('SIG'):
      os.kill(os.getpid(), getattr(signal, weights))
      seen.append('went on')
    return {}

  # A module of the room of commands, as its rows name them.
  name = f'{registry.__package__}.mine'
  monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(run=run))
  mine = registry.Command(
    'mine.run',
    'Help.',
    '',
    needs=('workdir',),
    takes=('weights',),
    takes_files=True,
    arguments={'workdir': 'folder'},
  )
  other = registry.Command('mine.run', '', '', ('config',), ('output',))
  monkeypatch.setattr(registry, 'COMMANDS', {'mine': mine, 'other': other})
  return seen


def test_every_row_is_whole():
  """Each command's function takes the flags of its row, and no others."""
  for name, command in registry.COMMANDS.items():
    given = {
      command.arguments.get(flag, flag)
      for flag in (*command.needs, *command.takes)
      if flag not in registry.PROTOCOL_FLAGS or flag == 'protocol'
    } | ({'files'} if command.takes_files else set())
    given |= {'changes'} if command.takes_changes else set()
    function = registry._function(command)
    assert set(inspect.signature(function).parameters) == given, name
    assert command.help.endswith('.') and command.example, name
    for flag in (*command.needs, *command.takes):
      assert flag in flags_lib.FLAGS, (name, flag)


def test_every_module_is_a_command():
  folder = pathlib.Path(registry.__file__).parent
  modules = {path.stem for path in folder.glob('*.py')}
  rows = {x.function.split('.')[0] for x in registry.COMMANDS.values()}
  no_commands = {'__init__', 'registry', 'flags', 'help_text', 'program'}
  no_commands |= {'arguments'}
  assert modules - no_commands == rows


def test_a_protocol_is_made_of_its_flags(monkeypatch):
  arguments = ['main', '--mode=evaluate', '--workdir=x', '--nomirrors']
  arguments += ['--protocol=multi_crop_144', '--scales=256,352']
  values = flags_lib.FLAGS
  flags = absl_flags.FlagValues()
  for name in (*registry._EVALUATION, 'mode', 'workdir'):
    flags[name] = copy.deepcopy(values[name])
  flags(arguments)
  found = registry._arguments(registry.COMMANDS['evaluate'], flags, [])
  names = {'workdir', 'protocol', 'weights', 'config', 'answers', 'folds'}
  assert found.keys() == names
  assert found['protocol'] == protocol.Protocol(
    'multi_crop_144', scales=(256, 352), mirrors=False
  )


def test_flags_and_files_reach_the_command(happened):
  flags = parse('--mode=mine', '--workdir=x', '--weights=raw')
  assert registry.run(flags, ['a', 'b']) == {}
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
    registry.run(parse(*arguments), files)
  assert not happened


@pytest.mark.parametrize(
  ('name', 'status'), [('SIGTERM', 143), ('SIGINT', 130)]
)
def test_a_signal_ends_in_a_sentence(happened, name, status):
  before = signal.getsignal(signal.SIGTERM)
  flags = parse('--mode=mine', '--workdir=x', f'--weights={name}')
  with pytest.raises(errors.Interrupted, match=f'stopped by {name}') as caught:
    registry.run(flags, ['a'])
  assert caught.value.exit_status == status
  assert happened == [(name, ['a'])]
  assert signal.getsignal(signal.SIGTERM) is before


def test_files_that_failed_make_an_error_of_the_whole():
  registry.check_whole({'failed': []})
  registry.check_whole({})
  one = {'failed': [{'file': 'a', 'reason': 'it is empty'}]}
  with pytest.raises(errors.PartialError, match="^one file could .*, 'a': it"):
    registry.check_whole(one)
  with pytest.raises(errors.PartialError, match="^2 files .* first 'a': empty"):
    registry.check_whole(
      {
        'failed': [
          {'file': 'a', 'reason': 'empty'},
          {'file': 'b', 'reason': ''},
        ]
      }
    )


class Given(dict):
  """Flags of which some are given."""

  def __init__(self, mode, **values):
    super().__init__(values)
    self.mode = mode

  def __getitem__(self, name):
    return types.SimpleNamespace(value=self.get(name))


def test_a_needed_flag_says_its_choices():
  for mode, row in registry.COMMANDS.items():
    for name in row.needs:
      others = {x: 'x' for x in row.needs if x != name}
      with pytest.raises(errors.InputError) as found:
        registry.check(Given(mode, **others), ())
      choices = list(registry.choices(name))
      assert bool(choices) == (name != 'workdir')
      known = words.join(choices, 'or')
      end = f', which is {known}' if choices else ''
      assert str(found.value) == f'--mode={mode} needs --{name}{end}'
      if name in ('format', 'source'):
        assert all(x in flags_lib.FLAGS[name].help for x in choices)


def test_a_stray_word_says_what_it_may_be():
  for word, meant in (
    ('train', '--mode=train'),
    ('digits', '--config=digits'),
    ('my.py', '--config=my.py'),
  ):
    with pytest.raises(errors.InputError, match=f'did you mean {meant}'):
      registry.check(Given('train'), (word,))


def test_every_flag_that_is_a_path_is_known():
  # A new flag of text is listed here or in `registry.PATHS`.
  texts = {'protocol', 'aggregation', 'weights', 'source', 'format'}
  texts |= {'preprocessing', 'config'}  # Files' names, or other things.
  known = {
    name
    for row in registry.COMMANDS.values()
    for name in (*row.needs, *row.takes)
    if flags_lib.FLAGS[name].flag_type() == 'string'
  }
  assert known - texts == set(registry.PATHS)


@pytest.mark.parametrize('name', registry.PATHS)
@pytest.mark.parametrize('mode', list(registry.COMMANDS))
def test_every_path_is_expanded_and_checked(mode, name, monkeypatch, tmp_path):
  row = registry.COMMANDS[mode]
  if name not in (*row.needs, *row.takes):
    return
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.setattr(protocol, 'from_flags', lambda **flags: None)
  run = lambda path: registry._arguments(row, Given(mode, **{name: path}), ())
  splits = name == 'workdir' and mode in ('evaluate', 'report', 'compare')
  found = run('~/x')[row.arguments.get(name, name)]
  assert found == ('~/x' if splits else f'{tmp_path}/x')
  if not splits:
    with pytest.raises(errors.InputError, match=f'--{name}=https://x.org: web'):
      run('https://x.org')


def test_functions_expand_paths_themselves(monkeypatch, tmp_path):
  from inception_jax.commands import (
    export,
    import_weights,
    predict,
    summary,
  )

  monkeypatch.chdir(tmp_path)

  def stop(path, name):
    raise errors.InputError(f'{name} is {path}')

  monkeypatch.setattr(paths, 'expand', stop)
  config = {'model': {}, 'data': {}}
  for call in (
    lambda: export.export('~/x', 'npz'),
    lambda: export._output_path('x', 'npz', '~/x'),
    lambda: predict.predict('x', [], output='~/x'),
    lambda: summary.summarize(config, '~/x'),
    lambda: import_weights.import_weights('google', '~/x'),
  ):
    with pytest.raises(errors.InputError, match='is ~/x'):
      call()
  assert not list(tmp_path.iterdir())
