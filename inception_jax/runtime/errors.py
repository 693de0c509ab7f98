"""Errors whose message is meant for the user."""

from collections.abc import Iterable
import difflib


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


def suggestion(word: str, known: Iterable[str]) -> str:
  """`; did you mean 'x'?` for the known word nearest to `word`, or nothing."""
  close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
  return f'; did you mean {close[0]!r}?' if close else ''


def first_line(error: BaseException) -> str:
  """What an error of a library says, short enough for a sentence."""
  return (str(error).strip() or type(error).__name__).splitlines()[0]
