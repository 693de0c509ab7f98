"""Errors whose message is meant for the user."""

from collections.abc import Iterable, Iterator
import difflib
import errno
import os
import re

# Least likeness of a word that is suggested.
_CUTOFF = 0.75
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_TEXT = re.compile('No space left|[Qq]uota|File too large')
# Control sequences, as of colours; strings up to their end, as of titles and
# links; and the others, of two characters or more.
_ESCAPES = re.compile(
  r'\x1b\[[0-?]*[ -/]*[@-~]'
  r'|\x9b[0-?]*[ -/]*[@-~]'
  r'|\x1b[PX\]^_].*?(?:\x1b\\|\x07|$)'
  r'|\x1b[ -/]*[0-~]?',
  re.DOTALL,
)
# Parts of words in some scripts, and of emojis.
_JOINERS = '\u200c\u200d'
_OS_ERROR = re.compile(r"(?:\[OS error |os_error_code=')(\d+)")


class UserFacingError(Exception):
  """Ends the program with one sentence instead of a traceback.

  The sentence names the file or field and the remedy.

  Attributes:
    exit_status: of the program.
  """

  exit_status = 1


class InputError(UserFacingError, ValueError):
  """Something the user gave cannot be used; nothing was written."""


class PartialError(UserFacingError):
  """Some of what was asked for could not be done; the rest is there."""


class TrainingError(UserFacingError, RuntimeError):
  """Training cannot go on."""


class NotFiniteError(TrainingError):
  """A loss or norm is NaN or infinite, so that training cannot go on.

  Args:
    message: which, and at which step.
    last_good: step of the newest checkpoint, all of which is finite, or None.
  """

  def __init__(self, message: str, last_good: int | None):
    super().__init__(message)
    self.last_good = last_good


class Interrupted(UserFacingError):
  """A signal ended the run early, after saving.

  Args:
    message: where the run stopped.
    signum: number of the signal; the exit status is 128 more, as in shells.
  """

  def __init__(self, message: str, signum: int):
    super().__init__(message)
    self.exit_status = 128 + signum


def cannot_write(
  target: object,
  error: Exception,
  remedy: str,
  kind: type[UserFacingError] = InputError,
) -> UserFacingError:
  """The error for a file or folder that cannot be written.

  Args:
    target: the path, or the flag and its value.
    error: what the system, or the library that writes, says.
    remedy: what the user can do.
    kind: class of the result.

  Returns:
    The error, to be raised from `error`.
  """
  reason = system_reason(error) or first_line(error)[:300]
  return kind(f'{target} cannot be written ({reason}); {remedy}')


def system_reason(error: BaseException) -> str | None:
  """What the system said, if an error or what caused it tells."""
  for link in chain(error):
    if reason := getattr(link, 'strerror', None):
      return reason
    if found := os_error_numbers(str(link)):
      return os.strerror(min(found))
  return None


def os_error_numbers(text: str) -> set[int]:
  """The system's error numbers in what TensorStore says, in any version."""
  return set(map(int, _OS_ERROR.findall(text)))


def remedy_of_writing(error: BaseException) -> str:
  """What the user can do about a failed write: free space only if none is."""
  for link in chain(error):
    numbers = {getattr(link, 'errno', None), *os_error_numbers(str(link))}
    # Some libraries give the system's words only.
    if numbers & _FULL or _FULL_TEXT.search(str(link)):
      return 'free some space'
  return 'mend that'


def chain(error: BaseException | None) -> Iterator[BaseException]:
  """An error, what it was raised from, and so on."""
  seen = set()
  while error is not None and id(error) not in seen:
    seen.add(id(error))
    yield error
    hidden = error.__suppress_context__
    error = error.__cause__ or (None if hidden else error.__context__)


def suggestion(word: str, known: Iterable[str], cutoff: float = _CUTOFF) -> str:
  """`; did you mean 'x'?` for the known word nearest to `word`, or nothing.

  Args:
    word: what the user gave.
    known: what there is.
    cutoff: least likeness from 0 to 1, see `difflib`: one wrong letter of four
      leaves 0.75.
  """
  close = nearest(word, known, cutoff)
  return '' if close is None else f'; did you mean {close!r}?'


def nearest(
  word: str, known: Iterable[str], cutoff: float = _CUTOFF
) -> str | None:
  """The known word nearest to `word`, if one is near; see `suggestion`.

  Capitals do not count. Where no great likeness is asked for, the beginning of
  a single known word is near.
  """
  lower = {x.lower(): x for x in known}
  word = word.lower()
  close = difflib.get_close_matches(word, lower, n=1, cutoff=cutoff)
  if not close and len(word) > 2 and cutoff <= _CUTOFF:
    begun = [x for x in lower if x.startswith(word)]
    close = begun if len(begun) == 1 else []
  return lower[close[0]] if close else None


def first_line(error: BaseException) -> str:
  """What an error of a library says, short enough for a sentence.

  Without the codes that colour it in a terminal.
  """
  lines = plain(str(error)).strip().splitlines()
  return lines[0] if lines else type(error).__name__


def plain(text: str) -> str:
  """Text without the escape sequences of terminals (ECMA-48)."""
  return _ESCAPES.sub('', text)


def on_one_line(text: str) -> str:
  """Text on one line, whatever characters the names and paths in it have.

  What a terminal would obey instead of showing is escaped: control characters,
  those that change the direction of what follows, and bytes of no character.
  """
  return ''.join(
    x
    if x.isprintable() or x in _JOINERS
    else x.encode('unicode_escape').decode()
    for x in text
  )


def printable(text: str) -> str:
  """As `on_one_line`, of a text of several lines."""
  return '\n'.join(map(on_one_line, text.split('\n')))
