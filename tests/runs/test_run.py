"""Tests of the run directory's files; `test_train` has those of a whole run."""

import json

from etils import epath
import numpy as np
import pytest
import random_runs

from inception_jax.data import labels
from inception_jax.experiment import config as config_lib
from inception_jax.runs import choice, directory, foreign_files, run
from inception_jax.runtime import errors, json_files
from inception_jax.training import averaging


def write(path, steps):
  lines = json_files.JsonLines(epath.Path(path))
  for step in steps:
    lines.append({'step': step, 'train': {'loss': 0.1 * step}})
    lines.flush()
  return lines


def steps_of(path):
  return [json.loads(text)['step'] for text in path.read_text().splitlines()]


def test_lines_are_appended_and_read_again(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  write(path, [1, 2])
  assert steps_of(path) == [1, 2]
  lines = write(path, [3, 4])
  assert steps_of(path) == [1, 2, 3, 4]
  assert [line['train']['loss'] for line in lines] == [0.1, 0.2, 0.1 * 3, 0.4]


def test_dropped_lines_leave_the_file_too(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  lines = write(path, [1, 2, 3, 4])
  lines.drop_after(2)
  lines.append({'step': 3})
  lines.flush()
  lines.append({'step': 5})
  lines.flush()
  assert steps_of(path) == [1, 2, 3, 5]


def test_half_line_of_a_kill_is_dropped(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  write(path, [1, 2])
  path.write_text(path.read_text()[:-9])
  lines = write(path, [3])
  assert [line['step'] for line in lines] == [1, 3] == steps_of(path)


def test_damage_before_the_end_is_an_error_that_names_the_line(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  write(path, [1, 2, 3])
  path.write_text(path.read_text().replace('2', '{', 1))
  with pytest.raises(errors.InputError, match='metrics.jsonl .*line 2'):
    json_files.JsonLines(epath.Path(path))


def test_unwritable_file_is_a_sentence(tmp_path):
  lines = json_files.JsonLines(epath.Path(tmp_path / 'none' / 'metrics.jsonl'))
  lines.append({'step': 1})
  for _ in range(2):
    with pytest.raises(errors.TrainingError, match='cannot be written'):
      lines.flush()


def test_a_run_may_go_on_skipping_bad_images(tmp_path):
  config = {'data': {'name': 'digits', 'on_bad_image': 'fail'}}
  (tmp_path / 'config.json').write_text(json.dumps(config))
  config['data']['on_bad_image'] = 'skip'
  directory.RunDirectory(tmp_path, config)
  config['data']['name'] = 'other'
  with pytest.raises(errors.InputError, match='data.name'):
    directory.RunDirectory(tmp_path, config)


@pytest.fixture(scope='module')
def intact(tmp_path_factory):
  """A run directory of a tiny network."""
  loaded = random_runs.random_run('inception_v1_bn_shallow', 32)
  return random_runs.write(loaded, tmp_path_factory.mktemp('runs') / 'run')


LABEL = {'index': 0, 'synset': None, 'name': 'cat'}
PIXELS = {'scale': 1, 'mean': [1, 2, 3], 'crop': {'size': 32, 'name': 'warp'}}


@pytest.mark.parametrize(
  ('file', 'contents', 'words'),
  [
    ('config', [], 'is no config'),
    ('model', [], 'model.json does not fit'),
    ('model', {'name': 'x'}, "inception_v1_tf_slim, not 'x'"),
    ('model', {'name': 'inception_v1', 'depth': 3}, 'depth'),
    ('model', {'num_classes': 'many'}, 'model.json does not fit'),
    ('model', {'name': 'inception_v1_bn'}, 'weights are others than it wants'),
    ('labels', [LABEL], 'it has 1 name for 7 outputs'),
    ('labels', [{**LABEL, 'name': None}] * 7, "entry 0 is {'index': 0"),
    ('labels', [LABEL] * 7, 'entry 1 is'),
    ('labels', {}, 'it must be a list of'),
    ('labels', ['cat'] * 7, 'labels.json does not fit: entry 0 is'),
    ('preprocessing', {**PIXELS, 'mean': ['a', 1, 1]}, "'a'"),
    ('preprocessing', {**PIXELS, 'mean': [1, 1]}, 'the mean has 2 values'),
    ('preprocessing', {**PIXELS, 'scale': [1, 1]}, 'the scale has 2 values'),
    ('preprocessing', {**PIXELS, 'scale': 0}, 'or the scale is 0'),
    ('preprocessing', {**PIXELS, 'scale': [1, 1, 'inf']}, 'not finite'),
    ('preprocessing', {**PIXELS, 'mean_image': '00' * 13}, '13 bytes is no sq'),
    ('preprocessing', {**PIXELS, 'mean_image': 'x'}, 'does not fit'),
    ('preprocessing', {**PIXELS, 'crop': {'size': 0, 'name': 'warp'}}, 'size'),
    (
      'preprocessing',
      {**PIXELS, 'crop': {'size': 16, 'name': 'warp'}},
      'small',
    ),
    (
      'preprocessing',
      {**PIXELS, 'crop': {'size': 32, 'name': 'centre_square'}},
      "not 'centre_square'",
    ),
    ('preprocessing', [], 'preprocessing.json does not fit'),
  ],
  ids=str,
)
def test_a_damaged_run_gets_a_sentence(intact, file, contents, words):
  path = intact / f'{file}.json'
  before = path.read_text()
  run.load_run(intact)
  try:
    path.write_text(json.dumps(contents))
    with pytest.raises(errors.InputError) as error:
      run.load_run(intact)
  finally:
    path.write_text(before)
  message = str(error.value)
  assert words in message and str(intact) in message
  assert 'training command again, which writes that file anew' in message


def test_files_that_are_no_json_are_named_with_the_remedy(intact):
  for name in ('config', 'model', 'preprocessing', 'labels'):
    path = intact / f'{name}.json'
    before = path.read_bytes()
    try:
      for contents in (b'', b'\0' * 9, before[:-9]):
        path.write_bytes(contents)
        with pytest.raises(errors.InputError, match='is damaged .*run the run'):
          run.load_run(intact)
    finally:
      path.write_bytes(before)


CONFIG = {'model': {'name': 'inception_v1'}, 'data': {'name': 'digits'}}


@pytest.mark.parametrize(
  ('names', 'is_free'),
  [
    ([], True),
    (['.cache/x', 'nohup.out', 'train.log', '@eaDir/y', 'notes.txt'], True),
    (['config.json', 'photo.jpg'], True),
    (['ensemble.json', 'm0/config.json'], True),
    (['checkpoints/3/x', 'photo.jpg'], True),
    (['plots/x.png', 'labels.json'], True),
    (['photo.jpg'], False),
    (['cat/photo.jpg', 'dog/photo.jpg'], False),
    (['main.py'], False),
  ],
  ids=str,
)
def test_no_run_is_begun_among_other_files(names, is_free, tmp_path):
  for name in names:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
  if is_free:
    foreign_files.check(tmp_path)
    return
  with pytest.raises(errors.InputError, match='holds other files .such as'):
    foreign_files.check(tmp_path)


def test_a_file_is_no_run_directory(tmp_path):
  (tmp_path / 'a').touch()
  with pytest.raises(
    errors.InputError, match='a is a file; give the name of a'
  ):
    foreign_files.check(tmp_path / 'a')
  foreign_files.check(tmp_path / 'new')


def test_a_run_of_other_data_is_seen_before_data_are_opened(tmp_path):
  (tmp_path / 'config.json').write_text(json.dumps(CONFIG))
  given = {name: {} for name in config_lib.SECTIONS}
  for data in ({'name': 'digits'}, {}):
    directory.check_data_name(tmp_path, {**given, 'data': data})
  with pytest.raises(errors.InputError, match="'digits' there|digits. there"):
    directory.check_data_name(tmp_path, {**given, 'data': {'name': 'fake'}})
  directory.check_data_name(tmp_path / 'new', {**given, 'data': {'name': 'x'}})


def test_a_config_of_another_program_is_no_run(tmp_path):
  (tmp_path / 'config.json').write_text('{"hidden_size": 768}')
  with pytest.raises(errors.InputError, match='is not the config of a run'):
    directory.RunDirectory(tmp_path, CONFIG)
  assert [x.name for x in tmp_path.iterdir()] == ['config.json']


def test_another_length_is_told_how_to_start_from_these_weights(tmp_path):
  stored = {**CONFIG, 'train': {'num_epochs': 3}}
  (tmp_path / 'config.json').write_text(json.dumps(stored))
  wanted = {**CONFIG, 'train': {'num_epochs': 4}}
  for has_weights in (False, True):
    with pytest.raises(errors.InputError) as error:
      directory.RunDirectory(tmp_path, wanted)
    advice = f'new --workdir and --config.init_from={tmp_path}'
    assert (advice in str(error.value)) == has_weights
    (tmp_path / 'checkpoints' / '5').mkdir(parents=True, exist_ok=True)


def test_weights_that_are_not_there_are_named_with_those_that_are():
  arrays = stored_arrays()
  arrays['averages/polyak/count'] = np.int32(0)
  arrays['averages/polyak/mean/params/a'] = np.float32(1)
  with pytest.raises(errors.InputError, match='not begun .*--weights=ema or'):
    run._select(arrays, 'polyak', 'runs/a')
  arrays = {k: x for k, x in arrays.items() if 'averages' not in k}
  with pytest.raises(errors.InputError, match='take --weights=raw$'):
    run._select(arrays, 'ema', 'runs/a')


PARTS = {'model': {'name': 'inception_v1'}, 'preprocessing': {'scale': 1}}


def stored_arrays(frozen=()):
  """Arrays of a checkpoint, without averages of what is frozen."""
  found = {
    'step': np.int32(3),
    'averages/ema/ema/weight': np.float32(0.5),
    'averages/polyak/count': np.int32(2),
  }
  names = ('params/conv1/kernel', 'params/conv2/kernel', 'batch_stats/bn/mean')
  for place, name in enumerate(names):
    value = np.arange(3, dtype=np.float32) + place
    found[name] = value
    if name not in frozen:
      found[f'averages/ema/ema/variables/{name}'] = value + 10
      found[f'averages/polyak/mean/{name}'] = value + 20
  return found


@pytest.mark.parametrize(
  ('weights', 'expected'),
  [
    ('raw', 'a454a5910927db2b'),
    ('ema', '9bb7efae356b08aa'),
    ('polyak', 'e411d8ea851c3b23'),
  ],
)
def test_the_digest_of_a_network_stays(weights, expected):
  assert run._digest(PARTS, weights, stored_arrays())[:16] == expected, (
    'all answers that are kept on disk would be computed again; change the'
    ' digest only if what it stands for has changed'
  )


@pytest.mark.parametrize('weights', averaging.KINDS)
@pytest.mark.parametrize('name', ['params/conv1/kernel', 'batch_stats/bn/mean'])
def test_the_digest_has_what_is_frozen(weights, name):
  def digest(change, frozen):
    arrays = stored_arrays(frozen)
    arrays[name] = arrays[name] + change
    return run._digest(PARTS, weights, arrays)

  assert digest(0, (name,)) != digest(1, (name,))
  # Where there is an average it is used, and nothing else.
  assert (digest(0, ()) == digest(1, ())) == (weights != 'raw')


def test_a_run_does_not_go_on_with_other_classes(tmp_path):
  loaded = random_runs.random_run('inception_v1_bn_shallow', 32)
  config = {'data': {'name': 'folder'}}
  describe = lambda names: directory.RunDirectory(tmp_path, config).describe(
    {},
    loaded.preprocessing,
    loaded.eval_crop,
    labels.from_class_names(names),
  )
  describe(['cat', 'dog'])
  describe(['cat', 'dog'])
  before = (tmp_path / 'labels.json').read_bytes()
  for names, words in (
    (['cat', 'owl'], "the 2 classes .* not the 2 .*first 'owl'"),
    (['cat', 'dog', 'owl'], 'the 3 classes .* not the 2 '),
  ):
    with pytest.raises(errors.InputError, match=words):
      describe(names)
  assert (tmp_path / 'labels.json').read_bytes() == before


def test_a_field_that_is_none_is_as_good_as_absent(tmp_path):
  (tmp_path / 'config.json').write_text(json.dumps({'data': {'name': 'x'}}))
  config = {'init_from': None, 'data': {'name': 'x'}}
  directory.RunDirectory(tmp_path, config)
  config['init_from'] = 'weights/google'
  with pytest.raises(errors.InputError, match='init_from is None there'):
    directory.RunDirectory(tmp_path, config)


NAMES = ('data', 'training', 'model', 'preprocessing', 'labels')
SET = {'name': 'x', 'num_images': 3, 'splits': {}}
DATA = {'train': SET, 'eval': SET}


def describe(folder, loaded):
  directory.RunDirectory(folder, {'data': {'name': 'x'}}).describe(
    {'name': 'y'},
    loaded.preprocessing,
    loaded.eval_crop,
    loaded.labels,
    num_train_steps=8,
    data=DATA,
  )


@pytest.mark.parametrize(
  'name',
  [
    *[f'{name}.json' for name in (*NAMES, 'config')],
    *('metrics.jsonl', 'timing.jsonl', 'plots/learning_curves.png'),
    *('plots/learning_rate.png', 'plots/training_crops.png'),
  ],
)
def test_files_that_no_run_has_written_stay(tmp_path, name):
  loaded = random_runs.random_run('inception_v1_bn_shallow', 32)
  path = tmp_path / name
  path.parent.mkdir(exist_ok=True)
  path.write_text('[1, "of the user"]')
  with pytest.raises(errors.InputError, match=f'{path} is there, though'):
    describe(tmp_path, loaded)
  assert path.read_text() == '[1, "of the user"]'
  assert [x for x in tmp_path.rglob('*') if x.is_file()] == [path]


def test_a_start_that_was_interrupted_goes_on(tmp_path):
  loaded = random_runs.random_run('inception_v1_bn_shallow', 32)
  describe(tmp_path, loaded)
  whole = {x: x.read_bytes() for x in tmp_path.iterdir()}
  names = [f'{name}.json' for name in (*NAMES, 'config')]
  for count, name in enumerate(names):  # They are written in this order.
    (tmp_path / name).write_bytes(b'')
    for later in names[count + 1 :]:
      (tmp_path / later).unlink()
    describe(tmp_path, loaded)
    assert whole == {x: x.read_bytes() for x in tmp_path.iterdir()}


def test_what_is_no_run_is_told_apart(tmp_path):
  (tmp_path / 'a' / 'run').mkdir(parents=True)
  (tmp_path / 'a' / 'run' / 'config.json').touch()
  (tmp_path / 'weights.npz').touch()
  (tmp_path / 'empty').mkdir()
  for name, words in {
    'none': 'none does not exist; give',
    'weights.npz': 'is a file .* --mode=import',
    'a': "holds runs, such as 'run': give one of them",
    'empty': 'has no config.json; give the --workdir of a run',
  }.items():
    with pytest.raises(errors.InputError, match=words):
      run.read_config(tmp_path / name)


def test_several_folders_are_no_run(tmp_path):
  for name in ('a', 'b'):
    (tmp_path / name).mkdir()
  foreign_files.check(f'{tmp_path}/a,c')
  with pytest.raises(errors.InputError, match='names 2 folders, and a run has'):
    foreign_files.check(f'{tmp_path}/a,{tmp_path}/b')


def test_a_damaged_choice_is_no_other_network(tmp_path):
  workdir = epath.Path(tmp_path)
  assert choice.used(workdir) == workdir
  for text in ('', '{"x"', '{"run": "elsewhere"}'):
    (tmp_path / 'used.json').write_text(text)
    with pytest.raises(
      errors.InputError, match='used.json is damaged; run the'
    ):
      choice.used(workdir)
  (tmp_path / 'used.json').write_text('{"run": "last_layer"}')
  assert choice.used(workdir) == workdir / 'last_layer'
