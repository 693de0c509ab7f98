"""Time of a checkpoint of GoogLeNet, with and without syncing it to the disk.

Saves parameters, momentum and EMA, in turn with and without, and takes the
medians of the time in which training stands still and of the time until the
checkpoint is written. Prints one JSON object.

  python benchmarks/save_time.py [--rounds=9] [--output=FILE.json]
"""

import argparse
import contextlib
import pathlib
import statistics
import sys
import tempfile
import time
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402
import machine  # noqa: E402
import numpy as np  # noqa: E402

from configs import fake_data  # noqa: E402
from inception_jax.experiment import experiment  # noqa: E402
from inception_jax.runs import checkpoint  # noqa: E402
from inception_jax.runtime import durable  # noqa: E402
from inception_jax.training import train_state  # noqa: E402


def noise(state: train_state.TrainState) -> train_state.TrainState:
  """A state of the same shapes that does not shrink when it is compressed."""
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: (
      rng.standard_normal(x.shape, np.float32)
      if x.dtype == np.float32 and x.ndim
      else x
    ),
    state,
  )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--rounds', type=int, default=9)
  parser.add_argument('--output')
  known = parser.parse_args()
  record = machine.environment(('orbax-checkpoint',))
  state = noise(
    experiment.create_experiment(fake_data.get_config()).create_state()
  )
  times = {'synced': [], 'not_synced': []}
  with tempfile.TemporaryDirectory(dir=ROOT) as folder:
    checkpoints = checkpoint.Checkpoints(f'{folder}/checkpoints', keep=2)
    for step in range(2 * known.rounds + 2):
      kind = list(times)[step % 2]
      with contextlib.ExitStack() as stack:
        if kind == 'not_synced':
          for name in ('sync_tree', 'sync_folder'):
            stack.enter_context(mock.patch.object(durable, name))
        start = time.perf_counter()
        checkpoints.save(step, state.replace(step=state.step + step), {})
        stalled = time.perf_counter() - start
        checkpoints.wait()
        written = time.perf_counter() - start
      if step >= 2:  # The first of each is a warm-up.
        times[kind].append((stalled, written))
    num_bytes = sum(
      x.stat().st_size
      for x in pathlib.Path(folder, 'checkpoints', str(step)).rglob('*')
      if x.is_file()
    )
    checkpoints.close()
  for kind, values in times.items():
    for place, name in enumerate(('stalled', 'until_written')):
      record[f'{kind}_seconds_{name}'] = round(
        statistics.median(value[place] for value in values), 3
      )
  machine.keep(
    {**record, 'rounds': known.rounds, 'megabytes': round(num_bytes / 1e6, 1)},
    known.output,
  )


if __name__ == '__main__':
  main()
