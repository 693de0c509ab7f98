"""Progress bars: how far long work is, and how long it will still take."""

from collections.abc import Iterable, Iterator
import contextlib
import io
import sys
from typing import Any

import tqdm

from inception_jax.runtime import errors

# A log file needs fewer lines than a terminal.
_SECONDS_ON_TERMINAL = 0.5
_SECONDS_IN_FILE = 10.0


class _StandardError:
  """Standard error; what cannot be written there stops nothing.

  On terminals, and in notebooks, a bar is drawn over itself. In a file each of
  its states is a line.
  """

  _line = ''  # The last one.

  def write(self, text: str) -> None:
    if isinstance(sys.stderr, io.TextIOWrapper) and not _is_terminal():
      line = errors.plain(text).strip()
      text = f'{line}\n' if line and line != self._line else ''
      self._line = line or self._line
    with contextlib.suppress(OSError):
      sys.stderr.write(text)

  def flush(self) -> None:
    with contextlib.suppress(OSError):
      sys.stderr.flush()

  def __getattr__(self, name: str) -> Any:
    return getattr(sys.stderr, name)


_STANDARD_ERROR = _StandardError()


@contextlib.contextmanager
def aside() -> Iterator[None]:
  """Takes all bars off the terminal, for lines that are written inside."""
  if not _is_terminal():
    yield
    return
  with tqdm.tqdm.external_write_mode(file=_STANDARD_ERROR):
    yield


def _is_terminal() -> bool:
  # Nothing at all under pythonw, and closed by `2>&-`.
  with contextlib.suppress(AttributeError, ValueError):
    return sys.stderr.isatty()
  return False


def progress_bar(
  iterable: Iterable[Any] | None = None,
  *,
  desc: str,
  total: int | None,
  unit: str,
  initial: int = 0,
  unit_scale: bool = False,
  disable: bool = False,
  delay: float = 0.0,
) -> tqdm.tqdm:
  """A progress bar on standard error; use it as a context manager.

  Args:
    iterable: what to iterate over; None where the caller calls `update`.
    desc: what is being done.
    total: units in all; None if nobody knows.
    unit: name of one unit, such as 'img'.
    initial: units that were done before.
    unit_scale: whether large counts are shown as k and M.
    disable: whether to show nothing.
    delay: seconds before the bar is first shown.

  Returns:
    The bar.
  """
  return tqdm.tqdm(
    iterable,
    desc=errors.on_one_line(desc),
    total=total,
    unit=unit,
    initial=initial,
    unit_scale=unit_scale,
    disable=disable,
    delay=delay,
    leave=None,  # One within another goes when it has ended.
    file=_STANDARD_ERROR,
    mininterval=_SECONDS_ON_TERMINAL if _is_terminal() else _SECONDS_IN_FILE,
    dynamic_ncols=True,
  )
