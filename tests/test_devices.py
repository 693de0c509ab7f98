"""The number of devices and processes does not change what is trained."""

import json
import signal
import time

import launch
import numpy as np
import pytest

pytestmark = pytest.mark.slow

NUM_STEPS = 3
# Largest difference over the largest value of an array: the devices' partial
# sums are added in another order. The gradient of one step, then the state
# that three of them leave.
GRADIENT_TOLERANCE = 1e-4
STATE_TOLERANCE = 1e-4


@pytest.fixture(scope='module')
def one_device(tmp_path_factory):
  return recorded(tmp_path_factory, 'one')


def recorded(factory, name, num_devices=1):
  path = factory.mktemp(name) / 'record.npz'
  status, _, err = launch.run(
    path, NUM_STEPS, program='tests/worker.py', num_devices=num_devices
  )
  assert status == 0, err[-3000:]
  return dict(np.load(path))


def assert_same_batches(first, second):
  names = [name for name in first if name.startswith('batch/')]
  assert len(names) == 5 * NUM_STEPS
  for name in names:
    np.testing.assert_array_equal(first[name], second[name], name)


def assert_close(first, second, prefix, tolerance):
  names = [name for name in first if name.startswith(prefix)]
  assert names
  for name in names:
    scale = np.abs(first[name]).max()
    difference = np.abs(first[name] - second[name]).max()
    assert difference <= tolerance * max(scale, 1e-6), (name, difference, scale)


def test_four_devices_train_as_one(tmp_path_factory, one_device):
  four = recorded(tmp_path_factory, 'four', num_devices=4)
  assert one_device['num_shards'] == 1 and four['num_shards'] == 4
  assert_same_batches(one_device, four)
  assert_close(one_device, four, 'metrics/', STATE_TOLERANCE)
  assert_close(one_device, four, 'gradient/', GRADIENT_TOLERANCE)
  assert_close(one_device, four, 'params/', STATE_TOLERANCE)


def test_masks_and_images_differ_between_examples_and_steps(one_device):
  masks = np.concatenate(
    [one_device[f'batch/{step}/masks'] for step in range(NUM_STEPS)]
  )
  assert len(np.unique(masks, axis=0)) == len(masks) == 8 * NUM_STEPS
  # Kept with probability 0.6, then grown by 1 / 0.6.
  assert set(np.unique(masks)) == {0, np.float32(1 / 0.6)}
  assert abs((masks > 0).mean() - 0.6) < 0.05
  for step in range(NUM_STEPS):
    images = one_device[f'batch/{step}/image']
    augmented = one_device[f'batch/{step}/augmented']
    assert augmented.dtype == np.float32 and images.dtype == np.uint8
    # No image is as it was, mirrored or not.
    for same in (images, images[:, :, ::-1]):
      assert (np.abs(augmented - same).max((1, 2, 3)) > 1).all()


def test_two_processes_train_as_one(tmp_path_factory, one_device):
  folder = tmp_path_factory.mktemp('two')
  processes = launch.start_cluster(
    2, folder / 'PROCESS.npz', NUM_STEPS, program='tests/worker.py'
  )
  for process in processes:
    status, _, err = launch.finish(process)
    assert status == 0, err[-3000:]
  first, second = (dict(np.load(folder / f'{i}.npz')) for i in range(2))
  joined = dict(first)
  for name in first:
    if name.startswith('batch/'):
      assert len(first[name]) == 4
      joined[name] = np.concatenate([first[name], second[name]])
  assert_same_batches(one_device, joined)
  assert_close(one_device, first, 'metrics/', STATE_TOLERANCE)
  assert_close(one_device, first, 'gradient/', GRADIENT_TOLERANCE)
  assert_close(one_device, first, 'params/', STATE_TOLERANCE)
  for name in first:  # Both processes end with the same bits.
    if name.startswith('params/'):
      np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize('protocol', ['single', 'ten_crop'])
def test_seven_devices_evaluate_every_image_once(trained, tmp_path, protocol):
  # Batches of 120 images, or of 8 with ten crops each, do not divide by 7.
  workdir, result = trained
  scores = launch.result(
    *evaluation(workdir, protocol, tmp_path / 'seven'), num_devices=7
  )
  if protocol == 'single':
    expected = result['evaluation']['raw']
  else:
    expected = launch.called(*evaluation(workdir, protocol, tmp_path / 'one'))
    assert_same_answers(tmp_path / 'one', tmp_path / 'seven')
  assert_same_scores(scores, expected)


def test_two_processes_evaluate_every_image_once(trained, tmp_path):
  workdir, result = trained
  # 50 and 10 images are not shared evenly.
  arguments = (
    *evaluation(workdir, 'single', tmp_path),
    f'--config={launch.TINY}',
    '--config.train.eval_batch_size=50',
  )
  found = []
  for process in launch.start_cluster(2, *arguments):
    status, out, err = launch.finish(process)
    assert status == 0, err[-3000:]
    found.append(json.loads(out.splitlines()[-1]) if out else None)
  assert_same_scores(found[0], result['evaluation']['raw'])
  # One process alone finds that nothing is left to do.
  status, out, err = launch.call(*arguments)
  assert status == 0 and json.loads(out.splitlines()[-1]) == found[0]
  assert 'img' not in err


def test_process_that_fails_does_not_leave_the_other_waiting(trained, tmp_path):
  (tmp_path / 'file').write_text('')
  processes = launch.start_cluster(
    2, *evaluation(trained[0], 'single', tmp_path / 'file' / 'answers')
  )
  status, _, err = launch.finish(processes[0])
  assert status == 1 and 'give another folder for answers with --answers' in err
  sentence = err.strip().splitlines()[-1].removeprefix('error: ')
  # It hears of it while it waits in a collective operation.
  status, _, err = launch.finish(processes[1], timeout=60)
  assert status == 1, err[-3000:]
  last = err.strip().splitlines()[-1]
  assert last == f'error: process 0 of 2 has ended: {sentence}'
  assert 'Traceback' not in err


def test_processes_with_other_configs_end_with_the_field(tmp_path):
  arguments = (f'--config={launch.TINY}', f'--workdir={tmp_path / "run"}')
  processes = launch.start_cluster(
    2,
    *arguments,
    of_each=[(), ('--config.train.eval_every_steps=7',)],
  )
  for process in processes:
    status, _, err = launch.finish(process, timeout=60)
    assert status == 1, err[-3000:]
    assert (
      'config.train.eval_every_steps: process 0 has 6, process 1 has 7'
      in (err.strip().splitlines()[-1])
    )
  assert not (tmp_path / 'run').exists()


def evaluation(workdir, protocol, answers):
  return (
    '--mode=evaluate',
    f'--workdir={workdir}',
    '--weights=raw',
    f'--protocol={protocol}',
    f'--answers={answers}',
  )


def assert_same_scores(scores, expected):
  for name in ('num_images', 'top1', 'top5'):
    assert scores[name] == expected[name]
  assert scores['loss'] == pytest.approx(expected['loss'], rel=1e-5)


def assert_same_answers(first, second):
  # The folder is named after what is asked of what, not after the machine.
  (one,), (other,) = (list(folder.iterdir()) for folder in (first, second))
  assert one.name == other.name
  whole = []
  for folder in (one, other):
    blocks = [np.load(path) for path in sorted(folder.glob('*.npz'))]
    whole.append(
      {
        name: np.concatenate([block[name] for block in blocks])
        for name in ('log_probs', 'labels', 'counted')
      }
    )
  for name, values in whole[0].items():
    np.testing.assert_allclose(values, whole[1][name], atol=1e-4)


def test_signal_to_one_of_two_processes_stops_both_and_they_go_on(tmp_path):
  workdir = tmp_path / 'run'
  arguments = (
    f'--config={launch.TINY}',
    f'--workdir={workdir}',
    '--config.train.num_train_steps=400',
    '--config.train.eval_every_steps=2',
    '--config.train.checkpoint_every_steps=400',
  )
  processes = launch.start_cluster(2, *arguments)
  wait_for(lambda: (workdir / 'metrics.jsonl').exists(), processes)
  processes[1].send_signal(signal.SIGTERM)
  sentences = []
  for process in processes:
    status, _, err = launch.finish(process)
    assert status == 128 + signal.SIGTERM, err[-3000:]
    sentences.append(err.strip().splitlines()[-1])
  assert sentences[0] == sentences[1] and 'SIGTERM' in sentences[0]
  lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').open()]
  evaluations = [line['evaluation'] for line in lines if 'evaluation' in line]
  # The one that the signal has stopped is made up for later.
  assert {e['raw']['num_images'] for e in evaluations} <= {360}
  (step,) = (int(p.name) for p in (workdir / 'checkpoints').iterdir())
  assert f'at step {step},' in sentences[0]
  # One process alone goes on from what two have left, and evaluates.
  shorter = arguments[:2]
  status, _, err = launch.call(*shorter)
  assert status == 1 and 'num_train_steps is 400 there, 12 here' in err
  scores = launch.called('--mode=evaluate', f'--workdir={workdir}')
  assert scores['step'] == step and scores['num_images'] == 360


def wait_for(condition, processes, seconds=200):
  """Waits until the condition holds; fails if a process ends before."""
  for _ in range(seconds * 10):
    if condition():
      return
    for process in processes:
      if process.poll() is not None:
        _, out, err = launch.finish(process)
        raise AssertionError(f'ended early\n{out}\n{err[-3000:]}')
    time.sleep(0.1)
  raise AssertionError('waited in vain')
