"""Runs that start from the weights of another, in this process."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
import random_runs
import tiny_config

from inception_jax import models, preprocess, profiles
from inception_jax.data import labels
from inception_jax.experiment import experiment
from inception_jax.runs import checkpoint, fine_tuning, named_arrays, run, train
from inception_jax.runtime import errors
from inception_jax.training import freezing, loop

NAME, SIZE, WIDTH = 'inception_v1_bn_shallow', 32, 0.05
DIGITS = tuple('0123456789')
STEPS = 4
FREEZE = ('conv*', 'inception_3*', 'inception_5b/pool_proj')


def create_source(class_names=DIGITS, **arguments):
  """A run of a tiny network whose weights are drawn by chance."""
  arguments = {'width': WIDTH, 'num_classes': len(class_names), **arguments}
  made = random_runs.random_run(NAME, SIZE, **arguments)
  return dataclasses.replace(
    made,
    preprocessing=profiles.profile_of(NAME).preprocessing,
    labels=labels.from_class_names(class_names, made.model.num_classes),
  )


def get_config(source):
  config = tiny_config.get_config()
  config.init_from = str(source)
  config.freeze = FREEZE
  config.optimizer.head_learning_rate_multiplier = 3.0
  config.learning_rate = {'schedule': 'constant', 'init_value': 0.01}
  config.averaging.polyak_start_epoch = 2 * 8 / 1437
  config.train.update(
    {
      'num_train_steps': STEPS,
      'log_every_steps': 1,
      'eval_every_steps': STEPS,
      'checkpoint_every_steps': 1,
      'keep_checkpoints': STEPS,
    }
  )
  return config


def arrays_of(workdir, step):
  checkpoints = checkpoint.Checkpoints(workdir / 'checkpoints', read_only=True)
  arrays, _ = checkpoints.restore(step)
  checkpoints.close()
  return arrays


class Stopped(Exception):
  """Ends training without a word, as a kill would."""


@pytest.fixture(scope='module')
def tuned(tmp_path_factory):
  """A source, a run from it, and a run that was killed and lost the source."""
  folder = tmp_path_factory.mktemp('fine_tuning')
  made = create_source(('cat', 'dog', 'owl'), use_aux=False)
  # As an imported network can have it, and not the profile's.
  made = dataclasses.replace(made, preprocessing=preprocess.IMAGENET_MEAN_STD)
  source = random_runs.write(made, folder / 'source')
  config = get_config(source)
  with pytest.MonkeyPatch.context() as patch:
    records = []
    patch.setattr(
      fine_tuning.logging, 'info', lambda *args: records.append(args)
    )
    train.train(config, folder / 'run')
  real_next = loop.TrainLoop._next
  taken = []

  def stopped_next(self, batches):
    taken.append(1)
    if len(taken) == 3:
      raise Stopped
    return real_next(self, batches)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop.TrainLoop, '_next', stopped_next)
    with pytest.raises(Stopped):
      train.train(config, folder / 'resumed')
  kept = source.with_name('moved')
  shutil.move(source, kept)
  train.train(config, folder / 'resumed')
  # Others log through the same module.
  start = next(i for i, x in enumerate(records) if 'starting from' in str(x[0]))
  listing = [message % tuple(rest) for message, *rest in records[start:][:5]]
  return made, folder, listing


def is_frozen(name):
  """Independently of the code, by the names that `FREEZE` means."""
  path = name.split('/')
  return path[1].startswith(('conv', 'inception_3')) or path[1:3] == [
    'inception_5b',
    'pool_proj',
  ]


def source_arrays(made):
  return {
    name: value
    for name, value in named_arrays.flatten(made.variables).items()
    if name.startswith(('params/', 'batch_stats/'))
  }


@pytest.mark.parametrize('weights', ['raw', 'ema', 'polyak'])
def test_frozen_modules_are_bit_identical_and_no_others(tuned, weights):
  made, folder, _ = tuned
  loaded = run.load_run(folder / 'run', weights)
  after = source_arrays(loaded)
  before = source_arrays(made)
  assert before.keys() < after.keys()  # The new one has auxiliary heads.
  frozen = [name for name in before if is_frozen(name)]
  assert any('bn/mean' in name for name in frozen)
  assert any('pool_proj/bn/scale' in name for name in frozen)
  for name, value in before.items():
    if is_frozen(name):
      assert after[name].tobytes() == value.tobytes(), name
    elif after[name].shape == value.shape:
      assert (after[name] != value).any(), name


def test_what_is_frozen_has_no_momentum_and_no_average(tuned):
  arrays = arrays_of(tuned[1] / 'run', STEPS)
  kept = [name for name in arrays if 'conv2/kernel' in name]
  assert kept == ['params/conv2/kernel']
  trained = [name for name in arrays if 'inception_4a/conv_1x1/kernel' in name]
  # Itself, momentum, EMA, uniform mean and what rounding took from it.
  assert len(trained) == 5


def test_the_exponential_average_starts_at_the_loaded_weights(tuned):
  made, folder, _ = tuned
  name = 'params/inception_5b/conv_5x5/kernel'
  expected = source_arrays(made)[name].astype(np.float64)
  for step in range(1, STEPS + 1):
    arrays = arrays_of(folder / 'run', step)
    expected = 0.95 * expected + 0.05 * arrays[name]
    found = arrays[f'averages/ema/ema/variables/{name}']
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert arrays['averages/ema/ema/weight'] == pytest.approx(1)
  assert np.abs(arrays[name] - source_arrays(made)[name]).max() > 1e-4


def test_every_module_is_listed_once(tuned):
  made, folder, listing = tuned
  assert 'raw weights' in listing[0] and 'step 3' in listing[0]
  loaded, replaced, absent, left_out = listing[1:]
  assert set(loaded.split(': ')[1].split(', ')) == (
    set(made.variables['params']) - {'classifier'}
  )
  assert replaced.endswith(': classifier') and left_out.endswith(': nothing')
  assert absent.endswith(': aux_4a, aux_4d')


def test_a_run_goes_on_to_the_same_bits_without_its_source(tuned):
  _, folder, _ = tuned
  assert not (folder / 'source').exists()
  config = json.loads((folder / 'resumed' / 'config.json').read_text())
  assert config['init_from'] == str(folder / 'source')
  assert config['freeze'] == list(FREEZE)
  for step in (3, STEPS):
    one, two = (
      arrays_of(folder / 'run', step),
      arrays_of(folder / 'resumed', step),
    )
    assert one.keys() == two.keys()
    for name in one:
      assert one[name].tobytes() == two[name].tobytes(), name
  metrics = [
    (folder / name / 'metrics.jsonl').read_bytes()
    for name in ('run', 'resumed')
  ]
  assert metrics[0] == metrics[1]


def test_pixels_are_prepared_as_for_the_source(tuned):
  """Also once the source is gone; the same metrics say that it is used."""
  made, folder, _ = tuned
  assert made.preprocessing != profiles.profile_of(NAME).preprocessing
  for name in ('run', 'resumed'):
    assert run.load_run(folder / name).preprocessing == made.preprocessing


def test_a_new_run_needs_its_source(tuned, tmp_path):
  config = get_config(tuned[1] / 'source')
  with pytest.raises(errors.InputError, match='init_from: .*source does'):
    train.train(config, tmp_path / 'run')
  assert not list(tmp_path.iterdir())


# --- Weights into weights, without training ----------------------------------


def transfer(source, class_names=DIGITS, **arguments):
  new = create_source(class_names, seed=1, **arguments)
  result, what = fine_tuning.transfer(new.variables, source, class_names)
  # Nothing else than the network's own arrays comes out.
  expected, found = map(named_arrays.flatten, (new.variables, result))
  assert expected.keys() == found.keys()
  assert all(expected[x].shape == found[x].shape for x in found)
  assert all(isinstance(x, np.ndarray) for x in found.values())
  return new.variables['params'], result['params'], what


HEADS = ('aux_4a', 'aux_4d', 'classifier')


def columns(params, name):
  head = params[name]
  return head['classifier'] if name != 'classifier' else head


def test_the_same_classes_in_another_order_keep_the_heads():
  source = create_source(use_aux=True)
  order = ('3', '1', '4', '0', '5', '9', '2', '6', '8', '7')
  assert sorted(order) == list(DIGITS) and order != DIGITS
  _, result, what = transfer(source, order, use_aux=True)
  assert set(HEADS) <= set(what.loaded)
  assert what.replaced == what.absent == what.left_out == ()
  for name in HEADS:
    old, new = columns(source.variables['params'], name), columns(result, name)
    for place, class_name in enumerate(order):
      for leaf in ('kernel', 'bias'):
        np.testing.assert_array_equal(
          new[leaf][..., place], old[leaf][..., int(class_name)]
        )
  np.testing.assert_array_equal(
    result['aux_4a']['dense']['kernel'],
    source.variables['params']['aux_4a']['dense']['kernel'],
  )


def test_dummies_may_come_and_go():
  shuffled = (*DIGITS[5:], *DIGITS[:5])
  source = create_source(shuffled, num_classes=12)
  assert source.labels[11].name == '<dummy>'
  old = source.variables['params']['classifier']['bias']
  _, fewer, _ = transfer(source)
  np.testing.assert_array_equal(
    fewer['classifier']['bias'], [*old[5:10], *old[:5]]
  )
  _, more, _ = transfer(source, num_classes=13)
  np.testing.assert_array_equal(
    more['classifier']['bias'],
    [*old[5:10], *old[:5], *old[10:], 0],
  )


def with_zeros(head):
  """A new head, whose classifier starts at zero."""
  layer = jax.tree.map(np.zeros_like, head.get('classifier', head))
  return {**head, 'classifier': layer} if 'classifier' in head else layer


@pytest.mark.parametrize(
  'class_names', [DIGITS[:9], (*DIGITS[:9], 'ten'), (*DIGITS, 'ten')], ids=len
)
def test_other_classes_replace_every_head_whole(class_names):
  source = create_source(use_aux=True)
  fresh, result, what = transfer(source, class_names, use_aux=True)
  assert sorted(what.replaced) == sorted(HEADS)
  for name in fresh:
    expected = source.variables['params'][name]
    if name in HEADS:
      expected = with_zeros(fresh[name])
    jax.tree.map(np.testing.assert_array_equal, result[name], expected)


def test_heads_that_only_one_side_has():
  with_heads = create_source(use_aux=True)
  without = create_source(use_aux=False)
  _, _, what = transfer(with_heads, use_aux=False)
  assert what.left_out == ('aux_4a', 'aux_4d') and 'classifier' in what.loaded
  fresh, result, what = transfer(without, use_aux=True)
  assert what.absent == ('aux_4a', 'aux_4d') and 'classifier' in what.loaded
  expected = with_zeros(fresh['aux_4a'])
  jax.tree.map(np.testing.assert_array_equal, result['aux_4a'], expected)


def test_a_head_of_another_size_of_images_is_replaced_alone():
  source = create_source(use_aux=True)
  dense = source.variables['params']['aux_4d']['dense']
  dense['kernel'] = np.concatenate([dense['kernel']] * 2)
  _, _, what = transfer(source, use_aux=True)
  assert what.replaced == ('aux_4d',) and 'aux_4a' in what.loaded


def test_anything_else_that_does_not_fit_is_an_error():
  source = create_source()
  conv = source.variables['params']['conv2']
  conv['kernel'] = conv['kernel'][:1]
  with pytest.raises(errors.InputError, match="kernel' of 'conv2' is .*1, 3"):
    transfer(source)
  del source.variables['params']['conv2']
  with pytest.raises(errors.InputError, match="no module 'conv2'"):
    transfer(source)


# --- Bad input ---------------------------------------------------------------


@pytest.mark.parametrize('pattern', ['classifier', 'aux_4a/dense'])
def test_what_starts_anew_cannot_be_frozen(pattern):
  source = create_source(use_aux=True)
  new = create_source(use_aux=True, seed=1)
  is_frozen = freezing.create_is_frozen(
    [pattern, 'conv*'], new.variables['params']
  )
  arguments = (new.variables, source)
  fine_tuning.check(*arguments, DIGITS, is_frozen)  # All is loaded.
  with pytest.raises(errors.InputError, match='freeze: .*must be trained'):
    fine_tuning.check(*arguments, ('cat', *DIGITS[1:]), is_frozen)


@pytest.fixture(scope='module')
def source_path(tmp_path_factory):
  folder = tmp_path_factory.mktemp('sources')
  return random_runs.write(create_source(), folder / 'source')


def load(path, weights=None, **arguments):
  arguments = {'name': NAME, 'width': WIDTH, 'num_classes': 10, **arguments}
  return fine_tuning.load_source(
    path, weights, models.create_model(**arguments)
  )


def test_a_network_that_fits(source_path):
  # What may differ: outputs, heads, and how it is computed.
  loaded = load(
    source_path,
    num_classes=3,
    use_aux=False,
    dtype='bfloat16',
    merge_1x1=False,
    batch_norm_momentum=0.99,
  )
  assert loaded.weights == 'raw'


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    (
      {'name': 'inception_v1'},
      "another network \\(name 'inception_v1_bn_shallow', not '"
      "inception_v1'\\).*"
      '--config.model.name=inception_v1_bn_shallow',
    ),
    ({'width': 0.1}, 'width 0.05, not 0.1.*--config.model.width=0.05'),
    ({'module_form': 'naive'}, "module_form 'reduced', not 'naive'"),
    ({'weights': 'ema'}, "config.init_from: .* keeps no 'ema' weights"),
    ({'weights': 'best'}, "raw, ema or polyak, not 'best'"),
  ],
  ids=lambda x: next(iter(x)) if isinstance(x, dict) else '',
)
def test_another_network_or_weights_get_a_sentence(
  source_path, arguments, words
):
  with pytest.raises(errors.InputError, match=words):
    load(source_path, **arguments)


def test_runs_without_weights_and_damaged_ones(source_path, tmp_path):
  with pytest.raises(errors.InputError, match='init_from: .* no run directory'):
    load(tmp_path)
  workdir = tmp_path / 'run'
  shutil.copytree(source_path, workdir)
  model = workdir / 'model.json'
  stored = json.loads(model.read_text())
  model.write_text(json.dumps({**stored, 'num_classes': 9}))
  with pytest.raises(errors.InputError, match='weights are others than it'):
    load(workdir)
  model.write_text(json.dumps(stored))
  for file in (workdir / 'checkpoints').rglob('d/*'):
    file.write_bytes(file.read_bytes()[:-7])
  with pytest.raises(errors.InputError, match='init_from: checkpoint .*3'):
    load(workdir)
  shutil.rmtree(workdir / 'checkpoints')
  with pytest.raises(errors.InputError, match='no checkpoint yet'):
    load(workdir)


@pytest.mark.parametrize(
  ('name', 'value', 'words'),
  [
    ('freeze', 'conv1', 'config.freeze=.* must be a tuple'),
    ('freeze', (1,), 'config.freeze=.* must be a tuple'),
    ('freeze', ('conv9*',), "config.freeze: 'conv9\\*' fits no module"),
    ('init_from', 3, 'config.init_from=3 .* must be a text'),
    ('init_form', 'x', "config.init_form; .* did you mean 'init_from'"),
  ],
)
def test_bad_fields(name, value, words):
  config = {**tiny_config.get_config().to_dict(), name: value}
  with pytest.raises(errors.InputError, match=words):
    experiment.create_experiment(config)
