"""Draws overrides of config fields at random: each works or is one sentence.

A draw is a file of configs/ and one or two `--config.FIELD=VALUE` of the train
command, which goes its whole way from the command line to the traced training
step, but does not train. The fields are the arguments of the functions that the
sections of a config become, so those that no config lists are among them, and
whole sections, fields of members of an ensemble, and names that there are not.
The values are right ones and None, nan, inf, huge, empty and nested ones. The
deep networks of the configs are replaced by their shallow relatives, and data
that is not there by noise, as the first overrides of the command line.

An override that works has its value in the config, which has no number that is
not finite, and neither has the learning rate. One that does not ends with exit
status 1 and one sentence, which names something of what was given; a right
value alone may not. Either takes at most ten seconds, of an ensemble for each
network. A part of the refused ones are repeated as processes, whose start
counts. Prints one JSON object; exit status 1 if it was otherwise.

  python benchmarks/random_overrides.py [--output=FILE.json] [--num_draws=500] \
      [--num_processes=25] [--seed=0]
"""

import argparse
import collections
from collections.abc import Iterator
import contextlib
import dataclasses
import importlib
import io
import json
import math
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any
from unittest import mock

from absl.testing import flagsaver

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402

from benchmarks import (  # noqa: E402
  machine,
  override_draws,
  override_outcomes,
)
from inception_jax.commands import flags  # noqa: E402
from inception_jax.data import tensorflow_modules  # noqa: E402
from inception_jax.ensemble import train as train_ensemble  # noqa: E402
from inception_jax.experiment import experiment as experiment_lib  # noqa: E402
from inception_jax.experiment import fields as fields_lib  # noqa: E402
from inception_jax.runs import train as train_lib  # noqa: E402

# The same, of four modules instead of nine.
SHALLOW = {
  'inception_v1': 'inception_v1_shallow',
  'inception_v1_bn': 'inception_v1_bn_shallow',
}


def command_of(draw: override_draws.Draw, workdir: pathlib.Path) -> list[str]:
  """The command line of a draw."""
  config = importlib.import_module(f'configs.{draw.config}').get_config()
  small = {}
  if config.data.name not in override_draws.PRESENT:
    small['data.name'] = 'fake'
  if config.model.name in SHALLOW:
    small['model.name'] = SHALLOW[config.model.name]
  if config.init_from is not None:
    small['init_from'] = 'None'
  return [
    f'--config={ROOT / "configs" / draw.config}.py',
    f'--workdir={workdir}',
    *(f'--config.{name}={value}' for name, value in small.items()),
    *draw.arguments,
  ]


def trace(experiment: experiment_lib.Experiment) -> None:
  """Traces the training step, on shapes alone, and looks at the rates."""
  built = experiment
  for step in (0, built.num_train_steps // 2, built.num_train_steps - 1):
    rate = float(built.learning_rate_fn(step))
    if not math.isfinite(rate) or rate < 0:
      raise AssertionError(f'the learning rate of step {step} is {rate}')
  devices = jax.local_device_count()
  share, size = built.options.batch_size // devices, built.dataset.image_size
  like = lambda kind, *shape: jax.ShapeDtypeStruct((devices, *shape), kind)
  batch = {
    'image': like('uint8', share, size, size, 3),
    **{name: like('int32', share) for name in ('label', 'slot')},
    **{name: like('bool', share) for name in ('mask', 'skipped')},
    'stop': like('int32'),
  }
  state = jax.eval_shape(built.create_state)
  jax.eval_shape(built.create_train_step(), state, batch)


def prepare_digits() -> None:
  """Prepares the digits, and so has TFDS define its flags for all calls."""
  records = tensorflow_modules.import_module('records', 'reading the digits')
  records.open_records('digits', 'train', None)


@dataclasses.dataclass
class Built:
  """What commands have built instead of training.

  Attributes:
    configs: of each experiment.
    seconds: that tracing took, which is no part of the command.
  """

  configs: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  seconds: float = 0.0


@contextlib.contextmanager
def without_training(traces: bool = True) -> Iterator[Built]:
  """The train command ends where training would begin.

  Args:
    traces: whether the training step is traced.
  """
  built = Built()

  def stop_here(experiment, workdir, changes=()):
    del changes
    built.configs.append(experiment.config)
    start = time.perf_counter()
    if traces and len(built.configs) == 1:  # Members differ little.
      trace(experiment)
    built.seconds += time.perf_counter() - start
    return {'workdir': str(workdir)}

  def start_none(configs, folder, shares):
    del folder, shares
    built.configs.extend(configs.values())
    return []

  parallel = train_ensemble.member_processes
  with (
    mock.patch.object(train_lib, '_train', stop_here),
    mock.patch.object(parallel, 'train_members', start_none),
  ):
    yield built


def call(
  arguments: list[str], folder: pathlib.Path
) -> override_outcomes.Outcome:
  """Runs a command in this process."""
  import main

  argv = ['main.py', *arguments]
  err, config = io.StringIO(), None
  start = time.perf_counter()
  with (
    flagsaver.flagsaver(),
    mock.patch.object(sys, 'argv', list(argv)),
    mock.patch('inception_jax.runtime.log.configure'),
    contextlib.chdir(folder),
    contextlib.redirect_stdout(io.StringIO()),
    contextlib.redirect_stderr(err),
  ):
    try:
      rest = main.parse_flags(argv)
      config = fields_lib.plain(flags.FLAGS.config)
      status = main.main(rest)
    except SystemExit as error:
      status = error.code
      if isinstance(status, str):
        err.write(status)
        status = 1
    except Exception as error:
      status = None
      err.write(f'{type(error).__name__}: {error}'[:500])
  return override_outcomes.Outcome(
    status, err.getvalue(), time.perf_counter() - start, config
  )


def run_draw(
  draw: override_draws.Draw, folder: pathlib.Path, traces: bool = True
) -> tuple[str, override_outcomes.Outcome]:
  """Runs one draw; returns what came of it."""
  command = command_of(draw, folder / 'run')
  with without_training(traces) as built:
    outcome = call(command, folder)
  seconds = outcome.seconds - built.seconds
  # The members of an ensemble are built one after another.
  outcome = dataclasses.replace(
    outcome, seconds=seconds / max(len(built.configs), 1)
  )
  return override_outcomes.judge(draw, outcome, built.configs), outcome


def run_process(
  draw: override_draws.Draw, folder: pathlib.Path
) -> tuple[str, float]:
  """Runs one draw that is refused as a process; returns what came of it."""
  command = command_of(draw, folder / 'run')
  start = time.perf_counter()
  done = subprocess.run(
    [sys.executable, ROOT / 'main.py', *command],
    cwd=folder,
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
    timeout=10 * override_outcomes.LIMIT_SECONDS,
  )
  seconds = time.perf_counter() - start
  if seconds > override_outcomes.LIMIT_SECONDS:
    return 'slow', seconds
  if done.returncode != 1:
    return f'exit status {done.returncode}', seconds
  return override_outcomes.judge_sentence(draw, done.stderr), seconds


@contextlib.contextmanager
def _ends_after(seconds: float) -> Iterator[None]:
  """Raises in what takes longer, unless a library holds the thread."""

  def end(*unused):
    raise TimeoutError(f'more than {seconds:.0f} s')

  previous = signal.signal(signal.SIGALRM, end)
  signal.setitimer(signal.ITIMER_REAL, seconds)
  try:
    yield
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def run(num: int, num_processes: int, seed: int) -> dict[str, Any]:
  """Runs the draws, and some of the refused ones as processes."""
  counts, wrong, refused = collections.Counter(), [], []
  seconds = collections.defaultdict(list)
  with tempfile.TemporaryDirectory() as folder:
    for number, draw in enumerate(override_draws.draws(num, seed)):
      place = pathlib.Path(folder) / str(number)
      place.mkdir()
      with _ends_after(6 * override_outcomes.LIMIT_SECONDS):
        found, outcome = run_draw(draw, place)
      counts[found] += 1
      seconds[found].append(outcome.seconds)
      if found == 'one sentence':
        refused.append(draw)
      elif found != 'works':
        said = outcome.said.strip()[-300:]
        wrong.append({'outcome': found, **_described(draw), 'said': said})
        print(json.dumps(wrong[-1]), file=sys.stderr, flush=True)
      if number % 20 == 19:
        jax.clear_caches()
    alone = random.Random(seed).sample(
      refused, min(num_processes, len(refused))
    )
    processes = []
    for draw in alone:
      found, took = run_process(draw, pathlib.Path(folder))
      processes.append(took)
      if found != 'one sentence':
        counts[found] += 1
        wrong.append({'outcome': found, **_described(draw), 'alone': True})
  return {
    'num_draws': num,
    'num_fields': len(override_draws.all_fields()),
    'num_configs': len(override_draws.all_configs()),
    'outcomes': dict(counts),
    'largest_seconds': {k: round(max(v), 2) for k, v in seconds.items()},
    'num_processes': len(processes),
    'largest_seconds_of_processes': round(max(processes, default=0), 2),
    'wrong': wrong,
  }


def _described(draw: override_draws.Draw) -> dict[str, Any]:
  shown = [x if len(x) < 80 else f'{x[:77]}...' for x in draw.arguments]
  return {'config': draw.config, 'arguments': shown}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--output')
  parser.add_argument('--num_draws', type=int, default=500)
  parser.add_argument('--num_processes', type=int, default=25)
  parser.add_argument('--seed', type=int, default=0)
  given = parser.parse_args()
  record = machine.environment(('ml_collections', 'absl-py'))
  with tempfile.TemporaryDirectory() as folder:
    # Digits are prepared where TFDS keeps its data.
    os.environ['TFDS_DATA_DIR'] = folder
    prepare_digits()
    record |= run(given.num_draws, given.num_processes, given.seed)
  machine.keep(record, given.output)
  if record['wrong']:
    sys.exit(1)


if __name__ == '__main__':
  main()
