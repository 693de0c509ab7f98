"""What the metadata server of a TPU VM answers, for tests."""

import http.server
import threading


class MetadataServer:
  """Serves the attributes of one worker on a port of its own.

  Args:
    attributes: values by name; others are 404.
  """

  def __init__(self, attributes: dict[str, str]):
    class Handler(http.server.BaseHTTPRequestHandler):
      def do_GET(self):
        value = attributes.get(self.path.rsplit('/', 1)[1])
        self.send_response(404 if value is None else 200)
        self.end_headers()
        self.wfile.write((value or '').encode())

      def log_message(self, *arguments):
        pass

    self._server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=self._server.serve_forever, daemon=True).start()

  @property
  def address(self) -> str:
    """For the variable `GCE_METADATA_IP`."""
    return f'127.0.0.1:{self._server.server_port}'

  def close(self) -> None:
    self._server.shutdown()
    self._server.server_close()
