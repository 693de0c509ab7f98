"""What the program prints in the end."""

import json
import subprocess
import sys

import launch
import pytest

from inception_jax.commands import program, registry

RESULT = {'workdir': 'x', 'evaluation': {'ema': {'top1': 0.5}}}


@pytest.mark.parametrize('mode', registry.COMMANDS)
@pytest.mark.parametrize('is_terminal', [False, True])
@pytest.mark.parametrize('as_json', [False, True])
def test_result(capsys, monkeypatch, mode, is_terminal, as_json):
  monkeypatch.setattr(
    program.sys.stdout, 'isatty', lambda: is_terminal, raising=False
  )
  program.print_result(RESULT, mode, as_json)
  text = capsys.readouterr().out
  if as_json or not is_terminal:
    assert json.loads(text) == RESULT and text.count('\n') == 1
  elif registry.COMMANDS[mode].prints_text:
    assert text == ''
  else:
    assert text.startswith('workdir  x\n') and 'ema   0.5' in text


def test_commands_that_print_for_people():
  printing = {x for x, y in registry.COMMANDS.items() if y.prints_text}
  assert printing == {'predict', 'prepare', 'inspect', 'summary', 'report'}


# Called one after another in a process, which says what each has imported.
REFUSED = {
  '--mode=trian': 'trian is no command',
  '--mode=evaluate': 'needs --workdir',
  '--config=digits': 'needs --workdir',
  '--config=digit --workdir=x': 'digit is no config',
  '--workdr=x --mode=export': 'unknown flag --workdr',
  '--config=digits --workdir=x --config.train.bach_size=8': 'bach_size',
  '--config=digits --workdir=x --config.train.batch_size=x': 'batch_size',
}
REFUSE = """
import json, os, sys
sys.path.insert(0, '.')
import main
for line in json.loads(sys.argv[1]):
  argv = ['main.py', *line.split()]
  try:
    status = main.main(main.parse_flags(argv))
  except SystemExit as error:
    status = error.code
  from inception_jax.commands import flags
  flags.FLAGS.unparse_flags()
  for name in flags.FLAGS:
    if name in ('mode', 'config', 'workdir'):
      flags.FLAGS[name].unparse()
  say = lambda: print(
    json.dumps([status, sorted({x.split('.')[0] for x in sys.modules})]),
    flush=True,
  )
  say()
from inception_jax.runs import announcement
announcement.announce = lambda *unused: (say(), os._exit(0))
main.main(main.parse_flags(['main.py', *sys.argv[2:]]))
"""


def test_nothing_is_imported_that_is_not_used(tmp_path):
  train = ['--config=fake_data', f'--workdir={tmp_path / "run"}']
  done = subprocess.run(
    [sys.executable, '-c', REFUSE, json.dumps(list(REFUSED)), *train],
    cwd=launch.ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  said = [x for x in done.stderr.splitlines() if x.startswith('error: ')]
  found = [json.loads(line) for line in done.stdout.splitlines()]
  # Up to the first line of training.
  _, modules = found.pop()
  assert 'jax' in modules
  unwanted = {'tensorflow', 'matplotlib', 'scipy', 'sklearn', 'tensorboardX'}
  assert not unwanted & set(modules)
  assert len(said) == len(found) == len(REFUSED)
  for (line, words), sentence, (status, modules) in zip(
    REFUSED.items(), said, found, strict=True
  ):
    assert words in sentence and status == 1
    unwanted = {'tensorflow', 'matplotlib', 'orbax', 'scipy', 'sklearn', 'PIL'}
    if '--config.' not in line:  # The table of fields is made of functions.
      unwanted |= {'jax', 'flax', 'optax', 'numpy'}
    assert not unwanted & set(modules), line
