"""Tests of downloads, from a server on this machine."""

import hashlib
import http.server
import threading

import pytest

from inception_jax.commands import import_weights as importing
from inception_jax.runtime import errors
from inception_jax.weights import download

CONTENTS = bytes(range(256)) * 5000


class Handler(http.server.BaseHTTPRequestHandler):
  """Serves `/whole`, `/short` (which breaks off) and nothing else."""

  def do_GET(self):
    if self.path not in ('/whole', '/short'):
      self.send_error(404, 'Not Found')
      return
    self.server.num_requests += 1
    self.send_response(200)
    self.send_header('Content-Length', str(len(CONTENTS)))
    self.end_headers()
    half = self.path == '/short'
    self.wfile.write(CONTENTS[: len(CONTENTS) // 2 if half else None])

  def log_message(self, *unused):
    pass


@pytest.fixture
def server():
  with http.server.HTTPServer(('127.0.0.1', 0), Handler) as found:
    found.num_requests = 0
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
  assert not list(tmp_path.iterdir())


def test_more_than_any_such_file_has(server, tmp_path, monkeypatch):
  monkeypatch.setattr(download, 'MAX_BYTES', 1)
  with pytest.raises(errors.InputError, match='it has more than 1 bytes'):
    download.fetch(release(server), tmp_path / 'file.zip')
  assert not list(tmp_path.iterdir())


def test_a_bad_file_that_is_there_already_can_be_got_rid_of(tmp_path):
  path = tmp_path / 'x.tar.gz'
  path.write_bytes(b'<html>')  # Of TF-slim's nobody has published a hash.
  with pytest.raises(errors.InputError, match=f'delete {path} and run'):
    importing.import_weights(
      'tf_slim', tmp_path / 'run', path=path, download=True
    )


def test_no_network(tmp_path):
  nowhere = download.Release('http://127.0.0.1:9/x', 'x', '0')
  with pytest.raises(errors.InputError, match='127.0.0.1:9/x could not be'):
    download.fetch(nowhere, tmp_path / 'x')
