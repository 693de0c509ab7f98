"""Files that are written all or none; full disks are the command's tests."""

import json

from etils import epath
from listing import contents, names
import pytest

from inception_jax.export import checking, writing
from inception_jax.runtime import locks

CONTENTS = {'.a': b'first', '.b': b'second'}


def write(path, check, contents=CONTENTS):
  return writing.write(path, contents, {'path': str(path)}, check)


def test_files_are_checked_as_written_before_they_have_their_names(tmp_path):
  path = epath.Path(tmp_path) / 'new' / 'x.a'
  seen = []

  def check(files):
    seen.append({ending: file.read_bytes() for ending, file in files.items()})
    assert not {'x.a', 'x.b', 'check.json'} & {*names(path.parent)}
    return {'max_abs_diff': 0.5}

  result = write(path, check)
  assert seen == [CONTENTS]
  assert result == {'path': str(path), 'max_abs_diff': 0.5}
  assert names(path.parent) == ['check.json', 'x.a', 'x.b']
  assert path.with_suffix('.b').read_bytes() == b'second'
  assert json.loads((path.parent / 'check.json').read_text()) == result


@pytest.mark.parametrize('error', [checking.ExportError, KeyboardInterrupt])
def test_check_that_fails_leaves_what_was_there(tmp_path, error):
  def fail(files):
    raise error

  path = epath.Path(tmp_path) / 'x.a'
  with pytest.raises(error):
    write(epath.Path(tmp_path) / 'new' / 'folder' / 'x.a', fail)
  assert not names(tmp_path)
  write(path, lambda files: {'max_abs_diff': 0.0})
  before = contents(tmp_path)
  assert len(before) == 3
  with pytest.raises(error):
    write(path, fail, {'.a': b'third', '.c': b'fourth'})
  assert before == contents(tmp_path)


def test_two_at_once_do_not_lose_what_the_other_found(tmp_path):
  path = epath.Path(tmp_path) / 'x.a'

  def check(files):
    before = contents(tmp_path)
    with pytest.raises(
      locks.HeldError, match='exporting to .*; wait for it or'
    ):
      write(path.with_name('y.a'), None)
    assert contents(tmp_path) == before
    return {'max_abs_diff': 0.5}

  write(path, check)
  assert names(tmp_path) == ['check.json', 'x.a', 'x.b']
