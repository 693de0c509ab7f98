"""Tests of the evaluate mode and the report, on a run of tiny digits."""

import json
import random
import shutil
import signal
import time
import types

import launch
import numpy as np
import pytest
import tiny_config

from inception_jax import ensemble_folder, errors, evaluate, report, run
from inception_jax.evaluation import answering, multi_crop
from inception_jax.evaluation import protocol as protocol_lib

NUM_IMAGES = 70


def config(eval_batch_size=48):
  result = tiny_config.get_config()
  result.data.eval_split = f'test[:{NUM_IMAGES}]'
  result.train.eval_batch_size = eval_batch_size
  return result


@pytest.fixture(scope='module')
def answered(trained, tmp_path_factory):
  """Answers of 144 crops, and the scores."""
  folder = tmp_path_factory.mktemp('answers')
  protocol = protocol_lib.Protocol('multi_crop_144')
  scores = evaluate.evaluate(
    trained[0], protocol, None, config(), answers=folder
  )
  return folder, scores


def stored(folder):
  """Contents of the one set of answers in a folder, by file."""
  (inner,) = folder.iterdir()
  return {
    'digest': inner.name,
    'answers.json': json.loads((inner / 'answers.json').read_text()),
    **{path.name: path.read_bytes() for path in sorted(inner.glob('*.npz'))},
  }


def test_ten_crops_are_part_of_the_pass_over_144(trained, answered, tmp_path):
  folder, scores = answered
  assert scores['num_images'] == NUM_IMAGES and scores['num_crops'] == 144
  ten = evaluate.evaluate(
    trained[0],
    protocol_lib.Protocol('ten_crop'),
    None,
    config(),
    answers=tmp_path,
  )
  assert ten['num_crops'] == 10 and ten['loss'] != scores['loss']
  (inner,) = folder.iterdir()
  views = json.loads((inner / 'answers.json').read_text())['views']
  with np.load(next(tmp_path.glob('*/00000000.npz'))) as file:
    alone = file['log_probs'][:, -3:]
  with np.load(inner / '00000000.npz') as file:
    first = views.index([10, 'mean_probability'])
    among = file['log_probs'][:, first : first + 3]
  np.testing.assert_allclose(among, alone[: len(among)], atol=1e-4)
  assert np.ptp(among, axis=1).max() > 1e-3  # The three aggregations differ.
  assert len(views) == len(
    multi_crop.views(protocol_lib.Protocol('multi_crop_144').crop(32))
  )


def test_fewer_crops_of_the_144_cost_nothing(
  trained, answered, tmp_path, monkeypatch
):
  folder, scores = tmp_path / 'answers', answered[1]
  shutil.copytree(answered[0], folder)
  monkeypatch.setattr(
    answering, 'complete', lambda answers, *_: answers.missing() and 1 / 0
  )
  part = protocol_lib.Protocol('multi_crop_144', scales=(256, 288))
  arguments = (None, config(), folder)
  found = evaluate.evaluate(trained[0], part, *arguments)
  assert found['num_crops'] == 72 and found['loss'] != scores['loss']
  ten = protocol_lib.Protocol('ten_crop', 'max_probability')
  result = evaluate.evaluate(trained[0], ten, *arguments)
  assert result['num_crops'] == 10 and result['num_images'] == NUM_IMAGES
  with pytest.raises(ZeroDivisionError):  # No part of the paper's.
    other = protocol_lib.Protocol('multi_crop_144', scales=(288,))
    evaluate.evaluate(trained[0], other, *arguments)


def test_gaps_are_filled_with_the_same_bits(trained, answered, tmp_path):
  folder, scores = answered
  shutil.copytree(folder, tmp_path / 'copy')
  whole = stored(folder)
  (inner,) = (tmp_path / 'copy').iterdir()
  (inner / '00000064.npz').unlink()
  again = evaluate.evaluate(
    trained[0],
    protocol_lib.Protocol('multi_crop_144'),
    None,
    config(),
    answers=tmp_path / 'copy',
  )
  assert stored(tmp_path / 'copy') == whole and again == scores


def test_killed_evaluation_ends_as_the_unbroken_one(
  trained, answered, tmp_path
):
  whole = stored(answered[0])
  arguments = (
    '--mode=evaluate',
    f'--workdir={trained[0]}',
    f'--config={launch.TINY}',
    f'--config.data.eval_split=test[:{NUM_IMAGES}]',
    '--config.train.eval_batch_size=48',
    '--protocol=multi_crop_144',
    f'--answers={tmp_path}',
  )
  moments = random.Random(0)
  # Twice soon after it has begun, and once when a part is done.
  for awaited in ('*/answers.json', '*/answers.json', '*/*.npz'):
    process = launch.start(*arguments)
    for _ in range(15_000):  # Five minutes, on a busy machine.
      if list(tmp_path.glob(awaited)) or process.poll() is not None:
        break
      time.sleep(0.02)
    if awaited != '*/*.npz':
      time.sleep(moments.uniform(0, 5.0))
    process.send_signal(signal.SIGKILL)
    launch.finish(process)
  assert len(list(tmp_path.glob('*/*.npz'))) >= 1
  assert launch.result(*arguments) == answered[1]
  assert stored(tmp_path) == whole


def test_report_of_two_runs(trained, tmp_path, monkeypatch):
  other = tmp_path / 'other'
  shutil.copytree(trained[0], other)
  shutil.rmtree(other / 'answers', ignore_errors=True)
  protocol = protocol_lib.Protocol(
    'ten_crop', mirrors=False, crops=('center', 'top_left')
  )
  result = report.report(
    f'{trained[0]},{other}', protocol, tmp_path / 'report', None, config()
  )
  names = {path.name for path in (tmp_path / 'report').iterdir()}
  assert names == {
    'report.md',
    'report.json',
    'table_3.csv',
    'classes.csv',
    'classes.png',
    'confusions.csv',
    'confusion.png',
    'error_against_cost.png',
    'mistakes.png',
    'reliability.png',
  }
  lines = [(row['models'], row['crops']) for row in result['table_3']]
  assert lines == [(1, 1), (1, 2), (2, 1), (2, 2)]
  # Two of the same network are as good as one.
  errors_ = [row['top1_error'] for row in result['table_3']]
  assert errors_[:2] == errors_[2:]
  for path, member in zip((trained[0], other), result['members'], strict=True):
    loaded = run.load_run(path)
    assert member == {
      'workdir': str(path),
      'weights': 'ema',
      'step': 12,
      'digest': loaded.digest,
    }
  text = (tmp_path / 'report' / 'report.md').read_text()
  assert f'| 2 | `{other}` | ema | 12 | `{member["digest"][:16]}…` |' in text
  assert 'Table 3' in text and 'GoogLeNet' not in text  # Digits, not ImageNet.
  kept = json.loads((tmp_path / 'report' / 'report.json').read_text())
  assert kept['table_3'] == result['table_3']
  counts = (tmp_path / 'report' / 'confusions.csv').read_text().splitlines()[1:]
  assert sum(int(line.split(',')[-1]) for line in counts) == NUM_IMAGES
  for line in kept['table_3']:
    assert line['change_from_base'] == pytest.approx(
      line['top5_error'] - kept['table_3'][0]['top5_error']
    )
  # As if the digits were the paper's task, and then no longer.
  again = (f'{trained[0]},{other}', protocol, tmp_path / 'report')
  with monkeypatch.context() as patch:
    patch.setattr(report, '_is_paper_task', lambda dataset: True)
    of_paper = report.report(*again, None, config())
  table_2 = tmp_path / 'report' / 'table_2.csv'
  entries = of_paper['table_2']
  assert len(entries) == 7 and len(table_2.read_text().splitlines()) == 9
  kept = json.loads((tmp_path / 'report' / 'report.json').read_text())
  assert kept['table_2'] == entries
  error = kept['table_3'][-1]['top5_error']
  assert entries[0]['reduction'] == pytest.approx(1 - error / 0.164)
  assert 'table_2' not in report.report(*again, None, config())
  assert not table_2.exists()


def test_each_run_has_its_own_crop(trained, tmp_path):
  other = tmp_path / 'other'
  shutil.copytree(trained[0], other)
  for name in ('preprocessing', 'config'):
    path = other / f'{name}.json'
    text = path.read_text()
    assert text.count('"center_square"') == 1
    path.write_text(text.replace('"center_square"', '"warp"'))
  alone = [
    evaluate.evaluate(workdir, protocol_lib.Protocol(), answers=tmp_path / 'a')
    for workdir in (trained[0], other)
  ]
  assert alone[0]['loss'] != alone[1]['loss']
  for order in (1, -1):
    paths = [str(trained[0]), str(other)][::order]
    together = evaluate.evaluate(
      ','.join(paths), protocol_lib.Protocol(), answers=tmp_path / 'a'
    )
    assert together['members'] == alone[::order]


def test_ensembles_are_named_by_their_folder(trained, tmp_path):
  (tmp_path / 'ensemble.json').write_text('{"members": ["m1", "m2"]}')
  shutil.copytree(trained[0], tmp_path / 'm1')
  with pytest.raises(errors.InputError, match="'m2' is not trained yet"):
    ensemble_folder.list_runs(tmp_path)
  shutil.copytree(trained[0], tmp_path / 'm2')
  assert ensemble_folder.list_runs(tmp_path) == [
    tmp_path / 'm1',
    tmp_path / 'm2',
  ]
  shutil.rmtree(tmp_path / 'm2' / 'checkpoints')
  with pytest.raises(errors.InputError, match="'m2' is not trained yet"):
    ensemble_folder.list_runs(tmp_path)
  shutil.copytree(trained[0] / 'checkpoints', tmp_path / 'm2' / 'checkpoints')
  for twice in (f'{tmp_path / "m1"}', f'{tmp_path}/m2/../m1'):
    with pytest.raises(errors.InputError, match='names a run twice'):
      ensemble_folder.list_runs(f'{tmp_path},{twice}')
  with pytest.raises(errors.InputError, match='comma with no run beside it'):
    ensemble_folder.list_runs(f'{tmp_path},')
  for damaged in ('{}', '[]', '{"members": []}', '{"members": [3]}'):
    (tmp_path / 'ensemble.json').write_text(damaged)
    with pytest.raises(errors.InputError, match='names no members'):
      ensemble_folder.list_runs(tmp_path)


def test_members_that_are_not_at_their_end_must_be_named(
  trained, tmp_path, caplog
):
  (tmp_path / 'ensemble.json').write_text('{"members": ["m1", "m2"]}')
  m1, m2 = tmp_path / 'm1', tmp_path / 'm2'
  shutil.copytree(trained[0], m1)
  shutil.copytree(trained[0], m2)
  shutil.rmtree(m2 / 'checkpoints' / '12')
  with pytest.raises(
    errors.InputError, match="'m2' is at step 8 of 12; train it .* --workdir"
  ):
    ensemble_folder.list_runs(tmp_path)
  assert ensemble_folder.list_runs(f'{m1},{m2}') == [m1, m2]
  # Of earlier versions the config may tell, or nothing.
  (m2 / 'training.json').unlink()
  with pytest.raises(errors.InputError, match="'m2' is at step 8 of 12"):
    ensemble_folder.list_runs(tmp_path)
  config_of_run = json.loads((m2 / 'config.json').read_text())
  config_of_run['train']['num_train_steps'] = None
  (m2 / 'config.json').write_text(json.dumps(config_of_run))
  with caplog.at_level('WARNING'):
    assert ensemble_folder.list_runs(tmp_path) == [m1, m2]
  assert f'{m2} does not say at which step' in caplog.text
  (m2 / 'training.json').write_text('{}')
  with pytest.raises(errors.InputError, match='training.json does not say'):
    ensemble_folder.list_runs(tmp_path)


@pytest.mark.parametrize(
  ('counted', 'skipped', 'on_bad_image', 'error', 'message'),
  [
    (9, 0, 'fail', RuntimeError, 'counted 9 images and skipped 0 where .* 10'),
    (11, 0, 'skip', RuntimeError, 'counted 11'),
    (9, 1, 'fail', errors.InputError, "1 of the 10 .*on_bad_image='skip'"),
    (9, 1, 'skip', None, None),
    (10, 0, 'fail', None, None),
  ],
)
def test_every_picture_is_accounted_for(
  counted, skipped, on_bad_image, error, message
):
  answered = types.SimpleNamespace(
    ensemble=types.SimpleNamespace(num_images=10),
    dataset=types.SimpleNamespace(on_bad_image=on_bad_image),
  )
  arguments = (answered, counted, skipped)
  if error is None:
    evaluate.check_count(*arguments)
    return
  with pytest.raises(error, match=message):
    evaluate.check_count(*arguments)


@pytest.mark.parametrize(
  'arguments, message',
  [
    ({'name': 'ten_corp'}, "not 'ten_corp'; did you mean 'ten_crop'"),
    ({'aggregation': 'mean'}, "--aggregation must be one of .*, not 'mean'"),
    ({'scales': (256,)}, '--scales, --squares and --crops choose among'),
    (
      {'name': 'ten_crop', 'scales': (288,)},
      'scales of ten_crop are 256, not 288',
    ),
    (
      {'name': 'multi_crop_144', 'crops': ('centre',)},
      'crops of multi_crop_144 are .*, not centre',
    ),
  ],
)
def test_bad_protocols(arguments, message):
  with pytest.raises(errors.InputError, match=message):
    protocol_lib.Protocol(**arguments)


@pytest.mark.parametrize('size', [0, -3, None, 2.5, True, '48'])
@pytest.mark.parametrize('of_the_run', [False, True])
def test_a_bad_batch_size_stops_before_anything_is_written(
  trained, tmp_path, size, of_the_run
):
  bad = config().to_dict()
  bad['train']['eval_batch_size'] = size
  if size is None:
    del bad['train']['eval_batch_size']
  workdir = trained[0]
  if of_the_run:
    workdir = tmp_path / 'run'
    workdir.mkdir()
    (workdir / 'config.json').write_text(json.dumps(bad))
    bad = None
  found = 'missing' if size is None else repr(size)
  for mode in (
    lambda: evaluate.evaluate(
      workdir, protocol_lib.Protocol(), None, bad, tmp_path / 'answers'
    ),
    lambda: report.report(
      workdir,
      protocol_lib.Protocol(),
      tmp_path / 'report',
      None,
      bad,
      tmp_path / 'answers',
    ),
  ):
    with pytest.raises(
      errors.InputError, match=f'config.train.eval_batch_size is {found}; it'
    ):
      mode()
  assert {path.name for path in tmp_path.iterdir()} <= {'run'}


def test_runs_without_weights_and_pictures(trained, tmp_path):
  shutil.copytree(trained[0], tmp_path / 'run')
  shutil.rmtree(tmp_path / 'run' / 'checkpoints')
  with pytest.raises(errors.InputError, match='has no checkpoint yet'):
    evaluate.evaluate(tmp_path / 'run', protocol_lib.Protocol())
  empty = config()
  empty.data.eval_split = 'test[:0]'
  with pytest.raises(errors.InputError, match="'test.:0.' .* is empty"):
    evaluate.evaluate(trained[0], protocol_lib.Protocol(), None, empty)
  shutil.copytree(trained[0] / 'checkpoints', tmp_path / 'run' / 'checkpoints')
  (tmp_path / 'run' / 'config.json').write_text(
    '{"train": {"eval_batch_size": 9}}'
  )
  with pytest.raises(
    errors.InputError, match='what to evaluate on; give --con'
  ):
    evaluate.evaluate(tmp_path / 'run', protocol_lib.Protocol())
