"""Which characters can be drawn, and in which of the installed fonts.

Matplotlib draws all characters that its font lacks as the same box, so that
names in other scripts would look alike.
"""

import functools

from absl import logging
import matplotlib
from matplotlib import font_manager


def families(text: str) -> list[str]:
  """Names of the fonts in which to draw a text, the usual one first.

  Args:
    text: all that is in a figure.
  """
  found = [_usual().name, *map(_fallback, _lacking(text))]
  return list(dict.fromkeys(filter(None, found)))


def drawable(text: str) -> str:
  """A text with escapes in place of what no installed font has.

  Args:
    text: any.
  """
  boxes = {x for x in _lacking(text) if _fallback(x) is None}
  if boxes:
    _warn()
  return ''.join(
    x.encode('unicode_escape').decode() if x in boxes else x for x in text
  )


def _lacking(text: str) -> list[str]:
  """Characters that the usual font does not have, each once."""
  known = _characters(_usual().fname)
  return sorted(x for x in set(text) - {'\n'} if ord(x) not in known)


@functools.cache
def _usual() -> font_manager.FontEntry:
  path = font_manager.findfont(font_manager.FontProperties())
  entries = font_manager.fontManager.ttflist
  return next(x for x in entries if x.fname == path)


@functools.cache
def _fallback(character: str) -> str | None:
  """Name of an installed font that has a character."""
  for entry in font_manager.fontManager.ttflist:
    # Matplotlib's own others are of mathematics, and one has boxes for all.
    # Coloured glyphs cannot be drawn.
    is_own = entry.fname.startswith(matplotlib.get_data_path())
    if is_own or 'Emoji' in entry.name or 'Last Resort' in entry.name:
      continue
    if ord(character) in _characters(entry.fname):
      return entry.name
  return None


@functools.cache
def _characters(path: str) -> frozenset[int]:
  try:
    return frozenset(font_manager.get_font(path).get_charmap())
  except (OSError, RuntimeError):  # Damaged, or removed since.
    return frozenset()


@functools.cache
def _warn() -> None:
  logging.warning(
    'some characters of names are drawn as escapes, since no installed font has'
    ' them; install one, such as Noto Sans CJK, and delete the folder %s',
    matplotlib.get_cachedir(),
  )
