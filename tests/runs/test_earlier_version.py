"""Folders that version 0.1.0 left are evaluated, exported and trained on.

`tests/fixtures/version_0_1_0` holds them, and what that version said of them.
"""

import json
import pathlib

import archives
from fixtures.version_0_1_0 import config as config_lib
import numpy as np
import pytest

from inception_jax.commands import evaluate, export, train
from inception_jax.evaluation import protocol as protocol_lib

pytestmark = pytest.mark.slow

FIXTURES = pathlib.Path(__file__).parents[1] / 'fixtures/version_0_1_0'
EXPECTED = json.loads((FIXTURES / 'expected.json').read_text())
LAST_KEPT_STEP = 8  # Of 12: the checkpoints there are training goes on from.


def unpack(name, folder):
  archives.extract(FIXTURES / f'{name}.tar.xz', folder)
  return folder / name


def evaluated(workdir, answers=None, **arguments):
  return evaluate.evaluate(
    workdir, protocol_lib.Protocol('single'), answers=answers, **arguments
  )


def assert_evaluated(result, expected, same_weights=True):
  """Compares an evaluation; of other weights only within a tolerance.

  Args:
    result: of today's code.
    expected: of version 0.1.0.
    same_weights: whether the weights are read, not trained just now.
  """
  newer = {'workdir', 'top1_interval'}
  assert result.keys() - newer == expected.keys() - newer
  close = {'rel': 1e-5} if same_weights else {'rel': 1e-3}
  # Trained elsewhere, two pictures may be at the other side of a border.
  few = 0 if same_weights else 2 / expected['num_images']
  for name, value in expected.items():
    if name == 'members':
      for one, other in zip(result[name], value, strict=True):
        assert_evaluated(one, other, same_weights)
    elif name == 'loss':
      assert result[name] == pytest.approx(value, **close)
    elif name in ('top1', 'top5', 'top5_error'):
      assert result[name] == pytest.approx(value, abs=few + 1e-9), name
    elif name != 'digest' or same_weights:
      assert result[name] == value, name


def assert_trained_on(workdir, before, expected):
  """The log begins with the lines there were and goes on as it went on then."""
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  kept = [x for x in before if json.loads(x)['step'] <= LAST_KEPT_STEP]
  assert lines[: len(kept)] == kept
  new = [json.loads(x) for x in lines[len(kept) :]]
  assert [(x['step'], *x) for x in new] == [(x['step'], *x) for x in expected]
  for one, other in zip(new, expected, strict=True):
    if 'train' in other:
      assert one['train'] == pytest.approx(other['train'], rel=1e-3)
      continue
    assert one['evaluation'].keys() == other['evaluation'].keys()
    for weights, scores in other['evaluation'].items():
      assert_evaluated(one['evaluation'][weights], scores, same_weights=False)


def test_runs_and_imports_are_evaluated_and_exported(tmp_path):
  run, imported = unpack('run', tmp_path), unpack('imported', tmp_path)
  expected = EXPECTED['run']['evaluated_at_8']
  kept = {x: x.stat().st_mtime_ns for x in run.glob('answers/*/*')}
  assert len(kept) == 4
  assert_evaluated(evaluated(run), expected)  # By the answers it has.
  assert kept == {x: x.stat().st_mtime_ns for x in run.glob('answers/*/*')}
  anew = evaluated(run, tmp_path / 'answers')
  assert len(list(tmp_path.glob('answers/*/*.npz'))) == 3
  assert_evaluated(anew, expected)
  assert_evaluated(
    evaluated(imported, config=config_lib.get_config()),
    EXPECTED['imported']['evaluated'],
  )
  for workdir, expected in (
    (run, EXPECTED['run']['exported_at_8']),
    (imported, EXPECTED['imported']['exported']),
  ):
    result = export.export(workdir, 'npz', output=tmp_path / 'model.npz')
    # The digest is of every array: the same bits.
    assert {name: result[name] for name in expected} == expected
    with np.load(tmp_path / 'model.npz') as file:
      assert json.loads(file['metadata'].item())['digest'] == result['digest']


def test_training_goes_on_and_the_ensemble_is_completed(tmp_path):
  run, ensemble = unpack('run', tmp_path), unpack('ensemble', tmp_path)
  before = {
    path: (path / 'metrics.jsonl').read_text().splitlines()
    for path in (run, ensemble / 'm1', ensemble / 'm2')
  }
  assert train.train(config_lib.get_config(), run)['step'] == 12
  assert_trained_on(run, before[run], EXPECTED['run']['metrics_after_8'])
  assert sorted(x.name for x in run.glob('checkpoints/*')) == ['12', '8']
  assert_evaluated(
    evaluated(run), EXPECTED['run']['evaluated_at_12'], same_weights=False
  )
  members = train.train(config_lib.get_config('pair'), ensemble)['members']
  assert [x['step'] for x in members] == [12, 12]
  m1, m2 = ensemble / 'm1', ensemble / 'm2'
  assert (m1 / 'metrics.jsonl').read_text().splitlines() == before[m1]
  assert_trained_on(m2, before[m2], EXPECTED['ensemble']['m2_metrics_after_8'])
  assert_evaluated(
    evaluated(ensemble), EXPECTED['ensemble']['evaluated'], same_weights=False
  )
