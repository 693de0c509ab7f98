"""Text that a user has written, with whatever editor."""

import codecs
import io
import tokenize

from etils import epath

_MAX_BYTES = 2**24
# The longer first, since one begins as the other.
_MARKS = (
  (codecs.BOM_UTF8, 'utf-8'),
  (codecs.BOM_UTF32_LE, 'utf-32-le'),
  (codecs.BOM_UTF32_BE, 'utf-32-be'),
  (codecs.BOM_UTF16_LE, 'utf-16-le'),
  (codecs.BOM_UTF16_BE, 'utf-16-be'),
)
_NO_TEXT = 'it is no text'
_CONTROLS = frozenset(map(chr, range(32))) - set('\t\n\r\f')


def read(path: epath.Path) -> str:
  """Contents of a text file; see `decode`.

  Raises:
    OSError: if it cannot be read.
    ValueError: if it is no text, or of an absurd size.
  """
  with path.open('rb') as file:
    data = file.read(_MAX_BYTES + 1)
  if len(data) > _MAX_BYTES:
    raise ValueError(f'it has more than {_MAX_BYTES:,} bytes')
  return decode(data)


def check_source(path: epath.Path) -> None:
  """Checks that Python can read a file of its own, such as a config.

  Args:
    path: the file; whoever opens it says so if it is not there.

  Raises:
    ValueError: if it cannot, and the file is neither UTF-8 nor in an encoding
      that it names.
  """
  try:
    with path.open('rb') as file:
      data = file.read(_MAX_BYTES)
  except Exception:  # Of remote files, of several kinds.
    return
  try:
    compile(data, str(path), 'exec', dont_inherit=True)
  except Exception as error:  # Of damaged code, likewise.
    try:
      encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
      if '\0' not in data.decode(encoding):
        return  # Whoever runs it says what is wrong with the code.
    except (SyntaxError, UnicodeDecodeError):
      pass
    raise ValueError(
      f'{path} is not UTF-8, as Python takes its files to be; save it as UTF-8'
    ) from error


def decode(data: bytes) -> str:
  """Text of a file, as editors write it, Windows' too.

  Args:
    data: UTF-8, UTF-16 or UTF-32, with a byte order mark or, but for the last,
      without; or else Windows-1252.

  Returns:
    The text, whose lines end with a line feed alone.

  Raises:
    ValueError: if it is no text.
  """
  text = _decode(data)
  if not _CONTROLS.isdisjoint(text):
    raise ValueError(_NO_TEXT)
  return text.replace('\r\n', '\n').replace('\r', '\n')


def _decode(data: bytes) -> str:
  for mark, encoding in _MARKS:
    if data.startswith(mark):
      return _strictly(data[len(mark) :], encoding)
  # Half of the bytes of Latin letters in UTF-16 are zero, and none in text of
  # bytes.
  zeros = [data[start::2].count(0) for start in (0, 1)]
  if any(zeros):
    little = zeros[1] > zeros[0]
    return _strictly(data, 'utf-16-le' if little else 'utf-16-be')
  try:
    return data.decode()
  except UnicodeDecodeError:
    # Of its 256 bytes five are nothing.
    return _strictly(data, 'cp1252')


def _strictly(data: bytes, encoding: str) -> str:
  try:
    return data.decode(encoding)
  except UnicodeDecodeError as error:
    raise ValueError(_NO_TEXT) from error
