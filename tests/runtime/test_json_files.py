"""Tests of files of JSON, written whole or line by line."""

from etils import epath
import pytest

from inception_jax.runtime import errors, json_files


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


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
  path = epath.Path(tmp_path / 'x.json')
  json_files.write_json(path, {'b': 1, 'a': [2]})
  assert json_files.read_json(path) == {'a': [2], 'b': 1}
  before = path.read_bytes()

  def full(self, target):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(type(path), 'replace', full)
  with pytest.raises(errors.TrainingError, match=r'cannot be written \(No spa'):
    json_files.write_json(path, {'a': 3})
  assert path.read_bytes() == before
  assert [x.name for x in tmp_path.iterdir()] == ['x.json']
