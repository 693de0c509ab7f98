"""SIGKILL at random moments; the same command again ends with the same bits."""

import random
import signal
import time

import launch
import pytest
from same_runs import assert_same_run

pytestmark = pytest.mark.slow

NUM_KILLS = 3


def test_killed_run_ends_as_the_unbroken_one(trained, tmp_path):
  workdir = tmp_path / 'run'
  arguments = (f'--config={launch.TINY}', f'--workdir={workdir}')
  moments = random.Random(0)
  for i in range(NUM_KILLS):
    process = launch.start(*arguments)
    # Training has begun when something changes in the folder.
    before = snapshot(workdir)
    for _ in range(2000):
      if process.poll() is not None or snapshot(workdir) != before:
        break
      time.sleep(0.05)
    time.sleep(moments.uniform(0, 2.0))
    process.send_signal(signal.SIGKILL)
    launch.finish(process)
    print(f'kill {i}: checkpoints {checkpoints(workdir)}')
  result = launch.called(*arguments)
  assert result['step'] == 12
  assert_same_run(trained[0], workdir)


def snapshot(workdir):
  """What changes while a run makes progress."""
  metrics = workdir / 'metrics.jsonl'
  text = metrics.read_bytes() if metrics.exists() else b''
  return text, checkpoints(workdir)


def checkpoints(workdir):
  return sorted(p.name for p in workdir.glob('checkpoints/*'))
