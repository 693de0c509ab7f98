"""Errors whose message is meant for the user."""

from collections.abc import Iterable
import difflib
import errno
import re


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
  reason = getattr(error, 'strerror', None) or first_line(error)[:300]
  return kind(f'{target} cannot be written ({reason}); {remedy}')


def remedy_of_writing(error: BaseException) -> str:
  """What the user can do about a failed write: free space only if none is."""
  link = error
  while link is not None:
    number = getattr(link, 'errno', None)
    full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    # TensorStore gives the system's words only.
    if full or re.search('No space left|[Qq]uota|File too large', str(link)):
      return 'free some space'
    link = link.__cause__ or link.__context__
  return 'mend that'


def suggestion(word: str, known: Iterable[str]) -> str:
  """`; did you mean 'x'?` for the known word nearest to `word`, or nothing."""
  close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
  return f'; did you mean {close[0]!r}?' if close else ''


def first_line(error: BaseException) -> str:
  """What an error of a library says, short enough for a sentence."""
  return (str(error).strip() or type(error).__name__).splitlines()[0]


def on_one_line(text: str) -> str:
  """Text on one line, whatever characters the paths in it have."""
  return ''.join(
    x if x.isprintable() else x.encode('unicode_escape').decode() for x in text
  )
