"""Pictures of commands on a terminal, as SVG, for the documentation.

Runs each command on a pseudo-terminal and draws what is on the screen when it
has ended. Training is that of the demo, but short.

  python benchmarks/terminal_pictures.py [--output=FOLDER] [--names help ...]
"""

import argparse
import fcntl
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios

from rich import console as rich_console
from rich import text as rich_text

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLUMNS = 124
COMMANDS = {
  'help': '--help',
  'predict_help': '--mode=predict --help',
  'training': '--config=digits --workdir=runs/short'
  ' --config.train.num_epochs=3.0 --config.averaging.polyak_start_epoch=1.0',
}
_CODES = re.compile(r'\x1b\[(\d*)([A-Za-z])|[\r\n]|[^\x1b\r\n]+|\x1b')


def run(arguments: list[str], folder: pathlib.Path) -> str:
  """What a command writes to a terminal.

  Raises:
    RuntimeError: if it fails.
  """
  ours, its = pty.openpty()
  fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack('HHHH', 50, COLUMNS, 0, 0))
  process = subprocess.Popen(
    [sys.executable, ROOT / 'main.py', *arguments],
    cwd=folder,
    stdin=its,
    stdout=its,
    stderr=its,
    env={**os.environ, 'COLUMNS': str(COLUMNS)},
  )
  os.close(its)
  parts = []
  while True:
    try:
      part = os.read(ours, 1 << 16)
    except OSError:  # Nobody has the other end open.
      break
    if not part:
      break
    parts.append(part)
  os.close(ours)
  text = b''.join(parts).decode()
  if process.wait():
    raise RuntimeError(text)
  return text


def screen(text: str) -> list[str]:
  """The lines that a terminal shows after it has been sent a text."""
  lines, row, column = [''], 0, 0
  for match in _CODES.finditer(text):
    part = match[0]
    if part == '\r':
      column = 0
    elif part == '\n':
      row += 1
      lines += [''] * (row + 1 - len(lines))
    elif match[2] == 'A':
      row = max(row - int(match[1] or 1), 0)
    elif not match[2]:
      line = lines[row].ljust(column)
      lines[row] = line[:column] + part + line[column + len(part) :]
      column += len(part)
  return [line.rstrip() for line in lines]


def draw(lines: list[str], title: str, path: pathlib.Path) -> None:
  """Writes an SVG of a terminal."""
  console = rich_console.Console(
    record=True, width=COLUMNS, file=open(os.devnull, 'w')
  )
  console.print(rich_text.Text(f'$ {title}', style='bold'))
  console.print(rich_text.Text('\n'.join(lines).rstrip()))
  # The same picture has the same names of styles.
  svg = console.export_svg(title='', unique_id=path.stem)
  path.write_text('\n'.join(x.rstrip() for x in svg.splitlines()) + '\n')


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--output', default=ROOT / 'benchmarks/results')
  parser.add_argument('--names', nargs='*', default=list(COMMANDS))
  known = parser.parse_args()
  for name in known.names:
    with tempfile.TemporaryDirectory() as folder:
      shown = run(COMMANDS[name].split(), pathlib.Path(folder))
    draw(
      screen(shown),
      f'inception-jax {COMMANDS[name]}',
      pathlib.Path(known.output) / f'terminal_{name}.svg',
    )


if __name__ == '__main__':
  main()
