"""Words of messages: lists and counts as a sentence has them."""

from collections.abc import Iterable


def join(names: Iterable[object], last: str = 'and') -> str:
  """Names with commas between them, and a word before the last.

  Args:
    names: what to list, in its order.
    last: 'and', or 'or' for choices.

  Returns:
    Such as 'a, b and c', 'a and b' or 'a'; '' of nothing.
  """
  *first, final = [str(x) for x in names] or ['']
  return f'{", ".join(first)} {last} {final}' if first else final


def is_number(text: str) -> bool:
  """Whether a text is a number, such as '-1', '1e-3' or '-inf'."""
  try:
    float(text)
  except ValueError:
    return False
  return True


def count(number: int, one: str, several: str | None = None) -> str:
  """A number and its noun.

  Args:
    number: how many.
    one: the noun of one thing.
    several: of others; None is `one` with an s.

  Returns:
    Such as '1 image' or '1,437 images'.
  """
  return f'{number:,} {one if number == 1 else several or f"{one}s"}'
