"""Memory of a training process over 6,000 steps.

Trains a small network on noise in a process of its own, with a line of the log
every 10 steps, a checkpoint every 100 and an evaluation every 300, and reads
the memory that it has allocated (anonymous pages; not those of programs' files,
which the system takes away and brings back) whenever 100 more steps are logged.
Needs Linux. Prints one JSON object: the memory along the way, and the lowest of
each quarter. It grows and falls, probably with Python's garbage collection, so
that the lowest values tell whether it grows in the long run.

  python benchmarks/training_memory.py [--steps=6000] [--output=FILE.json]
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import machine  # noqa: E402

CONFIG = [
  '--config=configs/fake_data.py',
  '--config.model.name=inception_v1_bn_shallow',
  '--config.model.width=0.05',
  '--config.data.image_size=32',
  '--config.train.batch_size=8',
  '--config.train.log_every_steps=10',
  '--config.train.eval_every_steps=300',
  '--config.train.checkpoint_every_steps=100',
]


def last_step(metrics: pathlib.Path) -> int:
  """The newest step of the log; 0 before the first."""
  try:
    lines = metrics.read_text().splitlines()
    return json.loads(lines[-1])['step']
  except (OSError, IndexError, ValueError):
    return 0


def allocated_mb(pid: int) -> float:
  """Anonymous memory of a process in MB."""
  text = pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text()
  (line,) = (x for x in text.splitlines() if x.startswith('Anonymous:'))
  return int(line.split()[1]) * 1024 / 1e6


def measure(workdir: pathlib.Path, num_steps: int) -> list[dict[str, float]]:
  """Trains; returns step and allocated memory in MB along the way."""
  process = subprocess.Popen(
    [
      *(sys.executable, 'main.py', f'--workdir={workdir}', *CONFIG),
      f'--config.train.num_train_steps={num_steps}',
    ],
    cwd=ROOT,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )
  samples = []
  while process.poll() is None:
    step = last_step(workdir / 'metrics.jsonl')
    if step >= (len(samples) + 1) * 100:
      try:
        memory = allocated_mb(process.pid)
      except OSError:
        break
      samples.append({'step': step, 'allocated_mb': round(memory, 1)})
    time.sleep(0.05)
  if process.wait():
    sys.exit(f'training failed: {process.stderr.read()[-2000:]}')
  return samples


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--steps', type=int, default=6000)
  parser.add_argument('--output')
  arguments = parser.parse_args()
  record = machine.environment()
  with tempfile.TemporaryDirectory() as folder:
    samples = measure(pathlib.Path(folder, 'run'), arguments.steps)
  quarter = len(samples) // 4
  lowest = [
    min(x['allocated_mb'] for x in samples[i * quarter : (i + 1) * quarter])
    for i in range(4)
  ]
  machine.keep(
    {
      **record,
      'steps': arguments.steps,
      'lowest_mb_of_each_quarter': lowest,
      'samples': samples,
    },
    arguments.output,
  )


if __name__ == '__main__':
  main()
