"""Tests of files that outlast a loss of power."""

import ast
import errno
import os
import pathlib

from etils import epath
import pytest

from inception_jax.runtime import durable, json_files


@pytest.mark.skipif(not os.path.exists('/proc/self/fd'), reason='needs /proc')
def test_a_file_is_synced_before_it_has_its_name_and_the_folder_after(
  tmp_path, monkeypatch
):
  events = []
  fsync, replace = os.fsync, os.replace

  def recorded_fsync(descriptor):
    events.append(os.readlink(f'/proc/self/fd/{descriptor}'))
    fsync(descriptor)

  def recorded_replace(source, target, **options):
    events.append(str(target))
    replace(source, target, **options)

  monkeypatch.setattr(os, 'fsync', recorded_fsync)
  monkeypatch.setattr(os, 'replace', recorded_replace)
  json_files.write_json(epath.Path(tmp_path / 'x.json'), {})
  temporary, target, folder = events
  assert os.path.basename(temporary).startswith('.x.json.')
  assert target == str(tmp_path / 'x.json') and folder == str(tmp_path)


def test_new_folders_are_synced_into_those_above(tmp_path, monkeypatch):
  synced = []
  monkeypatch.setattr(durable, 'sync_folder', synced.append)
  durable.make_folder(epath.Path(tmp_path / 'a' / 'b'))
  assert [str(x) for x in synced] == [str(tmp_path), str(tmp_path / 'a')]


@pytest.mark.skipif(not os.path.exists('/proc/self/fd'), reason='needs /proc')
def test_a_folder_is_synced_whole_before_it_is_moved(tmp_path, monkeypatch):
  source, target = tmp_path / 'a' / 'source', tmp_path / 'b' / 'target'
  (source / 'inner').mkdir(parents=True)
  target.parent.mkdir()
  (source / 'inner' / 'x').write_text('x')
  events = []
  fsync, rename = os.fsync, os.rename
  monkeypatch.setattr(
    os,
    'fsync',
    lambda x: (events.append(os.readlink(f'/proc/self/fd/{x}')), fsync(x)),
  )
  monkeypatch.setattr(
    os, 'rename', lambda *x: (events.append('moved'), rename(*x))
  )
  durable.move_folder(epath.Path(source), epath.Path(target))
  place = events.index('moved')
  inside = {source / 'inner' / 'x', source / 'inner', source}
  assert set(map(str, inside)) <= set(events[:place])
  assert events[place + 1 :] == [str(target.parent)]
  assert (target / 'inner' / 'x').read_text() == 'x'


def test_nothing_gets_its_name_elsewhere():
  """Paths are renamed by what syncs them first; all else is listed here."""
  package = pathlib.Path(durable.__file__).parents[1]
  found = set()
  for path in package.rglob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
      if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ('rename', 'renames', 'replace', 'move')
        # Neither text.replace(a, b) nor state.replace(a=b).
        and len(node.args) == 1
        and not node.keywords
        or isinstance(node, ast.Call)
        and ast.unparse(node.func) in ('os.rename', 'os.replace', 'shutil.move')
      ):
        found.add(path.relative_to(package).as_posix())
  assert found == {
    'runtime/durable.py',
    'runtime/own_files.py',  # Syncs all of several files first.
    'runs/checkpoint.py',  # What is deleted, or damaged.
  }


def test_a_file_system_that_refuses_is_warned_of_once(
  tmp_path, monkeypatch, caplog
):
  def refuse(descriptor):
    raise OSError(errno.EINVAL, 'Invalid argument')

  monkeypatch.setattr(os, 'fsync', refuse)
  monkeypatch.setattr(durable, '_refused', set())
  for name in ('a', 'b'):
    json_files.write_json(epath.Path(tmp_path / name), {})
  assert json_files.read_json(epath.Path(tmp_path / 'b'), '') == {}
  assert len([x for x in caplog.messages if 'cannot be synced' in x]) == 1


def test_a_failing_disk_is_an_error(tmp_path, monkeypatch):
  path = epath.Path(tmp_path / 'x.json')
  json_files.write_json(path, {'a': 1})

  def fail(descriptor):
    raise OSError(errno.EIO, 'Input/output error')

  monkeypatch.setattr(os, 'fsync', fail)
  with pytest.raises(Exception, match='Input/output error'):
    json_files.write_json(path, {'a': 2})
  assert json_files.read_json(path, '') == {'a': 1}


def test_remote_paths_are_left_to_their_store():
  durable.sync_file('gs://bucket/file')
  durable.sync_tree('gs://bucket/folder')
