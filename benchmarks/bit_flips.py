"""Flips bits in what a run resumes from, and compares its end.

Of a finished run one bit is flipped in a file of the newest checkpoint, drawn
at random among all its bytes or among its files, and the same training goes on
from there. It must end with the arrays and the `metrics.jsonl` of the unbroken
run, to the bit, or with one sentence. Then one bit of `metrics.jsonl` is
flipped and the file read as a resumed run reads it, which must give it back
with a warning. Without the lines that checkpoints hold, as with those of
version 0.1.0, and of `timing.jsonl`, of which they hold none, damage that can
still be parsed cannot be noticed; there must be no traceback. Prints one JSON
object; exit status 1 if it was otherwise.

  python benchmarks/bit_flips.py [--output=FILE.json] \
      [--num_checkpoint=100] [--num_lines=2000]
"""

import argparse
import collections
import contextlib
import pathlib
import random
import shutil
import sys
import tempfile
from unittest import mock

from absl import logging

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / 'benchmarks'))

import machine  # noqa: E402

from configs import fake_data  # noqa: E402
from inception_jax.experiment import experiment  # noqa: E402
from inception_jax.runs import (  # noqa: E402
  checkpoint,
  named_arrays,
  pictures,
  recorder,
)
from inception_jax.runs import train as train_lib  # noqa: E402
from inception_jax.runtime import errors  # noqa: E402
from inception_jax.visualisation import plots  # noqa: E402

NUM_STEPS, STEPS_A_SAVE = 30, 10
# Plots of damaged lines, which take long: one in so many.
FLIPS_A_PLOT = 20


def get_config():
  config = fake_data.get_config()
  config.model.name = 'inception_v1_bn_shallow'
  config.model.width = 0.05
  config.data.image_size = 32
  config.train.update(
    {
      'batch_size': 8,
      'num_train_steps': NUM_STEPS,
      'log_every_steps': 1,
      'eval_every_steps': NUM_STEPS,
      'checkpoint_every_steps': STEPS_A_SAVE,
    }
  )
  return config


def flip(path: pathlib.Path, rng: random.Random) -> int:
  """Flips one bit of a file; returns which."""
  contents = bytearray(path.read_bytes())
  bit = rng.randrange(8 * len(contents))
  contents[bit // 8] ^= 1 << bit % 8
  path.write_bytes(contents)
  return bit


@contextlib.contextmanager
def one_program():
  """Trains with one compiled program, however often, and without plots."""
  built = experiment.create_experiment(get_config())
  train_step, eval_step = built.create_train_step(), built.create_eval_step()
  kind = experiment.Experiment
  with (
    mock.patch.object(experiment, 'create_experiment', lambda config: built),
    mock.patch.object(kind, 'create_train_step', lambda self: train_step),
    mock.patch.object(kind, 'create_eval_step', lambda self: eval_step),
    mock.patch.object(pictures, 'save'),
    mock.patch.object(pictures, 'record_crops'),
  ):
    yield


def draw(files: list[pathlib.Path], rng: random.Random, even: bool):
  """A file, by the number of its bytes or each as likely as another."""
  files = [x for x in sorted(files) if x.is_file() and x.stat().st_size]
  sizes = None if even else [x.stat().st_size for x in files]
  return rng.choices(files, sizes)[0]


def state(workdir: pathlib.Path) -> dict[str, str | bytes]:
  checkpoints = checkpoint.Checkpoints(workdir / 'checkpoints', read_only=True)
  arrays, metadata = checkpoints.restore(NUM_STEPS)
  checkpoints.close()
  return {
    **{name: named_arrays.digest(value) for name, value in arrays.items()},
    'lines in the checkpoint': metadata['lines'],
    'metrics.jsonl': (workdir / 'metrics.jsonl').read_bytes(),
  }


def flip_checkpoint(
  unbroken: pathlib.Path, work: pathlib.Path, wanted, rng, even: bool
) -> dict[str, object]:
  """Resumes from a damaged checkpoint; returns what came of it."""
  shutil.rmtree(work, ignore_errors=True)
  shutil.copytree(unbroken, work)
  folder = work / 'checkpoints' / str(NUM_STEPS)
  path = draw(list(folder.rglob('*')), rng, even)
  name = path.relative_to(folder).as_posix()
  flipped = {'file': name, 'bit': flip(path, rng)}
  try:
    train_lib.train(get_config(), work)
  except errors.UserFacingError as error:
    said = str(error).replace(str(work), 'WORKDIR')
    return {**flipped, 'outcome': 'one sentence', 'said': said}
  except Exception as error:
    said = f'{type(error).__name__}: {error}'[:500]
    return {**flipped, 'outcome': 'traceback', 'said': said}
  if state(work) != wanted:
    return {**flipped, 'outcome': 'silently different'}
  aside = (work / 'corrupt_checkpoints').exists()
  return {
    **flipped,
    'outcome': 'older used, equal' if aside else 'not set aside, equal',
  }


class Warnings(logging.PythonHandler):
  """Counts what was warned of."""

  def __init__(self):
    super().__init__()
    self.count = 0

  def emit(self, record):
    self.count += 1


def flip_lines(
  workdir: pathlib.Path,
  name: str,
  known: str | None,
  num: int,
  rng: random.Random,
) -> dict[str, int]:
  """Reads damaged lines as a resumed run does; returns numbers of outcomes."""
  path = workdir / name
  whole = path.read_bytes()
  outcomes = collections.Counter()
  seen = Warnings()
  logging.get_absl_logger().addHandler(seen)
  for number in range(num):
    flip(path, rng)
    before = seen.count
    try:
      found = recorder.Recorder(workdir, NUM_STEPS, False, known)
      found.metrics.flush()
      found.last_evaluation()
      if not number % FLIPS_A_PLOT:
        plots.to_png(plots.learning_curves(found.metrics, 2.3))
      same = name != 'timing.jsonl' and path.read_bytes() == whole
      outcome = 'equal' if same else 'damage left out'
      if seen.count == before:
        outcome = 'taken as it is'
    except errors.UserFacingError:
      outcome = 'one sentence'
    except Exception as error:
      outcome = f'traceback: {error!r}'[:200]
    outcomes[outcome] += 1
    path.write_bytes(whole)
  logging.get_absl_logger().removeHandler(seen)
  return dict(outcomes)


def run(folder: pathlib.Path, num_checkpoint: int, num_lines: int) -> dict:
  rng = random.Random(0)
  unbroken, work = folder / 'unbroken', folder / 'work'
  train_lib.train(get_config(), unbroken)
  wanted = state(unbroken)
  known = wanted['lines in the checkpoint']
  flips = [
    flip_checkpoint(unbroken, work, wanted, rng, bool(number % 2))
    for number in range(num_checkpoint)
  ]
  read = {'metrics.jsonl': known, 'metrics.jsonl of 0.1.0': None}
  read['timing.jsonl'] = known
  return {
    'num_flips_of_checkpoint': num_checkpoint,
    'checkpoint': dict(collections.Counter(x['outcome'] for x in flips)),
    'num_flips_of_lines': num_lines,
    'lines': {
      name: flip_lines(unbroken, name.split()[0], lines, num_lines, rng)
      for name, lines in read.items()
    },
    'flips_of_checkpoint': flips,
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--output')
  parser.add_argument('--num_checkpoint', type=int, default=100)
  parser.add_argument('--num_lines', type=int, default=2000)
  options = parser.parse_args()
  record = machine.environment()
  logging.get_absl_logger().propagate = False  # Thousands of warnings.
  with tempfile.TemporaryDirectory() as folder:
    with one_program():
      record |= run(
        pathlib.Path(folder), options.num_checkpoint, options.num_lines
      )
  machine.keep(record, options.output)
  outcomes = [*record['checkpoint'], *record['lines']['metrics.jsonl']]
  outcomes += [
    x
    for kind in record['lines'].values()
    for x in kind
    if x.startswith('traceback')
  ]
  good = ('older used, equal', 'not set aside, equal', 'one sentence', 'equal')
  if not set(outcomes) <= set(good):
    sys.exit(1)


if __name__ == '__main__':
  main()
