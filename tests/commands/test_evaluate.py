"""Tests of the evaluate mode and the report, on a run of tiny digits."""

import dataclasses
import json
import shutil
import signal
import time

import jax
import launch
import listing
import numpy as np
import pytest
import random_runs
import tiny_config

from inception_jax.commands import evaluate, report
from inception_jax.data import dataset as dataset_lib
from inception_jax.data import labels as labels_lib
from inception_jax.ensemble import folder as ensemble_folder
from inception_jax.evaluation import answering, crop_views
from inception_jax.evaluation import protocol as protocol_lib
from inception_jax.experiment import fields
from inception_jax.report import contents
from inception_jax.runs import run
from inception_jax.runtime import errors

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
    crop_views.views(protocol_lib.Protocol('multi_crop_144').crop(32))
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


@pytest.mark.slow
def test_killed_evaluation_ends_as_the_unbroken_one(
  trained, answered, tmp_path
):
  (unbroken,) = answered[0].iterdir()
  # As if begun by hand, with files of a few pictures, to be killed in between.
  inner = tmp_path / unbroken.name
  inner.mkdir()
  described = json.loads((unbroken / 'answers.json').read_text())
  (inner / 'answers.json').write_text(json.dumps({**described, 'file_size': 8}))
  arguments = (
    '--mode=evaluate',
    f'--workdir={trained[0]}',
    f'--config={launch.TINY}',
    f'--config.data.eval_split=test[:{NUM_IMAGES}]',
    '--config.train.eval_batch_size=48',
    '--protocol=multi_crop_144',
    f'--answers={tmp_path}',
  )
  num_files = -(-NUM_IMAGES // 8)
  count = lambda: len(list(inner.glob('*.npz')))
  for awaited in (1, 2, 3):
    process = launch.start(*arguments)
    for _ in range(15_000):  # Five minutes, on a busy machine.
      if count() >= awaited or process.poll() is not None:
        break
      time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    launch.finish(process)
    print(f'killed after {count()} of {num_files} files')
    assert awaited <= count() < num_files
  assert launch.called(*arguments) == answered[1]
  assert count() == num_files
  for name, values in joined(unbroken).items():
    np.testing.assert_array_equal(values, joined(inner)[name])


def joined(folder):
  """The answers in all files of a folder."""
  files = [np.load(path) for path in sorted(folder.glob('*.npz'))]
  return {
    name: np.concatenate([file[name] for file in files])
    for name in ('log_probs', 'labels', 'counted')
  }


@pytest.fixture(scope='module')
def other(tmp_path_factory):
  """Another network: its own weights, outputs in another order, and dummies."""
  names = [str(digit) for digit in (3, 1, 4, 0, 5, 9, 2, 6, 8, 7)]
  network = random_runs.random_run(
    'inception_v1_bn_shallow', 32, seed=1, num_classes=12
  )
  network = dataclasses.replace(
    network, labels=labels_lib.from_class_names(names, 12)
  )
  return random_runs.write(network, tmp_path_factory.mktemp('z_other') / 'run')


def test_runs_of_other_outputs_together(trained, other, tmp_path):
  """Against one picture after the other, by NumPy."""
  result = evaluate.evaluate(
    f'{trained[0]},{other}',
    protocol_lib.Protocol(),
    None,
    config(),
    answers=tmp_path,
  )
  data = fields.plain(config().data)
  data['eval_crop'] = 'center_square'
  dataset = dataset_lib.open_dataset(**data)
  (batch,) = dataset.eval_batches(
    batch_size=NUM_IMAGES, slots=np.arange(NUM_IMAGES)
  )
  probabilities = []
  for path in (trained[0], other):
    network = run.load_run(path)
    assert network.eval_crop == dataset.eval_crop
    logits, _ = jax.jit(network.model.apply)(
      network.variables, network.preprocessing(batch['image'])
    )
    powers = np.exp(np.asarray(logits, np.float64))
    shares = powers / powers.sum(-1, keepdims=True)
    columns = [
      network.labels.class_names.index(name) for name in dataset.class_names
    ]
    probabilities.append(shares[:, columns])
  assert columns != list(range(10))
  ways = [*probabilities, np.mean(probabilities, 0)]
  for found, shares in zip([*result['members'], result], ways, strict=True):
    ranks = [
      sum(share > row[label] for share in row)
      for row, label in zip(shares, batch['label'], strict=True)
    ]
    own = shares[np.arange(NUM_IMAGES), batch['label']]
    assert found['num_images'] == NUM_IMAGES
    assert found['top1'] == np.mean(np.array(ranks) < 1)
    assert found['top5'] == np.mean(np.array(ranks) < 5)
    assert found['loss'] == pytest.approx(-np.log(own).mean(), rel=1e-4)
  losses = [x['loss'] for x in (*result['members'], result)]
  assert len(set(losses)) == 3


def test_report_of_two_runs(trained, other, tmp_path, monkeypatch):
  protocol = protocol_lib.Protocol(
    'ten_crop', mirrors=False, crops=('center', 'top_left')
  )
  arguments = (
    f'{trained[0]},{other}',
    protocol,
    tmp_path / 'report',
    None,
    config(),
    tmp_path / 'answers',
  )
  result = report.report(*arguments)
  names = set(listing.names(tmp_path / 'report'))
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
  alone = [
    evaluate.evaluate(path, protocol, None, config(), tmp_path / 'answers')
    for path in (trained[0], other)
  ]
  assert alone[0]['loss'] != alone[1]['loss']
  (first, both) = (row for row in result['table_3'] if row['crops'] == 2)
  (best,) = first['members']
  assert first['loss'] == pytest.approx(alone[best]['loss'])
  # The mean of probabilities is better than the mean of their logarithms.
  assert both['loss'] < (alone[0]['loss'] + alone[1]['loss']) / 2
  assert both['loss'] != first['loss']
  assert result['members'] == [
    {
      'workdir': str(path),
      'weights': weights,
      'step': step,
      'digest': run.load_run(path).digest,
    }
    for path, weights, step in ((trained[0], 'ema', 12), (other, 'raw', 3))
  ]
  text = (tmp_path / 'report' / 'report.md').read_text()
  digest = result['members'][1]['digest']
  assert f'| 2 | `{other}` | raw | 3 | `{digest[:16]}…` |' in text
  assert 'Table 3' in text and 'GoogLeNet' not in text  # Digits, not ImageNet.
  kept = json.loads((tmp_path / 'report' / 'report.json').read_text())
  assert kept['table_3'] == result['table_3']
  single = [
    row['top1_error']
    for number in (0, 1)
    for row in kept['rows']
    if row['members'] == [number] and row['crops'] == 1
  ]
  assert single[best] == min(single)
  assert f'The one model is number {best + 1}' in text
  (second,) = (
    row
    for row in kept['rows']
    if row['members'] == [1]
    and row['crops'] == 2
    and row['aggregation'] == 'mean_probability'
  )
  assert second['loss'] == pytest.approx(alone[1]['loss'])
  counts = (tmp_path / 'report' / 'confusions.csv').read_text().splitlines()[1:]
  assert sum(int(line.split(',')[-1]) for line in counts) == NUM_IMAGES
  for line in kept['table_3']:
    assert line['change_from_base'] == pytest.approx(
      line['top5_error'] - kept['table_3'][0]['top5_error']
    )
  # As if the digits were the paper's task, and then no longer.
  with monkeypatch.context() as patch:
    patch.setattr(contents, '_is_paper_task', lambda dataset: True)
    of_paper = report.report(*arguments)
  table_2 = tmp_path / 'report' / 'table_2.csv'
  entries = of_paper['table_2']
  assert len(entries) == 7 and len(table_2.read_text().splitlines()) == 9
  kept = json.loads((tmp_path / 'report' / 'report.json').read_text())
  assert kept['table_2'] == entries
  error = kept['table_3'][-1]['top5_error']
  assert entries[0]['reduction'] == pytest.approx(1 - error / 0.164)
  assert 'table_2' not in report.report(*arguments)
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
    assert together['members'] == sorted(alone, key=lambda x: x['workdir'])


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
  with pytest.raises(errors.InputError, match='comma with nothing beside it'):
    ensemble_folder.list_runs(f'{tmp_path},')
  for damaged in (
    '{}',
    '[]',
    '{"members": []}',
    '{"members": [3]}',
    '{"members": "m1"}',
  ):
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
  config_of_run['train']['num_train_steps'] = 'x'
  (m2 / 'config.json').write_text(json.dumps(config_of_run))
  with pytest.raises(errors.InputError, match="config.json is damaged: .* 'x'"):
    ensemble_folder.list_runs(tmp_path)
  (m2 / 'training.json').write_text('{}')
  with pytest.raises(errors.InputError, match='training.json is damaged'):
    ensemble_folder.list_runs(tmp_path)


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
  found = ' is missing;' if size is None else f'={size!r} '
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
      errors.InputError,
      match=f'config.train.eval_batch_size{found}.*must be ',
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
    errors.InputError, match='what to evaluate on; give the --con'
  ):
    evaluate.evaluate(tmp_path / 'run', protocol_lib.Protocol())


def test_the_order_of_runs_is_that_of_their_names(tmp_path):
  names = ['m10', 'm2', 'a', 'm1']
  for name in names:
    (tmp_path / name).mkdir()
  for order in (names, names[::-1]):
    found = ensemble_folder.list_runs(
      ','.join(str(tmp_path / name) for name in order)
    )
    assert [path.name for path in found] == ['a', 'm1', 'm2', 'm10']


def test_runs_of_other_sets_need_a_config(trained, tmp_path):
  other = tmp_path / 'other'
  shutil.copytree(trained[0], other)
  stored = json.loads((other / 'config.json').read_text())
  stored['data']['eval_split'] = 'test[:9]'
  (other / 'config.json').write_text(json.dumps(stored))
  with pytest.raises(errors.InputError, match='give a --config that says'):
    evaluate.evaluate(f'{other},{trained[0]}', protocol_lib.Protocol())


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_an_evaluation_that_is_not_finite_is_one_sentence(value, tmp_path):
  network = random_runs.random_run(
    'inception_v1_bn_shallow', 32, num_classes=10
  )
  names = [str(digit) for digit in range(10)]
  network = dataclasses.replace(
    network, labels=labels_lib.from_class_names(names)
  )
  network.variables['params']['classifier']['bias'][3] = value
  workdir = random_runs.write(network, tmp_path / 'run')
  for command in (evaluate.evaluate, report.report):
    with pytest.raises(errors.InputError, match='probabilities that are not f'):
      command(workdir, protocol_lib.Protocol(), config=config())
  for path in workdir.rglob('*.json*'):
    assert 'NaN' not in path.read_text() and 'Infinity' not in path.read_text()
  assert not (workdir / 'report' / 'report.json').exists()


def test_where_data_that_were_moved_can_be_named(trained, tmp_path):
  run = tmp_path / 'run'
  shutil.copytree(trained[0], run)
  stored = json.loads((run / 'config.json').read_text())
  stored['data'] |= {'name': 'my_photos', 'data_dir': str(tmp_path / 'gone')}
  (run / 'config.json').write_text(json.dumps(stored))
  with pytest.raises(errors.InputError) as error:
    evaluate.evaluate(run, protocol_lib.Protocol())
  assert 'add --config=FILE, the config that it was' in str(error.value)
  assert '--config.data.data_dir=FOLDER' in str(error.value)
