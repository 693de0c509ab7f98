"""Time from a command to its refusal, and to the first line of a training.

Starts five wrong commands and a training on noise, in turn, and takes the
median of each. A training is killed once it has said what it trains. Prints one
JSON object.

  python benchmarks/command_times.py [--rounds=5] [--output=FILE.json]
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import machine  # noqa: E402

REFUSED = {
  'wrong_mode': ('--mode=trian',),
  'wrong_field': (
    '--config=digits',
    '--workdir=x',
    '--config.train.bach_size=8',
  ),
  'wrong_value': (
    '--config=digits',
    '--workdir=x',
    '--config.train.batch_size=many',
  ),
  'missing_flag': ('--mode=train', '--config=digits'),
  'missing_workdir': ('--mode=evaluate', '--workdir=/there/is/none'),
}


def start(arguments: tuple[str, ...]) -> subprocess.Popen:
  return subprocess.Popen(
    [sys.executable, 'main.py', *arguments],
    cwd=ROOT,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )


def seconds_to_refusal(arguments: tuple[str, ...]) -> float:
  """Until the process has ended, with a sentence."""
  begin = time.perf_counter()
  process = start(arguments)
  said = process.communicate()[1]
  seconds = time.perf_counter() - begin
  if process.returncode != 1 or not said.startswith('error: '):
    raise RuntimeError(f'{arguments} was not refused: {said}')
  return seconds


def seconds_to_first_line() -> float:
  """Until training on noise has said something."""
  with tempfile.TemporaryDirectory() as folder:
    begin = time.perf_counter()
    process = start(('--config=fake_data', f'--workdir={folder}/run'))
    line = process.stderr.readline()
    seconds = time.perf_counter() - begin
    process.kill()
    process.communicate()
  if 'devices' not in line:
    raise RuntimeError(f'training began with {line!r}')
  return seconds


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument('--output')
  known = parser.parse_args()
  record = machine.environment()
  seconds_to_first_line()  # Compiles Python's files, and fills the disk cache.
  times = {name: [] for name in (*REFUSED, 'first_line')}
  for _ in range(known.rounds):
    for name, arguments in REFUSED.items():
      times[name].append(seconds_to_refusal(arguments))
    times['first_line'].append(seconds_to_first_line())
  record['commands'] = {
    **{name: ' '.join(x) for name, x in REFUSED.items()},
    'first_line': '--config=fake_data --workdir=NEW',
  }
  record['median_seconds'] = {
    name: round(statistics.median(x), 2) for name, x in times.items()
  }
  record['seconds'] = {
    name: [round(y, 2) for y in x] for name, x in times.items()
  }
  machine.keep(record, known.output)


if __name__ == '__main__':
  main()
