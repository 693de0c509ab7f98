"""Tests of progress bars."""

import errno
import sys

from inception_jax.runtime import progress


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
