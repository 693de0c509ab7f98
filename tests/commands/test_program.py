"""What the program prints in the end."""

import json

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
