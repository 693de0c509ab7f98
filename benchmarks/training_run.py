"""Trains a config and keeps its result, with the machine it ran on.

Runs `main.py` in a process of its own, prints one JSON object with the result,
the time it took, the first and last losses of every head and the numbers of
records to train on and to evaluate, and copies the learning curves and the
training crops beside it.

  python benchmarks/training_run.py --name=digits --config=configs/digits.py \
      [--workdir=RUN] [--without_pictures] [--config.FIELD=value ...]
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import machine  # noqa: E402

from inception_jax.experiment import experiment  # noqa: E402

RESULTS = ROOT / 'benchmarks' / 'results'


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--name', required=True, help='of the files written')
  parser.add_argument('--workdir', help='where the run stays; else nowhere')
  parser.add_argument(
    '--without_pictures',
    action='store_true',
    help='copy none, as of photographs that may not be shown',
  )
  arguments, rest = parser.parse_known_args()
  with tempfile.TemporaryDirectory() as folder:
    workdir = pathlib.Path(arguments.workdir or pathlib.Path(folder, 'run'))
    command = [sys.executable, 'main.py', f'--workdir={workdir}', *rest]
    start = time.perf_counter()
    process = subprocess.run(
      command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if process.returncode:
      sys.exit(process.stderr)
    result = json.loads(process.stdout.splitlines()[-1])
    lines = [json.loads(x) for x in (workdir / 'metrics.jsonl').open()]
    train = [{'step': x['step'], **x['train']} for x in lines if 'train' in x]
    config = json.loads((workdir / 'config.json').read_text())
    dataset = experiment.create_experiment(config).dataset
    record = {
      **machine.environment(),
      'seconds': round(seconds, 1),
      'step': result['step'],
      'evaluation': result['evaluation'],
      'num_train_records': len(dataset.train),
      'num_eval_records': len(dataset.eval),
      'first_metrics': train[0],
      'last_metrics': train[-1],
      'warnings': [
        # The progress bar may stand before it on its line.
        line.split('loop.py:', 1)[1].split('] ', 1)[1]
        for line in process.stderr.splitlines()
        if 'learnt nothing' in line
      ],
    }
    machine.keep(record, RESULTS / f'{arguments.name}.json')
    plots = ('learning_curves', 'training_crops')
    for plot in () if arguments.without_pictures else plots:
      shutil.copy(
        workdir / 'plots' / f'{plot}.png',
        RESULTS / f'{arguments.name}_{plot}.png',
      )


if __name__ == '__main__':
  main()
