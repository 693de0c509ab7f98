"""Training from a config to a run directory, in this process."""

import errno
import json
import math
import os
import shlex
import shutil
import signal

import jax
import lock_holder
import numpy as np
import orbax.checkpoint as ocp
from PIL import Image
import pytest
from same_runs import assert_same_run, final_arrays
from tensorboard_events import pictures as pictures_of
from tensorboard_events import scalars
import tiny_config

import inception_jax
from inception_jax import preprocess
from inception_jax.commands import evaluate
from inception_jax.data import crop_rules, labels
from inception_jax.ensemble import folder as ensemble_folder
from inception_jax.evaluation import accuracy
from inception_jax.evaluation import protocol as protocol_lib
from inception_jax.experiment import experiment, overrides, preview
from inception_jax.runs import directory, pictures, resume, run, train
from inception_jax.runtime import errors, locks
from inception_jax.training import loop
from inception_jax.visualisation import plots


def lines(workdir):
  return [json.loads(line) for line in (workdir / 'metrics.jsonl').open()]


def test_result_has_every_kind_of_weights(trained):
  workdir, result = trained
  assert result['workdir'] == str(workdir) and result['step'] == 12
  found = ensemble_folder.read_progress(workdir)
  assert (found.step, found.num_train_steps) == (12, 12)
  assert list(result['evaluation']) == ['raw', 'ema', 'polyak']
  for scores in result['evaluation'].values():
    assert scores['num_images'] == 360
    assert 0 <= scores['top1'] <= scores['top5'] <= 1
  assert json.loads(json.dumps(result)) == result


def test_metrics_have_every_head_and_only_what_repeats(trained):
  workdir, _ = trained
  train_lines = [line for line in lines(workdir) if 'train' in line]
  assert [line['step'] for line in train_lines] == [2, 4, 6, 8, 10, 12]
  heads = ('main', 'aux_4a', 'aux_4d')
  expected = {f'{kind}_{head}' for kind in ('loss', 'top1') for head in heads}
  expected |= {'loss', 'learning_rate', 'gradient_norm', 'param_norm'}
  for line in train_lines:
    values = line['train']
    assert values.keys() == expected
    total = values['loss_main'] + 0.3 * (
      values['loss_aux_4a'] + values['loss_aux_4d']
    )
    assert values['loss'] == pytest.approx(total, rel=1e-5)
  evaluated = [line for line in lines(workdir) if 'evaluation' in line]
  assert [line['step'] for line in evaluated] == [6, 12]
  # The uniform mean begins after step 6.
  assert [list(line['evaluation']) for line in evaluated] == [
    ['raw', 'ema'],
    ['raw', 'ema', 'polyak'],
  ]
  timing = [json.loads(line) for line in (workdir / 'timing.jsonl').open()]
  assert all(line['images_per_second'] > 0 for line in timing)


def test_tensorboard_events_repeat_the_metrics(trained):
  workdir, _ = trained
  events = scalars(workdir / 'tensorboard')
  for line in lines(workdir):
    for name, value in line.get('train', {}).items():
      assert events[f'train/{name}', line['step']] == pytest.approx(value)


def test_tensorboard_shows_the_first_crops_and_the_confusions(trained):
  workdir, result = trained
  found = pictures_of(workdir / 'tensorboard')
  assert sorted(found) == [('confusion', 12), ('training_crops', 1)]
  built = experiment.create_experiment(tiny_config.get_config())
  crops, _ = preview.training_crops(built, step=0, count=32)
  assert len(crops) == 8  # A batch.
  np.testing.assert_array_equal(
    found['training_crops', 1], np.concatenate(crops, axis=1)
  )
  picture = found['confusion', 12]
  assert min(picture.shape[:2]) > 300 and len(np.unique(picture)) > 20


def test_confusions_are_those_of_the_weights_that_are_used(
  trained, tmp_path, monkeypatch
):
  workdir = tmp_path / 'run'
  shutil.copytree(trained[0], workdir)
  shutil.rmtree(workdir / 'checkpoints/12')
  kept = []
  record = pictures.Confusions.record
  monkeypatch.setattr(
    pictures.Confusions,
    'record',
    lambda self, *x: kept.append(self.counts) or record(self, *x),
  )
  config = tiny_config.get_config()
  config.averaging.inference_weights = 'raw'
  result = train.train(config, workdir)
  (counts,) = kept
  assert counts.sum() == 360 and counts.shape == (10, 10)
  scores = result['evaluation']
  assert np.trace(counts) / 360 == scores['raw']['top1']
  # A resumed run has its crops already.
  steps = [x for x in pictures_of(workdir / 'tensorboard') if 'crops' in x[0]]
  assert steps == [('training_crops', 1)]


def test_plots_are_pictures(trained):
  workdir, _ = trained
  plots = sorted(p.name for p in (workdir / 'plots').iterdir())
  assert plots == [
    'learning_curves.png',
    'learning_rate.png',
    'training_crops.png',
  ]
  for name in plots:
    with Image.open(workdir / 'plots' / name) as image:
      assert len(np.unique(np.asarray(image.convert('L')))) > 20


def test_same_command_again_does_not_train_again(trained):
  workdir, result = trained
  before = (workdir / 'metrics.jsonl').read_bytes()
  assert train.train(tiny_config.get_config(), workdir) == result
  assert (workdir / 'metrics.jsonl').read_bytes() == before


def test_another_command_does_not_train_in_the_same_folder(trained, tmp_path):
  workdir = tmp_path / 'run'
  shutil.copytree(trained[0], workdir)
  shutil.rmtree(workdir / 'checkpoints' / '12')  # There is work left.
  with lock_holder.held(workdir / '.lock') as other:
    before = contents(workdir)
    with pytest.raises(
      locks.HeldError,
      match=f'^process {other.pid} of host .* has been training in {workdir}'
      ' since .*;'
      ' wait for it or give another --workdir$',
    ):
      train.train(tiny_config.get_config(), workdir)
    assert contents(workdir) == before
  train.train(tiny_config.get_config(), workdir)
  assert_same_run(trained[0], workdir)
  assert not (workdir / '.lock').exists()


def contents(folder):
  return {
    path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
    for path in folder.rglob('*')
  }


def test_a_new_folder_is_not_left_after_an_error(tmp_path):
  config = tiny_config.get_config()
  config.init_from = str(tmp_path / 'nothing')
  with pytest.raises(errors.InputError, match='init_from'):
    train.train(config, tmp_path / 'new' / 'run')
  assert list(tmp_path.iterdir()) == []


def test_interrupted_run_ends_as_unbroken(trained, tmp_path, monkeypatch):
  workdir = tmp_path / 'run'
  config = tiny_config.get_config()
  real_next = loop.TrainLoop._next
  taken = []

  def signalled_next(self, batches):
    taken.append(1)
    # Between log, evaluation and checkpoint steps; in the middle of a window.
    if len(taken) in (3, 9):
      os.kill(os.getpid(), signal.SIGTERM)
    return real_next(self, batches)

  monkeypatch.setattr(loop.TrainLoop, '_next', signalled_next)
  stops = []
  for _ in range(2):
    with pytest.raises(errors.Interrupted) as interrupted:
      train.train(config, workdir)
    assert interrupted.value.exit_status == 128 + signal.SIGTERM
    stops.append(str(interrupted.value))
  result = train.train(config, workdir)
  assert stops[0] != stops[1] and 'SIGTERM' in stops[0]
  assert result['evaluation'] == trained[1]['evaluation']
  assert_same_run(trained[0], workdir)


def test_a_run_stopped_in_its_evaluations_ends_as_unbroken(
  trained, tmp_path, monkeypatch
):
  workdir = tmp_path / 'run'
  config = tiny_config.get_config()
  real_add, taken = accuracy._add, []

  def signalled_add(*arguments):
    taken.append(1)
    # In the first evaluation, and in the last; each has three batches.
    if len(taken) in (1, 7):
      os.kill(os.getpid(), signal.SIGTERM)
    return real_add(*arguments)

  monkeypatch.setattr(accuracy, '_add', signalled_add)
  for step in (6, 12):
    with pytest.raises(errors.Interrupted, match=f'at step {step}, which'):
      train.train(config, workdir)
  result = train.train(config, workdir)
  assert result['evaluation'] == trained[1]['evaluation']
  assert (workdir / 'metrics.jsonl').read_bytes() == (
    trained[0] / 'metrics.jsonl'
  ).read_bytes()
  arrays = [
    jax.tree.leaves(run.load_run(x, 'raw').variables)
    for x in (workdir, trained[0])
  ]
  for one, other in zip(*arrays, strict=True):
    np.testing.assert_array_equal(one, other)


def test_corrupt_newest_checkpoint_costs_only_time(trained, tmp_path):
  workdir = tmp_path / 'run'
  config = tiny_config.get_config()
  shutil.copytree(trained[0], workdir)
  for file in (workdir / 'checkpoints' / '12').rglob('d/*'):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    file.write_bytes(data)
  with pytest.raises(errors.InputError, match='checkpoint .*12 is .*delete'):
    run.load_run(workdir)
  train.train(config, workdir)
  assert_same_run(trained[0], workdir)


def test_a_passing_failure_is_no_reason_to_delete_a_checkpoint(
  trained, monkeypatch
):
  def fail(*arguments, **options):
    raise OSError(errno.EMFILE, 'Too many open files')

  before = contents(trained[0])
  monkeypatch.setattr(ocp.CheckpointManager, 'restore', fail)
  for command in (
    lambda: run.load_run(trained[0]),
    lambda: train.train(tiny_config.get_config(), trained[0]),
  ):
    with pytest.raises(errors.InputError, match='/12 .*Too many.*') as found:
      command()
    assert 'delete' not in str(found.value)
  after = contents(trained[0])
  assert after.keys() == before.keys()
  assert all(
    after[path] == before[path] for path in after if 'checkpoints' in path.parts
  )


def test_non_finite_loss_keeps_the_last_good_checkpoint(tmp_path):
  config = tiny_config.get_config()
  config.learning_rate = {'schedule': 'constant', 'init_value': 1000.0}
  config.optimizer.weight_decay = 1.0  # The weights grow by as much a step.
  config.train.checkpoint_every_steps = 1
  workdir = tmp_path / 'my run'
  with pytest.raises(errors.TrainingError) as error:
    train.train(config, workdir)
  message = str(error.value)
  assert 'not finite at step' in message
  # What it says is a command that works, in a new folder.
  words = shlex.split(message.split(': ')[-1].split(', or')[0])
  assert words[0] == '--workdir=NEW'
  config = overrides.apply(config, overrides.take(words[1:])[1])
  assert config.learning_rate.init_value == 500
  built = experiment.create_experiment(config)
  source = resume.load_source(built, tmp_path / 'NEW')
  assert source.step >= 1
  with pytest.raises(errors.InputError, match='another --workdir'):
    train.train(config, workdir)
  kept = sorted(int(p.name) for p in (workdir / 'checkpoints').iterdir())
  assert f'checkpoint {kept[-1]} is the last good' in message
  for name, value in final_arrays(workdir).items():
    assert np.isfinite(value).all(), name


def test_load_run_gives_a_working_model(trained):
  workdir, result = trained
  loaded = inception_jax.load_run(workdir)
  assert loaded.weights == 'ema' and loaded.step == 12
  assert loaded.labels.class_names == tuple('0123456789')
  assert loaded.eval_crop == crop_rules.EvaluationCrop(32, 'center_square')
  images = np.zeros((2, 32, 32, 3), np.uint8)
  logits, end_points = jax.jit(loaded.model.apply)(
    loaded.variables, loaded.preprocessing(images)
  )
  assert logits.shape == (2, 10) and 'inception_5b' in end_points
  raw = inception_jax.load_run(workdir, weights='raw', step=8)
  assert raw.step == 8
  assert jax.tree.structure(raw.variables) == jax.tree.structure(
    loaded.variables
  )


@pytest.mark.parametrize(
  ('wanted', 'step', 'found'),
  [
    ('polyak', None, 'polyak'),
    ('polyak', 4, 'ema'),  # It has not begun.
    ('raw', None, 'raw'),
    (None, None, 'ema'),
  ],
)
def test_a_run_is_used_with_what_its_config_says(
  trained, tmp_path, wanted, step, found
):
  shutil.copytree(trained[0], tmp_path / 'run')
  config = json.loads((tmp_path / 'run' / 'config.json').read_text())
  config['averaging']['inference_weights'] = wanted
  (tmp_path / 'run' / 'config.json').write_text(json.dumps(config))
  assert inception_jax.load_run(tmp_path / 'run', step=step).weights == found


@pytest.mark.parametrize('weights', ['raw', 'ema', 'polyak'])
def test_evaluate_mode_repeats_the_last_evaluation(trained, weights):
  workdir, result = trained
  scores = evaluate.evaluate(workdir, protocol_lib.Protocol(), weights)
  expected = result['evaluation'][weights]
  for name, value in expected.items():
    # The averages are divided out on another path.
    assert scores[name] == pytest.approx(value, rel=1e-4)
  assert scores['top5_error'] == 1 - scores['top5']
  assert scores['weights'] == weights and scores['protocol'] == 'single'


def test_bad_requests_of_a_run(trained, tmp_path):
  workdir, _ = trained
  with pytest.raises(errors.InputError, match='--protocol must be one of'):
    protocol_lib.Protocol('twenty_crop')
  with pytest.raises(errors.InputError, match="raw, ema or polyak, not 'x'"):
    run.load_run(workdir, 'x')
  with pytest.raises(errors.InputError, match='no checkpoint 5; it has'):
    run.load_run(workdir, step=5)
  with pytest.raises(errors.InputError, match='no run directory'):
    run.load_run(tmp_path)


def test_workdir_of_another_config_is_refused_with_the_fields(trained):
  workdir, _ = trained
  config = tiny_config.get_config()
  config.train.seed = 7
  config.optimizer.momentum = 0.8
  config.data.num_threads = 1  # Changes nothing that is computed.
  before = sorted(workdir.rglob('*'))
  with pytest.raises(errors.InputError) as error:
    train.train(config, workdir)
  message = str(error.value)
  assert 'train.seed is 0 there, 7 here' in message
  assert 'optimizer.momentum is 0.9 there, 0.8 here' in message
  assert 'num_threads' not in message
  assert sorted(workdir.rglob('*')) == before


def test_what_changes_no_weight_may_change_and_is_recorded(trained, tmp_path):
  workdir = tmp_path / 'run'
  shutil.copytree(trained[0], workdir)
  shutil.rmtree(workdir / 'checkpoints/12')
  config = tiny_config.get_config()
  changes = {
    'eval_batch_size': 90,
    'log_every_steps': 3,
    'eval_every_steps': 5,
    'keep_checkpoints': 1,
  }
  config.train.update(changes)
  config.data.on_bad_image = 'fail'  # As it was, though not given.
  assert train.train(config, workdir)['step'] == 12
  found, wanted = final_arrays(workdir), final_arrays(trained[0])
  assert found.keys() == wanted.keys()
  for name, value in wanted.items():
    np.testing.assert_array_equal(found[name], value, name)
  steps = [x['step'] for x in lines(workdir) if 'train' in x]
  assert steps == [2, 4, 6, 8, 9, 12]
  assert [p.name for p in (workdir / 'checkpoints').iterdir()] == ['12']
  path = workdir / 'config_changes.jsonl'
  recorded = [json.loads(line) for line in path.open()]
  before = tiny_config.get_config().train
  assert recorded == [
    {
      'step': 8,
      'field': f'train.{name}',
      'from': before.get(name, 3),
      'to': changes[name],
    }
    for name in sorted(changes)
  ]
  kept = json.loads((workdir / 'config.json').read_text())['train']
  assert {name: kept[name] for name in changes} == changes
  # Again by the same command: there is nothing to record.
  train.train(config, workdir)
  assert len(path.read_text().splitlines()) == len(recorded)


def change(section, **values):
  return lambda config: config[section].update(values)


@pytest.mark.parametrize(
  ('apply', 'message'),
  [
    (
      change('model', name='inception_v4'),
      "config.model.name='inception_v4' must be one of",
    ),
    (change('train', bach_size=8), "bach_size; .* did you mean 'batch_size'"),
    (change('optimizer', momentun=0.9), "momentun; .* did you mean 'momentum'"),
    (change('data', name='digit'), "'digit' is no TFDS dataset; .*'digits'"),
    (change('data', image_size=31), 'image_size=31: .* too small'),
    (change('train', num_microbatches=3), 'num_microbatches=3 does not divide'),
    (change('train', batch_size=0), 'batch_size=0 must be .* from 1 to 65,536'),
    (change('train', batch_size='8'), "batch_size='8' is of the wrong type"),
    (change('model', dtype='flat16'), "model.dtype='flat16' must .*'float16'"),
    (change('model', num_classes=4), 'less than the 10 classes'),
    (
      change('augmentation', hue=0.6),
      'config.augmentation.hue=0.6 must be a number from',
    ),
    (change('averaging', ema_decay=1.5), 'config.averaging.ema_decay=1.5 must'),
    (change('learning_rate', schedule='stairs'), "did you mean 'staircase'"),
    (change('model', name=None), 'field config.model.name is missing'),
    (change('learning_rate', init_value=None), 'init_value is missing'),
    (
      change('train', num_train_steps=None, num_epochs=9e5, batch_size=1),
      'num_epochs=900000 is 1,293,300,000 steps',
    ),
  ],
  ids=lambda value: value if isinstance(value, str) else '',
)
def test_bad_config_writes_nothing(apply, message, tmp_path):
  config = tiny_config.get_config().to_dict()
  apply(config)
  with pytest.raises(errors.InputError, match=message):
    train.train(config, tmp_path / 'run')
  assert not list(tmp_path.iterdir())


def test_one_class_is_nothing_to_learn(tmp_path, monkeypatch):
  monkeypatch.setattr(
    train.dataset.Dataset, 'class_names', property(lambda self: ('cat',))
  )
  with pytest.raises(errors.InputError, match="one class, 'cat'.*of its own"):
    train.train(tiny_config.get_config(), tmp_path / 'run')
  assert not list(tmp_path.iterdir())


def test_paper_heads_need_larger_images(tmp_path):
  config = tiny_config.get_plain_config()
  config.data.image_size = 64
  with pytest.raises(errors.InputError, match='65x65.*inception_v1_bn'):
    train.train(config, tmp_path / 'run')
  assert not list(tmp_path.iterdir())


def test_unknown_and_missing_sections():
  config = tiny_config.get_config().to_dict()
  config['optimiser'] = config.pop('optimizer')
  with pytest.raises(errors.InputError, match="optimiser; .*'optimizer'"):
    experiment.create_experiment(config)
  del config['optimiser']
  with pytest.raises(errors.InputError, match='config.optimizer is missing'):
    experiment.create_experiment(config)


def test_unwritable_workdir(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.InputError, match='cannot be written'):
    train.train(tiny_config.get_config(), tmp_path / 'file' / 'run')


def test_checkpoints_of_an_unknown_run_are_not_touched(tmp_path):
  (tmp_path / 'checkpoints' / '1').mkdir(parents=True)
  with pytest.raises(errors.InputError, match='checkpoints but no config.json'):
    train.train(tiny_config.get_config(), tmp_path)
  assert [p.name for p in tmp_path.iterdir()] == ['checkpoints']


def test_chance_loss_is_where_training_starts(trained):
  first = lines(trained[0])[0]['train']
  assert first['loss_main'] == pytest.approx(math.log(10), rel=0.5)


@pytest.mark.parametrize(
  'damage', ['emptied', 'cut', 'digit', 'no text', 'gone']
)
def test_metrics_come_back_from_the_checkpoint(
  trained, tmp_path, damage, caplog
):
  workdir = tmp_path / 'run'
  shutil.copytree(trained[0], workdir)
  file = workdir / 'metrics.jsonl'
  whole = file.read_bytes()
  place = whole.index(b'.') + 1
  contents = {
    'emptied': b'',
    'cut': whole[: len(whole) // 2],
    'digit': whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
    'no text': b'\xff' + whole[1:],
    'gone': None,
  }[damage]
  if contents is None:
    file.unlink()
  else:
    file.write_bytes(contents)
  train.train(tiny_config.get_config(), workdir)
  assert file.read_bytes() == whole
  assert any('metrics.jsonl is missing, damaged' in x for x in caplog.messages)


def test_files_that_a_loss_of_power_emptied_are_written_anew(
  trained, tmp_path, caplog
):
  workdir = tmp_path / 'run'
  shutil.copytree(trained[0], workdir)
  files = {path: path.read_bytes() for path in workdir.glob('*.json*')}
  files.pop(workdir / 'timing.jsonl')
  assert len(files) == 7
  for path in files:
    path.write_bytes(b'')
  train.train(tiny_config.get_config(), workdir)
  assert {path: path.read_bytes() for path in files} == files
  assert any('config.json was damaged' in x for x in caplog.messages)
  # The checkpoint still knows what it belongs to.
  (workdir / 'config.json').write_bytes(b'{"mod')
  config = tiny_config.get_config()
  config.learning_rate.init_value = 0.5
  with pytest.raises(errors.InputError, match='learning_rate.init_value is'):
    train.train(config, workdir)
  assert (workdir / 'config.json').read_bytes() == b'{"mod'


def test_a_young_run_without_checkpoints_survives_empty_files(tmp_path, caplog):
  config = {'data': {'name': 'x'}}
  for name in ('config.json', 'labels.json'):
    (tmp_path / name).write_bytes(b'')
  written = directory.RunDirectory(tmp_path, config)
  assert not caplog.text  # It can still be refused for another reason.
  written.describe(
    {},
    preprocess.UNIT,
    crop_rules.EvaluationCrop(32, 'warp'),
    labels.from_class_names(('cat', 'dog')),
  )
  assert 'was damaged; it is written anew' in caplog.text
  assert json.loads((tmp_path / 'config.json').read_text()) == config


def test_a_full_disk_at_the_plots_is_one_sentence(
  trained, tmp_path, monkeypatch
):
  workdir = tmp_path / 'run'
  shutil.copytree(trained[0], workdir)

  def full(*arguments):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(plots, 'save_figure', full)
  with pytest.raises(errors.PartialError, match='free some space and run'):
    train.train(tiny_config.get_config(), workdir)


@pytest.mark.parametrize('name', ['[x]', 'a\\b', 'a*b'])
def test_a_folder_that_checkpoints_cannot_have_is_refused_at_once(
  tmp_path, name
):
  with pytest.raises(errors.InputError, match='--workdir=.* in its full path'):
    train.train(tiny_config.get_config(), tmp_path / name)
  assert not list(tmp_path.iterdir())
