"""Tests of names of files and folders as users give them."""

import os

import pytest

from inception_jax.runtime import errors, paths

ODD = {
  'bracket': 'a[b',
  'closing': 'a]b',
  'pair': '[x]',
  'backslash': 'a\\b',
  'star': 'a*b',
  'mark': 'a?b',
  'no utf-8': os.fsdecode(b'a\xffb'),
}
GOOD = (
  *('a b', 'a,b', "a'b", 'a"b', 'a%20b', '{x}', 'a@b', '#', '$x', 'a:b', 'ü'),
  *('-x', 'a\nb', 'x' * 200, '.x', 'a=b'),
)


def test_the_home_folder(tmp_path, monkeypatch, any_bucket):
  monkeypatch.setenv('HOME', str(tmp_path))
  assert paths.expand('~/a', '--x') == f'{tmp_path}/a'
  assert paths.expand('~', '--x') == str(tmp_path)
  for path in ('a/~', './~', 'a~b', '/~', 'gs://bucket/~'):
    assert paths.expand(path, '--x') == path
  with pytest.raises(errors.InputError, match="no user 'nobody_of_this_name'"):
    paths.expand('~nobody_of_this_name/a', '--x')


@pytest.mark.parametrize(
  ('path', 'words'),
  [
    ('https://x.org/a.npz', 'web addresses are not supported; download it'),
    ('HTTP://x.org', 'web addresses are not supported; download it'),
    ('s3://bucket/a', 's3:// are not supported; give a local path, or gs://'),
    ('GS://bucket/a', 'GS:// are not supported'),
    ('file:///a', 'file:// are not supported'),
    ('', 'must name a file or folder'),
    (7, 'must name a file or folder, not 7'),
  ],
)
def test_what_is_not_supported_is_named(path, words):
  with pytest.raises(errors.InputError, match='--x') as found:
    paths.expand(path, '--x')
  assert words in str(found.value)


@pytest.mark.parametrize('name', ODD)
def test_folders_that_libraries_cannot_take(tmp_path, name):
  for path in (tmp_path / ODD[name], tmp_path / ODD[name] / 'run'):
    with pytest.raises(errors.InputError, match='--workdir='):
      paths.check_folder(path, '--workdir')


@pytest.mark.parametrize(
  ('path', 'words'),
  [
    ('a\0b', 'a character that no file has in its name'),
    ('a\ud800b', 'a character that no file has in its name'),
    (f'/tmp/{"x" * 256}', 'is too long, with 261 bytes of which 256 are one'),
    (f'/tmp/{"é" * 128}', 'of which 256 are one name'),
    ('/x' * 2048, 'is too long, with 4,096 bytes'),
  ],
)
def test_what_no_file_system_takes(path, words, any_bucket):
  with pytest.raises(errors.InputError, match='--x=') as found:
    paths.expand(path, '--x')
  assert words in str(found.value)
  assert paths.expand('x' * 255, '--x') and paths.expand(
    'gs://' + path[:9], 'x'
  )


@pytest.mark.parametrize('name', ODD)
def test_what_is_there_can_be_read_where_nothing_can_be_written(tmp_path, name):
  path = tmp_path / ODD[name]
  if name in ('backslash', 'no utf-8'):
    with pytest.raises(errors.InputError, match='--workdir='):
      paths.check_folder(path, '--workdir', reads_only=True)
  else:
    paths.check_folder(path, '--workdir', reads_only=True)


def test_the_full_path_counts(tmp_path, monkeypatch):
  (tmp_path / '[x]').mkdir()
  monkeypatch.chdir(tmp_path / '[x]')
  with pytest.raises(errors.InputError, match=r'\[ and \] in its full path'):
    paths.check_folder('run', '--workdir')


@pytest.mark.parametrize('name', GOOD)
def test_other_names_are_good(tmp_path, name):
  paths.check_folder(tmp_path / name, '--workdir')
  assert paths.expand(name, '--x') == name


def test_commas(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in ('a,b', 'c', 'a'):
    (tmp_path / name).mkdir()
  assert paths.split('a,b', '--x') == ['a,b']
  assert paths.split('a,b,c', '--x') == ['a,b', 'c']
  assert paths.split('c, a,b', '--x') == ['c', 'a,b']
  assert paths.split('a,c', '--x') == ['a', 'c']
  assert paths.split('x,y', '--x') == ['x', 'y']
  for text in ('a,', ',a', 'a,,c', ''):
    with pytest.raises(errors.InputError):
      paths.split(text, '--x')
