"""Tests of downloads, from a server on this machine."""

import dataclasses
import errno
import hashlib
import http.server
import shutil
import threading

from etils import epath
import pytest

from inception_jax.commands import import_weights as importing
from inception_jax.runtime import errors
from inception_jax.weights import download

CONTENTS = bytes(range(256)) * 5000


class Handler(http.server.BaseHTTPRequestHandler):
  """Serves a few paths.

  `/whole`; `/short`, which breaks off; `/flaky`, which does so once; and
  `/unknown`, which does not say how long it is.
  """

  def do_GET(self):
    if self.path not in ('/whole', '/short', '/flaky', '/unknown'):
      self.send_error(404, 'Not Found')
      return
    self.server.num_requests += 1
    self.server.encodings.append(self.headers['Accept-Encoding'])
    self.send_response(200)
    if self.path != '/unknown':
      self.send_header('Content-Length', str(len(CONTENTS)))
    self.end_headers()
    half = self.path == '/short'
    half |= self.path == '/flaky' and self.server.num_requests == 1
    self.wfile.write(CONTENTS[: len(CONTENTS) // 2 if half else None])

  def log_message(self, *unused):
    pass


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
  """Between attempts."""
  monkeypatch.setattr(download.pooch.core.time, 'sleep', lambda seconds: None)


@pytest.fixture
def server():
  with http.server.HTTPServer(('127.0.0.1', 0), Handler) as found:
    found.num_requests, found.encodings = 0, []
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.shutdown()
    thread.join()


def release(server, path='/whole', contents=CONTENTS):
  port = server.server_address[1]
  return download.Release(
    f'http://127.0.0.1:{port}{path}',
    'file.zip',
    hashlib.sha256(contents).hexdigest(),
  )


def test_download(server, tmp_path, capsys):
  path = tmp_path / 'folder' / 'file.zip'
  assert download.fetch(release(server), path) == path
  assert path.read_bytes() == CONTENTS
  assert [x.name for x in path.parent.iterdir()] == ['file.zip']
  assert '100%' in capsys.readouterr().err  # The progress bar.
  download.fetch(release(server), path)
  assert server.num_requests == 1  # It was there already.
  assert server.encodings == ['identity']  # No other bytes than the file's.


def test_what_breaks_off_is_tried_again(server, tmp_path):
  path = download.fetch(release(server, '/flaky'), tmp_path / 'file.zip')
  assert path.read_bytes() == CONTENTS
  assert server.num_requests == 2


def test_length_that_the_server_does_not_say(server, tmp_path):
  path = download.fetch(release(server, '/unknown'), tmp_path / 'file.zip')
  assert path.read_bytes() == CONTENTS


def test_part_of_a_hash(server, tmp_path):
  whole = release(server)
  short = dataclasses.replace(whole, sha256=whole.sha256[:8])
  download.fetch(short, tmp_path / 'file.zip')
  other = dataclasses.replace(whole, sha256='0' * 8)
  with pytest.raises(errors.InputError, match='is not the file that was'):
    download.fetch(other, tmp_path / 'file.zip')
  with pytest.raises(errors.InputError, match=f'{whole.sha256}, not 00000000;'):
    download.fetch(other, tmp_path / 'other.zip')
  assert [x.name for x in tmp_path.iterdir()] == ['file.zip']


def test_default_place(server, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  path = download.fetch(release(server))
  assert path == tmp_path / '.cache' / 'inception_jax' / 'file.zip'


def test_another_file_than_was_published(server, tmp_path):
  path = tmp_path / 'file.zip'
  other = release(server, contents=b'other')
  with pytest.raises(errors.InputError, match=f'not {other.sha256}.*--input'):
    download.fetch(other, path)
  assert not list(tmp_path.iterdir())
  path.write_bytes(b'mine')
  with pytest.raises(errors.InputError, match='is not the file that was'):
    download.fetch(release(server), path)
  assert path.read_bytes() == b'mine' and server.num_requests == 1


@pytest.mark.parametrize('path', ['/short', '/none'])
def test_what_fails_leaves_nothing(server, tmp_path, path):
  reason = {'/short': 'broke off|IncompleteRead', '/none': 'Not Found'}[path]
  with pytest.raises(errors.InputError) as error:
    download.fetch(release(server, path), tmp_path / 'file.zip')
  message = str(error.value)
  assert 'could not be downloaded' in message
  assert any(x in message for x in reason.split('|'))
  assert f'--input={tmp_path / "file.zip"}' in message
  assert '\n' not in message
  assert not list(tmp_path.iterdir())
  assert server.num_requests == (3 if path == '/short' else 0)


def test_too_few_bytes_that_no_library_notices(tmp_path, monkeypatch):
  def half(self, url, output_file, fetcher):
    self.progressbar.total = 8
    output_file.write(b'half')

  monkeypatch.setattr(download.pooch.HTTPDownloader, '__call__', half)
  nowhere = download.Release('http://127.0.0.1:9/x', 'x')
  with pytest.raises(errors.InputError, match='it broke off after 4 bytes'):
    download.fetch(nowhere, tmp_path / 'x')
  assert not list(tmp_path.iterdir())


def test_full_disk_leaves_nothing(server, tmp_path, monkeypatch):
  def copy(source, target):
    target.write(source.read(10))
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(download.shutil, 'copyfileobj', copy)
  path = tmp_path / 'folder' / 'deeper' / 'file.zip'
  message = rf'downloaded to {path} \(No space left on device\); .*--input'
  with pytest.raises(errors.InputError, match=message):
    download.fetch(release(server), path)
  assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_made(server, tmp_path):
  (tmp_path / 'file').write_text('mine')
  with pytest.raises(errors.InputError, match=r'\(File exists\)'):
    download.fetch(release(server), tmp_path / 'file' / 'file.zip')
  assert [x.name for x in tmp_path.iterdir()] == ['file']
  assert server.num_requests == 0


def test_more_than_any_such_file_has(server, tmp_path, monkeypatch):
  monkeypatch.setattr(download, 'MAX_BYTES', 1)
  with pytest.raises(errors.InputError, match='it has more than 1 bytes'):
    download.fetch(release(server), tmp_path / 'file.zip')
  assert not list(tmp_path.iterdir())
  assert server.num_requests == 1


def test_a_bad_file_that_is_there_already_can_be_got_rid_of(tmp_path):
  path = tmp_path / 'x.tar.gz'
  path.write_bytes(b'<html>')  # Of TF-slim's nobody has published a hash.
  with pytest.raises(errors.InputError, match=f'delete {path} and run'):
    importing.import_weights(
      'tf_slim', tmp_path / 'run', path=path, download=True
    )


def test_no_network(tmp_path):
  nowhere = download.Release('http://127.0.0.1:9/x', 'x', '0')
  message = r'127.0.0.1:9/x could not be .* \(Connection refused\)'
  with pytest.raises(errors.InputError, match=message):
    download.fetch(nowhere, tmp_path / 'x')


def test_two_at_once_leave_the_whole_file(tmp_path, monkeypatch):
  source, path = epath.Path(tmp_path) / 'from', epath.Path(tmp_path) / 'to'
  source.write_bytes(b'all of it')
  copy = shutil.copyfileobj

  def copy_second(original, target):
    target.write(b'all')
    monkeypatch.setattr(shutil, 'copyfileobj', copy)
    download._copy(source, path)  # Another process.
    assert path.read_bytes() == b'all of it'
    target.write(b' of it')

  monkeypatch.setattr(shutil, 'copyfileobj', copy_second)
  download._copy(source, path)
  assert path.read_bytes() == b'all of it'
  assert len(list(tmp_path.iterdir())) == 2
