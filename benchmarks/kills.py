"""Kills a run twenty times, and compares its end with an unbroken run.

Each kill is a SIGKILL of the whole process: four inside a save, two inside an
evaluation, two in start-up and twelve at steps drawn at random. They are spread
over four runs of the same config, and after each the same command resumes. The
arrays of the last checkpoint, `metrics.jsonl` and the printed evaluation must
be those of the unbroken run, to the bit. Prints one JSON object; exit status 1
if they differ.

  python benchmarks/kills.py [--output=FILE.json] [--config.FIELD=value ...]
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import machine  # noqa: E402

from inception_jax.runs import checkpoint, named_arrays  # noqa: E402

NUM_STEPS = 400
CONFIG = [
  '--config=configs/fake_data.py',
  '--config.model.name=inception_v1_bn_shallow',
  '--config.model.width=0.05',
  '--config.data.image_size=32',
  '--config.train.batch_size=8',
  f'--config.train.num_train_steps={NUM_STEPS}',
  '--config.train.log_every_steps=5',
  '--config.train.eval_every_steps=50',
  '--config.train.checkpoint_every_steps=10',
]
# What the kills of each run wait for, in order.
RUNS = (
  ('start 1.0', 'step', 'save', 'step', 'step'),
  ('step', 'evaluation', 'step', 'save', 'step'),
  ('step', 'start 6.0', 'step', 'save', 'step'),
  ('step', 'evaluation', 'step', 'save', 'step'),
)


def die() -> None:
  os.kill(os.getpid(), signal.SIGKILL)


def die_when_saving(folder: pathlib.Path) -> None:
  """Kills this process while a checkpoint is half written."""
  while True:
    if any('tmp' in path.name for path in folder.glob('*')):
      die()
    time.sleep(0.0005)


def arm(moment: str, workdir: pathlib.Path) -> None:
  """Makes this process kill itself at a moment: one of `RUNS`, with a step."""
  kind, _, value = moment.partition(' ')
  if kind == 'start':
    threading.Timer(float(value), die).start()
    return
  from inception_jax.experiment import experiment
  from inception_jax.runs import checkpoint, recorder

  first = int(value)
  if kind == 'step':
    owner, name, seconds = recorder.Recorder, 'train_metrics', 0.02
  elif kind == 'evaluation':
    owner, name, seconds = experiment.Experiment, 'evaluate', 0.01
  else:
    owner, name, seconds = checkpoint.Checkpoints, 'save', None
  original = getattr(owner, name)

  def hooked(self, *arguments, **options):
    step = arguments[0] if isinstance(arguments[0], int) else first
    if step >= first:
      if seconds is None:
        target, given = die_when_saving, (workdir / 'checkpoints',)
      else:
        target, given = lambda: (time.sleep(seconds), die()), ()
      threading.Thread(target=target, args=given, daemon=True).start()
    return original(self, *arguments, **options)

  setattr(owner, name, hooked)


def child(moment: str, workdir: str, arguments: list[str]) -> None:
  """Trains as `main.py` does, and is killed."""
  import main as command_line

  sys.argv[:] = ['main.py', f'--workdir={workdir}', *arguments]
  arm(moment, pathlib.Path(workdir))
  flags = command_line.parse_flags(sys.argv)
  sys.exit(command_line.main(flags))


def train(workdir: pathlib.Path, arguments: list[str]) -> dict:
  """Trains to the end; returns the printed result."""
  command = [sys.executable, 'main.py', f'--workdir={workdir}', *arguments]
  done = subprocess.run(
    command, cwd=ROOT, capture_output=True, text=True, check=False
  )
  if done.returncode:
    sys.exit(f'training ended with {done.returncode}: {done.stderr[-2000:]}')
  return json.loads(done.stdout.splitlines()[-1])


def kill(moment: str, workdir: pathlib.Path, arguments: list[str]) -> dict:
  """Trains until the kill; returns where it struck."""
  command = [sys.executable, __file__, '--child', moment, str(workdir)]
  done = subprocess.run(
    [*command, *arguments],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  if done.returncode != -signal.SIGKILL:
    sys.exit(
      f'the kill at {moment!r} did not come: exit status {done.returncode},'
      f' {done.stderr[-2000:]}'
    )
  names = [path.name for path in (workdir / 'checkpoints').glob('*')]
  return {
    'moment': moment,
    'newest_checkpoint': max(
      (int(name) for name in names if name.isdigit()), default=None
    ),
    'half_a_checkpoint_left': any('tmp' in name for name in names),
  }


def final_state(workdir: pathlib.Path) -> dict[str, str]:
  """Digests of the last checkpoint's arrays and of `metrics.jsonl`."""
  checkpoints = checkpoint.Checkpoints(workdir / 'checkpoints', read_only=True)
  arrays, _ = checkpoints.restore(checkpoints.steps()[-1])
  checkpoints.close()
  found = {name: named_arrays.digest(value) for name, value in arrays.items()}
  lines = (workdir / 'metrics.jsonl').read_bytes()
  return {**found, 'metrics.jsonl': hashlib.sha256(lines).hexdigest()}


def moments(kinds: tuple[str, ...], rng: random.Random) -> list[str]:
  """The kills of a run, with steps that rise through it."""
  steps = sorted(rng.sample(range(20, NUM_STEPS - 60), len(kinds)))
  return [
    kind if ' ' in kind else f'{kind} {step}'
    for kind, step in zip(kinds, steps, strict=True)
  ]


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--output')
  known, rest = parser.parse_known_args()
  arguments = [*CONFIG, *rest]
  record = {**machine.environment(), 'runs': []}
  rng = random.Random(0)
  with tempfile.TemporaryDirectory() as folder:
    os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', f'{folder}/cache')
    unbroken = pathlib.Path(folder, 'unbroken')
    wanted = train(unbroken, arguments)['evaluation'], final_state(unbroken)
    for number, kinds in enumerate(RUNS):
      broken = pathlib.Path(folder, f'broken_{number}')
      kills = [kill(x, broken, arguments) for x in moments(kinds, rng)]
      evaluation = train(broken, arguments)['evaluation']
      found = final_state(broken)
      record['runs'].append(
        {
          'kills': kills,
          'evaluation_equal': evaluation == wanted[0],
          'metrics_equal': found['metrics.jsonl'] == wanted[1]['metrics.jsonl'],
          'arrays_equal': found == wanted[1],
          'num_arrays': len(found) - 1,
        }
      )
  record['num_kills'] = sum(len(run['kills']) for run in record['runs'])
  machine.keep(record, known.output)
  if not all(
    x['evaluation_equal'] and x['arrays_equal'] for x in record['runs']
  ):
    sys.exit(1)


if __name__ == '__main__':
  if sys.argv[1:2] == ['--child']:
    child(sys.argv[2], sys.argv[3], sys.argv[4:])
  else:
    main()
