"""The file that holds what a run has logged."""

import os

from absl import logging
from etils import epath

from inception_jax.runs import log_file


def test_it_is_appended_to(tmp_path, monkeypatch):
  # Else pytest keeps the texts, which its workers cannot send to each other.
  monkeypatch.setattr(logging.get_absl_logger(), 'propagate', False)
  for text in ('first', 'second \udcff'):
    with log_file.keep(epath.Path(tmp_path)):
      logging.warning(text)
    logging.warning('outside')
  lines = (tmp_path / 'train.log').read_text().splitlines()
  assert [line.split('] ')[1] for line in lines] == ['first', 'second \\udcff']


def test_what_cannot_be_written_stops_nothing(tmp_path, capfd):
  with log_file.keep(epath.Path(tmp_path / 'no folder')):
    logging.warning('x')
  (tmp_path / 'train.log').symlink_to('/dev/full')
  with log_file.keep(epath.Path(tmp_path)):
    logging.warning('x')
  assert 'Traceback' not in capfd.readouterr().err


def test_nothing_is_written_twice(tmp_path, monkeypatch):
  path = tmp_path / 'train.log'
  with path.open('wb') as file:
    real, number = os.fstat, file.fileno()
    monkeypatch.setattr(
      log_file.os, 'fstat', lambda x: real(number if x == 2 else x)
    )
    with log_file.keep(epath.Path(tmp_path)):
      logging.warning('x')
  assert path.read_bytes() == b''
