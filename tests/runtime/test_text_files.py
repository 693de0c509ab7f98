"""Tests of text as editors write it."""

import pytest

from inception_jax.runtime import text_files

LINES = 'café\r\nGänseblümchen\r\nrose – red\r\n'
TEXT = 'café\nGänseblümchen\nrose – red\n'


@pytest.mark.parametrize(
  'encoding',
  [
    'utf-8',
    'utf-8-sig',
    'utf-16',
    'utf-16-le',
    'utf-16-be',
    'utf-32',
    'cp1252',
  ],
)
def test_the_same_text_in_every_form(tmp_path, encoding):
  data = LINES.encode(encoding)
  assert text_files.decode(data) == TEXT
  (tmp_path / 'x.txt').write_bytes(data)
  assert text_files.read(tmp_path / 'x.txt') == TEXT


def test_marks_of_the_other_order():
  assert text_files.decode(b'\xfe\xff' + 'añ'.encode('utf-16-be')) == 'añ'
  data = b'\0\0\xfe\xff' + 'añ'.encode('utf-32-be')
  assert text_files.decode(data) == 'añ'
  assert text_files.decode(b'') == '' and text_files.decode(b'a\rb') == 'a\nb'


@pytest.mark.parametrize(
  'data',
  [
    b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR',
    b'PK\x03\x04\x14\0\0\0\x08\0',
    b'\xff\xfe\x00\xd8a\0',  # Half of a pair.
    b'a\x01b',
    bytes(range(1, 256)),
    b'caf\x81',
  ],
)
def test_what_is_no_text_is_refused(data):
  with pytest.raises(ValueError, match='it is no text'):
    text_files.decode(data)


@pytest.mark.parametrize(
  ('data', 'is_readable'),
  [
    ('# Größe\r\nx = 1\r\n'.encode(), True),
    ('# Größe'.encode('utf-8-sig'), True),
    ('# coding: cp1252\n# Größe'.encode('cp1252'), True),
    (b'# Python minds other letters in strings only: Gr\xf6\xdfe', True),
    ('x = "Größe"'.encode('cp1252'), False),
    (('\n' * 9 + 'x = "Größe"').encode('cp1252'), False),
    ('# x'.encode('utf-16'), False),
    ('# x'.encode('utf-16-le'), False),
    (b'# coding: none\n', False),
  ],
)
def test_files_of_python(tmp_path, data, is_readable):
  (tmp_path / 'x.py').write_bytes(data)
  if is_readable:
    text_files.check_source(tmp_path / 'x.py')
    compile(data, 'x.py', 'exec')
    return
  with pytest.raises(ValueError, match='x.py is not UTF-8.*save it as UTF-8'):
    text_files.check_source(tmp_path / 'x.py')
  with pytest.raises((SyntaxError, ValueError)):
    compile(data, 'x.py', 'exec')
  text_files.check_source(tmp_path / 'none.py')
  text_files.check_source(tmp_path)


def test_sizes_are_bounded(tmp_path, monkeypatch):
  monkeypatch.setattr(text_files, '_MAX_BYTES', 10)
  (tmp_path / 'x').write_text('a' * 11)
  with pytest.raises(ValueError, match='more than 10 bytes'):
    text_files.read(tmp_path / 'x')
