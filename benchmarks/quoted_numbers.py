"""Compares the numbers that pages quote with the files that they come from.

A page names the source of a number in one of two ways. In a table whose last
column is `source`, that cell has a file and one key for each number of the cell
before it, in their order:

  | what | result | source |
  |---|---|---|
  | demo | 99.2 % in 131 s | `digits.json`: `evaluation.ema.top1`, `seconds` |

In a sentence, a comment has the same for the numbers that stand before it:

  It reaches 99.2 %<!-- `digits.json`: `evaluation.ema.top1` --> top-1.

A key is a path of names, of indices of lists, and of conditions that choose the
elements of a list (`cases.batch_size=8.ratio`), or two of them or a constant
with +, -, * or / between. A percentage is a hundred times its value. A number
is right if it is the value rounded to the decimals that are printed.

  python benchmarks/quoted_numbers.py [PAGE.md ...]

Exit status 1 if a number differs, a source is unknown, or no page names a
result. Needs the standard library only.
"""

import json
import operator
import pathlib
import re
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / 'benchmarks' / 'results'
PAGES = ('README.md', 'benchmarks/README.md', 'benchmarks/results/README.md')
# Digits within words, such as those of "top-1" and "Inception-v1", are none.
_NUMBER = re.compile(r'(?<![\w.-])(\d[\d,]*(?:\.\d+)?)(\s*%)?(?![\w-]|\.\d)')
_COMMENT = re.compile(r'<!--\s+(`[\w.]+\.json`:.*?)\s*-->', re.DOTALL)
_FILE = re.compile(r'`(benchmarks/results/)?([\w.]+\.json)`')
_OPERATION = re.compile(r' ([-+*/]) ')
_CODE = re.compile(r'`([^`]*)`')
_OPERATORS = {
  '+': operator.add,
  '-': operator.sub,
  '*': operator.mul,
  '/': operator.truediv,
}


def value_at(record: Any, path: str) -> Any:
  """The value at a path, such as `cases.batch_size=8.ratio`.

  Raises:
    KeyError: if there is none, or if the conditions leave more than one.
  """
  for name in path.split('.'):
    if isinstance(record, list) and '=' in name:
      key, _, wanted = name.partition('=')
      record = [
        x for x in record if json.dumps(x.get(key)).strip('"') == wanted
      ]
      continue
    if isinstance(record, list) and len(record) == 1:
      record = record[0]
    if isinstance(record, list):
      if not name.isdecimal() or int(name) >= len(record):
        raise KeyError(path)
      record = record[int(name)]
    elif isinstance(record, dict) and name in record:
      record = record[name]
    else:
      raise KeyError(path)
  return record


def value_of(record: Any, key: str) -> float:
  """The number that a key means, which may be computed from two.

  Raises:
    KeyError: if a path leads nowhere or not to a number.
  """
  parts = _OPERATION.split(key)
  if len(parts) > 3:
    raise KeyError(key)
  numbers = []
  for part in parts[::2]:
    try:
      numbers.append(float(part))
    except ValueError:
      found = value_at(record, part)
      if isinstance(found, bool) or not isinstance(found, int | float):
        raise KeyError(part) from None
      numbers.append(float(found))
  if len(parts) == 1:
    return numbers[0]
  return _OPERATORS[parts[1]](*numbers)


def differences(text: str, sources: str, where: str, count: bool) -> list[str]:
  """What is wrong with the numbers of a text.

  Args:
    text: with the numbers.
    sources: a file and keys, in backticks, and perhaps more files and keys.
    where: for the messages.
    count: whether every number of the text must have a key; otherwise the last
      ones are meant.

  Returns:
    One sentence for each difference.
  """
  keys, name = [], None
  for code in _CODE.findall(sources):
    if code.endswith('.json'):
      name = pathlib.PurePath(code).name
    elif name is None:
      return [f'{where}: the source names no file: {sources}']
    else:
      keys.append((name, code))
  numbers = _NUMBER.findall(text)
  if len(numbers) < len(keys) or (count and len(numbers) != len(keys)):
    return [f'{where}: {len(numbers)} numbers for {len(keys)} keys: {text}']
  wrong = []
  for (printed, percent), (name, key) in zip(
    numbers[len(numbers) - len(keys) :], keys, strict=True
  ):
    try:
      value = value_of(json.loads((RESULTS / name).read_text()), key)
    except (OSError, KeyError) as error:
      wrong.append(f'{where}: {name} has no number at {key} ({error!r})')
      continue
    if percent:
      value *= 100
    decimals = len(printed.partition('.')[2])
    number = float(printed.replace(',', ''))
    if abs(number - value) > 0.5 * 10**-decimals * (1 + 1e-6):
      wrong.append(f'{where}: {printed} is {value:.6g} in {name}, {key}')
  return wrong


def check(page: str, text: str) -> list[str]:
  """What is wrong with the numbers of a page."""
  wrong, header = [], []
  for line_number, line in enumerate(text.splitlines(), 1):
    if not line.startswith('|'):
      header = []
      continue
    cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
    header = header or cells
    is_row = cells is not header and set(line) - set('|-: ')
    if header[-1] == 'source' and is_row:
      where = f'{page}:{line_number}'
      wrong += differences(cells[-2], cells[-1], where, count=True)
  for comment in _COMMENT.finditer(text):
    before = text[: comment.start()]
    where = f'{page}:{before.count(chr(10)) + 1}'
    paragraph = _COMMENT.sub('', before.rpartition('\n\n')[2])
    wrong += differences(paragraph, comment[1], where, count=False)
  for folder, name in _FILE.findall(text):
    if folder and not (RESULTS / name).is_file():
      wrong.append(f'{page}: there is no benchmarks/results/{name}')
  return wrong


def main() -> None:
  wrong, named = [], set()
  for page in sys.argv[1:] or PAGES:
    text = (ROOT / page).read_text()
    wrong += check(page, text)
    named.update(name for _, name in _FILE.findall(text))
  for path in sorted(RESULTS.glob('*.json')):
    if not sys.argv[1:] and path.name not in named:
      wrong.append(f'no page names benchmarks/results/{path.name}')
  if wrong:
    sys.exit('\n'.join(wrong))


if __name__ == '__main__':
  main()
