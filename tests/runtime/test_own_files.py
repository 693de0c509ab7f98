"""Tests of files that commands write for the user."""

import os
import pathlib

import pytest

from inception_jax.runtime import errors, own_files


def names(folder):
  return sorted(x.name for x in folder.iterdir() if x.name != own_files.LIST)


def test_what_was_written_is_replaced(tmp_path):
  for contents in ('a', 'b', 'a'):
    own_files.write(tmp_path / 'x.csv', '--output', contents)
    assert (tmp_path / 'x.csv').read_text() == contents
  assert names(tmp_path) == ['x.csv']


@pytest.mark.parametrize('earlier', [None, 'ours'])
def test_what_the_user_wrote_or_changed_stays(tmp_path, earlier):
  path = tmp_path / 'x.csv'
  if earlier:
    own_files.write(path, '--output', earlier)
  path.write_text('mine')
  for attempt in (
    lambda: own_files.check(path, '--output'),
    lambda: own_files.write(path, '--output', 'new'),
  ):
    with pytest.raises(errors.InputError, match=r'--output: .*x\.csv is there'):
      attempt()
  assert path.read_text() == 'mine'


def test_all_or_none(tmp_path, monkeypatch):
  own = own_files.OwnFiles(tmp_path, '--output')
  own.write({'a': b'1', 'b': b'1'})
  replace = os.replace

  def failing(source, target, **options):
    if str(target).endswith('/b') and 'partial' in str(source):
      raise OSError(28, 'No space left on device')
    replace(source, target, **options)

  with monkeypatch.context() as patch:
    patch.setattr(os, 'replace', failing)
    with pytest.raises(OSError, match='No space'):
      own.write({'a': b'2', 'b': b'2', 'c': b'2'})
  assert names(tmp_path) == ['a', 'b']
  assert (tmp_path / 'a').read_bytes() == (tmp_path / 'b').read_bytes() == b'1'
  own.write({'a': b'3', 'b': b'3', 'c': b'3'})
  assert names(tmp_path) == ['a', 'b', 'c']


def test_a_foreign_file_among_several_stops_all(tmp_path):
  (tmp_path / 'b').write_bytes(b'mine')
  with pytest.raises(errors.InputError, match='/b is there already'):
    own_files.OwnFiles(tmp_path, '--output').write({'a': b'1', 'b': b'1'})
  assert names(tmp_path) == ['b']


def test_only_own_files_are_removed(tmp_path):
  own = own_files.OwnFiles(tmp_path, '--output')
  own.write({'a': b'1', 'b': b'1'})
  (tmp_path / 'c').write_bytes(b'mine')
  own.write({'a': b'2'}, removes=['b', 'c', 'd'])
  assert names(tmp_path) == ['a', 'c']


def test_a_kill_before_or_after_the_file_is_written(tmp_path):
  path = tmp_path / 'x'
  own_files.write(path, '--output', 'old')
  own = own_files.OwnFiles(tmp_path, '--output')
  own.remember({'x': 'digest of what was never written'})
  own_files.write(path, '--output', 'new')
  assert path.read_text() == 'new'


def test_links_folders_and_pipes(tmp_path):
  target = tmp_path / 'there' / 'x'
  target.parent.mkdir()
  (tmp_path / 'link').symlink_to(target)
  own_files.write(tmp_path / 'link', '--output', 'text')
  own_files.write(tmp_path / 'link', '--output', 'more')
  assert (tmp_path / 'link').is_symlink() and target.read_text() == 'more'
  os.mkfifo(tmp_path / 'pipe')
  for path in ('pipe', 'there'):
    with pytest.raises(errors.InputError, match='no regular file'):
      own_files.write(tmp_path / path, '--output', 'text')
  with pytest.raises(errors.InputError, match='no regular file'):
    own_files.write(pathlib.Path('/dev/null'), '--output', 'text')


def test_failing_twice_does_not_forget_whose_a_file_is(tmp_path):
  own_files.write(tmp_path / 'x', '--output', 'old')
  own = own_files.OwnFiles(tmp_path, '--output')
  for digest in ('first', 'second', 'third'):  # None of which is written.
    own.remember({'x': digest})
  own_files.write(tmp_path / 'x', '--output', 'new')
  assert (tmp_path / 'x').read_text() == 'new' and names(tmp_path) == ['x']
