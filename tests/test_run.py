"""Tests of the run directory's files; `test_train` has those of a whole run."""

import json

from etils import epath
import pytest

from inception_jax import errors, run


def write(path, steps):
  lines = run.JsonLines(epath.Path(path))
  for step in steps:
    lines.append({'step': step, 'train': {'loss': 0.1 * step}})
    lines.flush()
  return lines


def steps_of(path):
  return [json.loads(text)['step'] for text in path.read_text().splitlines()]


def test_lines_are_appended_and_read_again(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  write(path, [1, 2])
  assert steps_of(path) == [1, 2]
  lines = write(path, [3, 4])
  assert steps_of(path) == [1, 2, 3, 4]
  assert [line['train']['loss'] for line in lines] == [0.1, 0.2, 0.1 * 3, 0.4]


def test_dropped_lines_leave_the_file_too(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  lines = write(path, [1, 2, 3, 4])
  lines.drop_after(2)
  lines.append({'step': 3})
  lines.flush()
  lines.append({'step': 5})
  lines.flush()
  assert steps_of(path) == [1, 2, 3, 5]


def test_half_line_of_a_kill_is_dropped(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  write(path, [1, 2])
  path.write_text(path.read_text()[:-9])
  lines = write(path, [3])
  assert [line['step'] for line in lines] == [1, 3] == steps_of(path)


def test_damage_before_the_end_is_an_error_that_names_the_line(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  write(path, [1, 2, 3])
  path.write_text(path.read_text().replace('2', '{', 1))
  with pytest.raises(errors.InputError, match='metrics.jsonl .*line 2'):
    run.JsonLines(epath.Path(path))


def test_unwritable_file_is_a_sentence(tmp_path):
  lines = run.JsonLines(epath.Path(tmp_path / 'none' / 'metrics.jsonl'))
  lines.append({'step': 1})
  for _ in range(2):
    with pytest.raises(errors.TrainingError, match='could not be written'):
      lines.flush()


def test_a_run_may_go_on_skipping_bad_images(tmp_path):
  config = {'data': {'name': 'digits', 'on_bad_image': 'fail'}}
  (tmp_path / 'config.json').write_text(json.dumps(config))
  config['data']['on_bad_image'] = 'skip'
  run.RunDirectory(tmp_path, config)
  config['data']['name'] = 'other'
  with pytest.raises(errors.InputError, match='data.name'):
    run.RunDirectory(tmp_path, config)
