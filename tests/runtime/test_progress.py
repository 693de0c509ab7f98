"""Tests of progress bars."""

import errno
import io
import logging as std_logging
import sys
import weakref

from absl import logging
import pytest
import tqdm

from benchmarks import terminal_pictures
from inception_jax.runtime import log, progress


@pytest.fixture(autouse=True)
def no_other_bars(monkeypatch):
  """Those that failed tests of this process have left would be drawn too."""
  monkeypatch.setattr(tqdm.tqdm, '_instances', weakref.WeakSet())


class Terminal(io.TextIOWrapper):
  """Standard error on a terminal."""

  def __init__(self):
    super().__init__(io.BytesIO(), encoding='utf-8', write_through=True)

  def isatty(self):
    return True

  def text(self):
    return self.buffer.getvalue().decode()


class Full:
  """Standard error on a disk that is full."""

  def __init__(self):
    self.tries = 0

  def write(self, text):
    self.tries += 1
    raise OSError(errno.ENOSPC, 'No space left on device')

  flush = isatty = lambda self: False


def test_a_full_disk_stops_no_bar(monkeypatch):
  monkeypatch.setattr(sys, 'stderr', Full())
  with progress.progress_bar(desc='work', total=4, unit='img') as bar:
    bar.update(4)
  assert bar.n == 4 and sys.stderr.tries


def test_bars_go_to_standard_error(capsys):
  with progress.progress_bar(desc='work', total=4, unit='img') as bar:
    bar.update(4)
  assert list(progress.progress_bar('ab', desc='b', total=2, unit='x')) == [
    'a',
    'b',
  ]
  out, err = capsys.readouterr()
  assert not out and 'work: 100%' in err and '4/4' in err


def test_a_disabled_bar_shows_nothing(capsys):
  with progress.progress_bar(desc='w', total=1, unit='x', disable=True) as bar:
    bar.update(1)
  assert capsys.readouterr() == ('', '')


def logged_within_a_bar(monkeypatch, stream):
  """Two lines that are logged while a bar is shown, as they are seen."""
  monkeypatch.setattr(sys, 'stderr', stream)
  handler = logging.get_absl_handler().python_handler
  # As another test of this process may have left it.
  monkeypatch.setattr(handler, 'stream', stream)
  monkeypatch.setattr(handler, 'emit', handler.emit)
  log._set_bars_aside(handler)
  with progress.progress_bar(desc='work', total=4, unit='img') as bar:
    for number in range(2):
      bar.update(1)
      bar.refresh()
      text = f'line {number}'
      handler.emit(
        std_logging.LogRecord('absl', std_logging.ERROR, '', 1, text, (), None)
      )
    log.say('error: over')
    bar.update(2)


def test_lines_are_logged_above_the_bar(monkeypatch):
  terminal = Terminal()
  logged_within_a_bar(monkeypatch, terminal)
  # What absl may say of flags that are not parsed is not ours.
  lines = terminal_pictures.screen(terminal.text())
  lines = [x for x in lines if x and 'flag parsing' not in x]
  assert [x.partition('] ')[2] for x in lines[:2]] == ['line 0', 'line 1']
  assert lines[2] == 'error: over'
  assert len(lines) == 4 and lines[3].startswith('work: 100%')
  assert '\x1b' not in terminal.text()


def test_in_a_file_each_state_of_a_bar_is_a_line(monkeypatch, tmp_path):
  path = tmp_path / 'log'
  with open(path, 'w') as file:
    logged_within_a_bar(monkeypatch, file)
  text = path.read_text()
  lines = [x for x in text.splitlines() if 'flag parsing' not in x]
  assert '\r' not in text and '\x1b' not in text and '' not in lines
  kinds = [x.split(':')[0] if x[:1] in 'we' else 'log' for x in lines]
  assert kinds == ['work', 'work', 'log', 'work', 'log', 'error', 'work']


def nested(monkeypatch, stream):
  monkeypatch.setattr(sys, 'stderr', stream)
  with progress.progress_bar(desc='outer', total=2, unit='img') as outer:
    for _ in range(2):
      with progress.progress_bar(desc='inner', total=1, unit='x') as inner:
        inner.update(1)
        inner.refresh()
      outer.update(1)


def test_a_bar_within_another_goes_when_it_has_ended(monkeypatch, tmp_path):
  terminal = Terminal()
  nested(monkeypatch, terminal)
  (line,) = filter(None, terminal_pictures.screen(terminal.text()))
  assert line.startswith('outer: 100%')
  path = tmp_path / 'log'
  with open(path, 'w') as file:
    nested(monkeypatch, file)
  lines = path.read_text().splitlines()
  assert all(x.startswith(('outer: ', 'inner: ')) for x in lines)
  assert sum('inner: 100%' in x for x in lines) == 2
