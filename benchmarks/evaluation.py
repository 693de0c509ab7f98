"""Evaluates a run and keeps the result, with the machine it ran on.

Runs `main.py --mode=evaluate` or `report` in a process of its own, with
what is given here. Answers that are there from before are not computed again.

  python benchmarks/evaluation.py --name=google_sample --workdir=RUN \
      [--config=... --config.FIELD=value ...]
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

import machine

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--name', required=True, help='of the file written')
  parser.add_argument('--mode', default='evaluate')
  arguments, rest = parser.parse_known_args()
  start = time.perf_counter()
  process = subprocess.run(
    [sys.executable, 'main.py', f'--mode={arguments.mode}', *rest],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  seconds = time.perf_counter() - start
  if process.returncode:
    sys.exit(process.stderr)
  result = json.loads(process.stdout.splitlines()[-1])
  # Where things are on this machine is nobody's business.
  for place in ('workdir', 'output'):
    result.pop(place, None)
  for member in result.get('members', []):
    member['workdir'] = pathlib.Path(member['workdir']).name
  record = {
    **machine.environment(),
    'seconds': round(seconds, 1),
    arguments.mode.replace('evaluate', 'evaluation'): result,
  }
  machine.keep(
    record, ROOT / 'benchmarks' / 'results' / f'{arguments.name}.json'
  )


if __name__ == '__main__':
  main()
