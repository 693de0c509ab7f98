"""Tests of progress bars."""

import errno
import io
import logging as std_logging
import sys

from absl import logging

from inception_jax.runtime import log, progress


class Terminal(io.TextIOWrapper):
  """Standard error on a terminal."""

  def __init__(self):
    super().__init__(io.BytesIO(), encoding='utf-8', write_through=True)

  def isatty(self):
    return True

  def text(self):
    return self.buffer.getvalue().decode()


def screen(text):
  """The lines that a terminal shows, without those that are blank."""
  lines = []
  for line in text.split('\n'):
    shown = ''
    for part in line.split('\r'):
      shown = part + shown[len(part) :]
    lines.append(shown.rstrip())
  return [line for line in lines if line]


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
  """What is seen of two lines that are logged while a bar is shown."""
  monkeypatch.setattr(sys, 'stderr', stream)
  handler = logging.get_absl_handler().python_handler
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
  lines = [x for x in screen(terminal.text()) if 'flag parsing' not in x]
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
