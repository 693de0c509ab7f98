"""Names that users chose, as figures and tables for people show them."""

from collections import Counter
from collections.abc import Callable, Sequence

from inception_jax.runtime import errors
from inception_jax.visualisation import fonts

_EMPTY = '(no name)'


def one_line(name: str, width: int) -> str:
  """A name for a terminal: the first of its synonyms, shortened at its end.

  Args:
    name: any text; what cannot be printed is escaped.
    width: number of characters that the result may have.
  """
  return _cut(_one_line(_first(name)), width)


def distinct(names: Sequence[str], width: int) -> list[str]:
  """Different texts for different names, for a figure.

  Each is the first of a name's synonyms, shortened at its end. A name that
  would look like another is shown with all its synonyms, or shortened in its
  middle, or with its number in the sequence.

  Args:
    names: any texts; what cannot be printed or drawn is escaped.
    width: number of characters that a result may have, without its number.
  """
  ways: list[Callable[[int, str], str]] = [
    lambda _, name: _cut(_first_synonym(name), width),
    lambda _, name: _cut(_literal(name), width),
    lambda _, name: _cut_middle(_literal(name), width),
    lambda number, name: f'{_cut(_literal(name), width)} [{number}]',
  ]
  found = [ways[0](number, name) for number, name in enumerate(names)]
  for way in ways[1:]:
    counts = Counter(found)
    found = [
      text if counts[text] == 1 else way(number, name)
      for number, (text, name) in enumerate(zip(found, names, strict=True))
    ]
  return found


def _literal(name: str) -> str:
  return fonts.drawable(_one_line(name))


def _one_line(name: str) -> str:
  return errors.on_one_line(name) if name.strip() else _EMPTY


def _first_synonym(name: str) -> str:
  return _literal(_first(name))


def _first(name: str) -> str:
  # ImageNet's names are lists of synonyms.
  return name.split(', ')[0] or name


def _cut(text: str, width: int) -> str:
  return text if len(text) <= width else f'{text[: width - 1]}…'


def _cut_middle(text: str, width: int) -> str:
  if len(text) <= width:
    return text
  head = (width - 1) // 2
  return f'{text[:head]}…{text[len(text) - (width - 1 - head) :]}'
