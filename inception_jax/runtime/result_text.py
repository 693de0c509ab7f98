"""The result of a command as text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

_INDENT = '  '


def to_text(result: Mapping[str, Any]) -> str:
  """Names and values, a line each; what has columns as a table.

  Args:
    result: what JSON can hold.
  """
  return '\n'.join(_lines(result))


def _lines(values: Mapping[str, Any]) -> list[str]:
  width = max(
    (len(name) for name, x in values.items() if _is_plain(x)), default=0
  )
  lines = []
  for name, value in values.items():
    if _is_plain(value):
      lines.append(f'{name:{width}}  {_text(value)}')
    elif rows := _rows(value):
      lines += [name, *(f'{_INDENT}{x}' for x in _table(rows))]
    else:
      parts = value if isinstance(value, Mapping) else dict(enumerate(value, 1))
      parts = {str(k): v for k, v in parts.items()}
      lines += [name, *(f'{_INDENT}{x}' for x in _lines(parts))]
  return lines


def _is_plain(value: Any) -> bool:
  if isinstance(value, Mapping):
    return not value
  if isinstance(value, Sequence) and not isinstance(value, str):
    return all(not isinstance(x, Mapping | list | tuple) for x in value)
  return True


def _rows(value: Any) -> dict[str, Mapping[str, Any]]:
  """The rows of a table by name, if the value is one."""
  if isinstance(value, Mapping):
    rows = {str(name): row for name, row in value.items()}
  else:
    rows = {str(place): row for place, row in enumerate(value, 1)}
  is_table = all(
    isinstance(row, Mapping) and all(map(_is_plain, row.values()))
    for row in rows.values()
  )
  return rows if is_table else {}


def _table(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
  names = list(dict.fromkeys(name for row in rows.values() for name in row))
  cells = [['', *names]] + [
    [title, *(_text(row[name]) if name in row else '' for name in names)]
    for title, row in rows.items()
  ]
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  return [
    '  '.join(
      cell.ljust(width) if place == 0 else cell.rjust(width)
      for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()
    for row in cells
  ]


def _text(value: Any) -> str:
  if value is None or value in ([], (), {}):
    return '-'
  if isinstance(value, bool):
    return 'yes' if value else 'no'
  if isinstance(value, int):
    return f'{value:,}'
  if isinstance(value, float):
    return f'{value:.4g}'
  if isinstance(value, Sequence) and not isinstance(value, str):
    return ', '.join(map(_text, value))
  return ''.join(
    x if x.isprintable() else x.encode('unicode_escape').decode()
    for x in str(value)
  )
