"""Tests of what goes to standard error and output."""

import ast
import asyncio
import errno
import logging as std_logging
import pathlib
import sys

import pytest

from inception_jax import runtime
from inception_jax.runtime import errors, log


class Full:
  """A stream on a disk that is full."""

  def write(self, text):
    raise OSError(errno.ENOSPC, 'No space left on device')

  def flush(self):
    pass

  def fileno(self):
    raise OSError('it has none')


def record(path, level, error=None):
  info = error and (type(error), error, None)
  return std_logging.LogRecord('x', level, path, 1, 'said', (), info)


def test_libraries_are_heard_when_they_warn():
  ours, theirs = runtime.__file__, '/site-packages/orbax/checkpoint/x.py'
  assert log.is_shown(record(ours, std_logging.INFO))
  assert not log.is_shown(record(theirs, std_logging.INFO))
  assert log.is_shown(record(theirs, std_logging.WARNING))


def test_what_a_save_raises_is_not_said_twice():
  error = OSError(errno.ENOSPC, 'No space left on device')
  for path, shown in (
    ('/site-packages/orbax/checkpoint/x.py', False),
    (asyncio.base_events.__file__, False),
    ('/site-packages/other/x.py', True),
    (runtime.__file__, True),
  ):
    assert log.is_shown(record(path, std_logging.ERROR, error)) == shown


def test_a_result_that_cannot_be_printed_is_one_sentence(monkeypatch):
  monkeypatch.setattr(sys, 'stdout', Full())
  with pytest.raises(
    errors.PartialError, match='standard output .*No space.*free some space'
  ):
    log.print_result('{}')


def test_a_sentence_that_cannot_be_printed_stops_nothing(monkeypatch, capsys):
  log.say('heard')
  assert capsys.readouterr() == ('', 'heard\n')
  monkeypatch.setattr(sys, 'stderr', Full())
  log.say('not heard')


def test_what_we_log_is_one_line_whatever_is_in_it():
  ours = record(runtime.__file__, std_logging.INFO)
  ours.msg, ours.args = 'class %s', ('\x1b[31mred\nI0101 12:00 all is well',)
  text = log.Formatter().format(ours)
  assert text.isprintable() and r'\x1b[31mred\nI0101' in text
  theirs = record('/site-packages/x.py', std_logging.INFO)
  theirs.msg = 'two\nlines\r'
  assert log.Formatter().format(theirs).endswith('two\nlines\\r')


def test_nothing_else_prints():
  root = pathlib.Path(runtime.__file__).parent.parent
  found = []
  for path in [*root.rglob('*.py'), root.parent / 'main.py']:
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Call) and (
        ast.unparse(node.func)
        in ('print', 'sys.stdout.write', 'sys.stderr.write')
      ):
        found.append(path.relative_to(root.parent).as_posix())
  assert sorted(found) == [
    'inception_jax/runtime/log.py',
    'inception_jax/runtime/log.py',
    'inception_jax/runtime/progress.py',  # What tqdm has made.
  ]
