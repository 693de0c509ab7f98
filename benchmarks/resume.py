"""Kills a run twice, and compares what it ends with with an unbroken run.

Trains a config once to its end and once more with a SIGTERM after a fifth and a
SIGKILL after half of its log lines, each time going on by the same command. The
two `metrics.jsonl` and the weights, of which each kind has its digest, must be
the same to the bit. Prints one JSON object; exit status 1 if they differ.

On GPUs XLA chooses kernels by their times whenever it compiles: set
JAX_COMPILATION_CACHE_DIR, so that all runs have the same.

  python benchmarks/resume.py [--output=FILE.json] \
      [--config=configs/fake_data.py --config.FIELD=value ...]
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# The runs have the devices, one after the other; this process only looks.
os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')

import machine  # noqa: E402

from inception_jax.runs import run  # noqa: E402
from inception_jax.runtime import errors  # noqa: E402

DEFAULTS = ['--config=configs/fake_data.py']
SIGNALS = ((0.2, signal.SIGTERM), (0.5, signal.SIGKILL))


def train(workdir: pathlib.Path, arguments: list[str]) -> subprocess.Popen:
  command = [sys.executable, 'main.py', f'--workdir={workdir}', *arguments]
  return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def finish(process: subprocess.Popen, expected: int) -> None:
  if process.wait() != expected:
    sys.exit(f'exit status {process.returncode} where {expected} was expected')


def num_lines(workdir: pathlib.Path) -> int:
  try:
    return len((workdir / 'metrics.jsonl').read_text().splitlines())
  except FileNotFoundError:
    return 0


def kill_after(
  lines: int, signum: signal.Signals, process: subprocess.Popen, workdir
) -> int:
  """Sends a signal once so many lines are there; returns how many are then."""
  while num_lines(workdir) < lines:
    if process.poll() is not None:
      sys.exit('the run ended before it was killed; give it more steps')
    time.sleep(0.05)
  process.send_signal(signum)
  # A shell has 143 for it; of a killed process Python has the signal.
  finish(process, 143 if signum == signal.SIGTERM else -signum)
  return num_lines(workdir)


def digests(workdir: pathlib.Path) -> dict[str, str]:
  found = {}
  for weights in run.WEIGHTS:
    try:
      found[weights] = run.load_run(workdir, weights).digest
    except errors.InputError:
      pass  # Not every run keeps every kind.
  return found


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--output')
  known, rest = parser.parse_known_args()
  with tempfile.TemporaryDirectory() as folder:
    unbroken, broken = (pathlib.Path(folder, x) for x in ('unbroken', 'broken'))
    finish(train(unbroken, rest or DEFAULTS), 0)
    total = num_lines(unbroken)
    killed = {
      signum.name: kill_after(
        round(share * total), signum, train(broken, rest or DEFAULTS), broken
      )
      for share, signum in SIGNALS
    }
    finish(train(broken, rest or DEFAULTS), 0)
    metrics = [(x / 'metrics.jsonl').read_bytes() for x in (unbroken, broken)]
    found = [digests(x) for x in (unbroken, broken)]
  record = {
    **machine.environment(),
    'compilation_cache': bool(os.environ.get('JAX_COMPILATION_CACHE_DIR')),
    'lines_of_metrics': total,
    'lines_when_killed': killed,
    'metrics_equal': metrics[0] == metrics[1],
    'weights_equal': {x: found[0][x] == found[1].get(x) for x in found[0]},
  }
  machine.keep(record, known.output)
  if not (record['metrics_equal'] and all(record['weights_equal'].values())):
    sys.exit(1)


if __name__ == '__main__':
  main()
