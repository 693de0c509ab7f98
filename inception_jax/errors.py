"""Errors whose message is meant for the user."""

from collections.abc import Iterable
import difflib


class InputError(ValueError):
  """Something the user gave cannot be used.

  The message is one sentence that names the file or field and the remedy; the
  command line prints it without a traceback.
  """


class TrainingError(RuntimeError):
  """Training cannot go on; the message says where it stopped and what to do."""


def suggestion(word: str, known: Iterable[str]) -> str:
  """`; did you mean 'x'?` for the known word nearest to `word`, or nothing."""
  close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
  return f'; did you mean {close[0]!r}?' if close else ''
