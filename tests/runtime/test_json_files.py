"""Tests of files of JSON, written whole or line by line."""

import ast
import errno
import json
import math
import os
import pathlib

from etils import epath
import odd_names
import pytest

from inception_jax.runtime import (
  durable,
  errors,
  json_files,
  log,
  read_failures,
)


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-32'])
def test_files_that_an_editor_has_saved(tmp_path, encoding):
  path = epath.Path(tmp_path / 'labels.json')
  path.write_bytes('{"name":\r\n"Gänseblümchen"}'.encode(encoding))
  assert json_files.read_json(path, 'delete it') == {'name': 'Gänseblümchen'}


def test_lines_are_appended_and_dropped(tmp_path):
  path = epath.Path(tmp_path / 'x.jsonl')
  lines = json_files.JsonLines(path)
  for step in range(3):
    lines.append({'step': step})
  lines.flush()
  lines.append({'step': 3})
  lines.flush()
  again = json_files.JsonLines(path)
  assert [line['step'] for line in again] == [0, 1, 2, 3]
  again.drop_after(1)
  again.append({'step': 2, 'new': True})
  again.flush()
  assert path.read_text() == '{"step": 0}\n{"step": 1}\n' + (
    '{"step": 2, "new": true}\n'
  )


def test_half_a_last_line_is_dropped_and_a_damaged_one_named(tmp_path):
  path = epath.Path(tmp_path / 'x.jsonl')
  path.write_text('{"step": 0}\n{"st')
  assert [line['step'] for line in json_files.JsonLines(path)] == [0]
  path.write_text('{"st\n{"step": 1}\n')
  with pytest.raises(errors.InputError, match='damaged in line 1'):
    json_files.JsonLines(path)


def test_a_damaged_last_line_is_no_half_line(tmp_path):
  path = epath.Path(tmp_path / 'x.jsonl')
  path.write_text('{"step": 0}\n{"stup": 1}\n')
  with pytest.raises(errors.InputError, match='damaged in line 2'):
    json_files.JsonLines(path)


def test_what_is_known_is_taken_for_what_the_file_holds(tmp_path, caplog):
  path = epath.Path(tmp_path / 'x.jsonl')
  path.write_text('{"step": 0}\n{"step": 1}\n{"step": 2}\n')
  known = '{"step": 0}\n{"step": 1}\n'
  lines = json_files.JsonLines(path, known)
  assert lines.text == known and [x['step'] for x in lines] == [0, 1]
  assert not caplog.messages
  lines.append({'step': 5, 'x': 0.1})
  lines.flush()
  assert path.read_text() == lines.text == known + '{"step": 5, "x": 0.1}\n'


def test_a_file_that_cannot_be_looked_at_is_not_missing(tmp_path, monkeypatch):
  path = epath.Path(tmp_path / 'x.jsonl')
  path.write_text('{"step": 0}\n')
  real = os.stat

  def failing(name, *arguments, **options):
    if not isinstance(name, int) and os.fspath(name) == str(path):
      raise OSError(errno.EIO, 'Input/output error')
    return real(name, *arguments, **options)

  monkeypatch.setattr(os, 'stat', failing)
  for read in (
    json_files.JsonLines,
    lambda x: json_files.JsonLines(x, ''),
    json_files.read_or_none,
    read_failures.exists,
  ):
    with pytest.raises(errors.InputError, match='x.jsonl cannot be .*Input/ou'):
      read(path)
  monkeypatch.undo()
  assert read_failures.exists(path)
  assert not read_failures.exists(path / 'in a file')
  assert not read_failures.exists(epath.Path(tmp_path / 'nothing'))


def test_a_remote_file_is_replaced_only_when_it_is_synced(
  tmp_path, monkeypatch
):
  # To an object store nothing is appended.
  monkeypatch.setattr(durable, 'is_local', lambda path: False)
  path = epath.Path(tmp_path / 'x.jsonl')
  lines = json_files.JsonLines(path, '')
  lines.append({'step': 1})
  lines.flush()
  assert not path.exists()
  lines.flush(sync=True)
  lines.append({'step': 2})
  lines.flush()
  assert path.read_text() == '{"step": 1}\n'
  lines.flush(sync=True)
  assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
  path = epath.Path(tmp_path / 'x.json')
  json_files.write_json(path, {'b': 1, 'a': [2]})
  assert json_files.read_json(path, 'delete it') == {'a': [2], 'b': 1}
  before = path.read_bytes()

  def full(self, target):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(type(path), 'replace', full)
  with pytest.raises(errors.TrainingError, match=r'cannot be written \(No spa'):
    json_files.write_json(path, {'a': 3})
  assert path.read_bytes() == before
  assert [x.name for x in tmp_path.iterdir()] == ['x.json']


def test_numbers_that_json_does_not_have_are_null(tmp_path):
  value = {'a': [math.nan, 1.5, (math.inf, -math.inf)], 'b': {'c': math.nan}}
  expected = {'a': [None, 1.5, [None, None]], 'b': {'c': None}}

  def strict(text):
    raise AssertionError(f'{text} is no JSON')

  texts = [json_files.dumps(value), json_files.to_text(value)]
  path = epath.Path(tmp_path) / 'x.jsonl'
  lines = json_files.JsonLines(path)
  lines.append({'step': 1, **value})
  lines.flush()
  texts.append(path.read_text())
  for text in texts:
    found = json.loads(text, parse_constant=strict)
    found.pop('step', None)
    assert found == expected


def test_nothing_else_writes_json():
  """`json.dumps` would write NaN as a word that others cannot read."""
  root = pathlib.Path(json_files.__file__).parent.parent
  found = []
  for path in [*root.rglob('*.py'), root.parent / 'main.py']:
    for node in ast.walk(ast.parse(path.read_text())):
      if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and (node.func.value.id, node.func.attr[:4]) == ('json', 'dump')
        and 'allow_nan' not in [x.arg for x in node.keywords]
      ):
        found.append(f'{path.relative_to(root.parent)}:{node.lineno}')
  assert not found


def test_json_on_a_terminal_is_still_json(capsys):
  value = {name: [name] for name in odd_names.NAMES}
  for text in (json_files.dumps(value), json_files.to_text(value)):
    log.print_result(text)
    assert json.loads(capsys.readouterr().out) == value
