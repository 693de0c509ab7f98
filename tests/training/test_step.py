"""Tests of the compiled steps, on one device here and on four in a subprocess.

Run as a program, this file writes what four devices make of the same steps.
"""

import functools
import json
import os
import pathlib
import subprocess
import sys
from unittest import mock

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inception_jax import preprocess
from inception_jax.data import device
from inception_jax.evaluation import crop_views
from inception_jax.models import create_model, layers
from inception_jax.training import augment, optimizer, train_state
from inception_jax.training import averaging as averaging_lib
from inception_jax.training import step as step_lib

CLASSES = 5
SIZE = 4
BATCH = 8
RATES = [0.5, 0.25, 0.1]
KEY = jax.random.key(3)
PREPROCESSING = preprocess.Preprocessing(1 / 64, (2.0, 1.5, 1.0))
PLAIN = augment.Augmentation(mirror=False)
MIRROR = augment.Augmentation()
EVERYTHING = augment.Augmentation(
  brightness=0.5, contrast=0.5, saturation=0.5, hue=0.1, lighting_std=0.1
)


class TwoHeads(nn.Module):
  """Linear classifiers with the call signature of `GoogLeNet`.

  Small enough to compile at once and to differentiate by hand.
  """

  dropout_rate: float = 0.0
  batch_norm: bool = False

  @nn.compact
  def __call__(self, x, train=False, example_keys=None):
    x, ends = x.reshape(len(x), -1), {}
    if self.batch_norm:
      x = nn.BatchNorm(
        use_running_average=not train, axis_name=device.AXIS, name='bn'
      )(x)
    if train or self.is_initializing():
      ends['aux_logits_4a'] = nn.Dense(CLASSES, name='aux_4a')(x)
    x = layers.Dropout(self.dropout_rate, name='dropout')(
      x, train, example_keys
    )
    return nn.Dense(CLASSES, name='classifier')(x), ends


def host_batch(seed=0, size=SIZE, batch_size=BATCH):
  rng = np.random.default_rng(seed)
  return {
    'image': rng.integers(0, 256, (batch_size, size, size, 3)).astype(np.uint8),
    'label': rng.integers(0, CLASSES, batch_size).astype(np.int32),
    'slot': np.arange(batch_size, dtype=np.int32),
  }


def on_devices(batch, stop=None):
  """As the loop hands it to the step."""
  if stop is None:
    stop = np.zeros(jax.local_device_count(), np.int32)
  return {
    **device.shard(batch),
    'stop': device.shard({'stop': np.asarray(stop, np.int32)})['stop'][:, 0],
  }


def create(model, size=SIZE, averaging=None, augmentation=MIRROR, **arguments):
  """A step of one device, and its initial state on all of them."""
  table = jnp.array(RATES)
  learning_rate_fn = lambda step: table[step]
  tx = optimizer.create_optimizer(learning_rate_fn=learning_rate_fn)
  averaging = averaging or averaging_lib.Averaging()
  step_fn = step_lib.create_train_step(
    model=model,
    tx=tx,
    learning_rate_fn=learning_rate_fn,
    averaging=averaging,
    augmentation=augmentation,
    preprocessing=PREPROCESSING,
    key=KEY,
    **arguments,
  )
  state = train_state.create_train_state(
    jax.random.key(1), model, size, tx, averaging
  )
  return step_fn, device.replicate(state)


@functools.cache
def train(parallelize, model, num_steps=3, **arguments):
  """Final state and the metrics of every step; tests share what it compiles."""
  step_fn, state = create(model, **arguments)
  compiled, history = parallelize(step_fn), []
  for step in range(num_steps):
    state, metrics = compiled(state, on_devices(host_batch(step)))
    history.append(metrics)
  return state, history


def shard_map_twin(step_fn):
  """`parallelize_train_step` written with shard_map."""
  spec = jax.sharding.PartitionSpec

  def local(state, batch):
    # Unlike pmap, shard_map leaves the axis of the devices, of length 1.
    return step_fn(state, jax.tree.map(lambda x: x[0], batch))

  return jax.jit(
    jax.shard_map(
      local,
      mesh=device.local_mesh(),
      in_specs=(spec(), spec(device.AXIS)),
      out_specs=spec(),
      check_vma=False,
    ),
    donate_argnums=0,
  )


def flat(tree):
  return {
    jax.tree_util.keystr(path): np.asarray(leaf)
    for path, leaf in jax.tree.leaves_with_path(tree)
  }


def assert_trees_close(tree, expected, rtol=1e-5, atol=1e-6):
  tree, expected = flat(tree), flat(expected)
  assert tree.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(
      tree[name], value, rtol=rtol, atol=atol, err_msg=name
    )


# --- Four devices, in a program of their own ---------------------------------

FULL = {
  'model': TwoHeads(dropout_rate=0.5, batch_norm=True),
  'augmentation': EVERYTHING,
  'averaging': averaging_lib.Averaging(ema_decay=0.9, polyak_start_step=1),
}
STOPS = [0, 2, 15, 0]


def replicas_error(state):
  try:
    train_state.check_replicas(state)
  except RuntimeError as error:
    return str(error)
  return None


def eval_inputs():
  # Four devices hold 2, 1, 0 and 2 images that are not padding.
  mask = np.array([1, 1, 0, 1, 0, 0, 1, 1], bool)
  skipped = np.array([0, 0, 1, 0, 1, 0, 0, 0], bool)
  return {**host_batch(46), 'mask': mask, 'skipped': skipped}


def eval_sums():
  model = TwoHeads(dropout_rate=0.5)
  _, state = create(model)
  eval_step = step_lib.parallelize_eval_step(
    step_lib.create_eval_step(crop_views.create_logits_fn(model, PREPROCESSING))
  )
  sums = eval_step(state.variables, device.shard(eval_inputs()))
  return {name: value.item() for name, value in sums.items() if not value.ndim}


def main(folder):
  folder = pathlib.Path(folder)
  parallelize = step_lib.parallelize_train_step
  result = {'devices': jax.local_device_count()}
  state, history = train(parallelize, **FULL)
  np.savez(folder / 'pmap.npz', **flat(state))
  np.savez(folder / 'pmap_history.npz', **flat(history))
  result['replicas'] = replicas_error(state)
  result['copies'] = len(state.step.addressable_shards)

  state, history = train(shard_map_twin, **FULL)
  np.savez(folder / 'twin.npz', **flat(state))
  np.savez(folder / 'twin_history.npz', **flat(history))
  result['twin_replicas'] = replicas_error(state)

  # The step as it is, but for its mean over the devices.
  with mock.patch.object(lax, 'pmean', lambda tree, *unused, **more: tree):
    broken, _ = train.__wrapped__(parallelize, TwoHeads(), num_steps=1)
  result['broken_replicas'] = replicas_error(broken)

  step_fn, state = create(TwoHeads())
  before = jax.tree.leaves(state)
  _, metrics = parallelize(step_fn)(state, on_devices(host_batch(), STOPS))
  result['stop'] = int(metrics['stop'])
  result['consumed'] = [leaf.is_deleted() for leaf in before]
  result['eval_sums'] = eval_sums()
  (folder / 'result.json').write_text(json.dumps(result))


@pytest.fixture(scope='module')
def four_devices(tmp_path_factory):
  folder = tmp_path_factory.mktemp('four_devices')
  flags = os.environ.get('XLA_FLAGS', '')
  done = subprocess.run(
    [sys.executable, __file__, str(folder)],
    env={
      **os.environ,
      'JAX_PLATFORMS': 'cpu',
      'XLA_FLAGS': f'{flags} --xla_force_host_platform_device_count=4',
    },
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  result = json.loads((folder / 'result.json').read_text())
  for path in folder.glob('*.npz'):
    with np.load(path) as arrays:
      result[path.stem] = dict(arrays)
  assert result['devices'] == 4
  return result


@pytest.mark.parametrize('what', ['', '_history'])
def test_pmap_equals_shard_map_bit_for_bit(four_devices, what):
  pmap, twin = four_devices[f'pmap{what}'], four_devices[f'twin{what}']
  assert pmap.keys() == twin.keys()
  for name, value in pmap.items():
    assert value.tobytes() == twin[name].tobytes(), name
  if not what:
    assert pmap['.step'] == 3


def test_four_devices_equal_one(four_devices):
  assert jax.local_device_count() == 1
  state, history = train(step_lib.parallelize_train_step, **FULL)
  for tree, name in ((state, 'pmap'), (history, 'pmap_history')):
    expected = flat(tree)
    assert four_devices[name].keys() == expected.keys()
    for leaf, value in expected.items():
      np.testing.assert_allclose(
        four_devices[name][leaf], value, rtol=1e-4, atol=1e-5, err_msg=leaf
      )


def test_replicas_are_equal_after_real_steps(four_devices):
  assert four_devices['copies'] == 4
  assert four_devices['replicas'] is None
  assert four_devices['twin_replicas'] is None


def test_a_step_that_does_not_reduce_is_found_out(four_devices):
  message = four_devices['broken_replicas']
  assert message is not None
  assert 'differs between local devices 0 and 1' in message
  assert '.params' in message


def test_stop_is_the_largest_flag(four_devices):
  assert four_devices['stop'] == max(STOPS) != STOPS[0]


def test_every_copy_of_the_state_is_consumed(four_devices):
  assert len(four_devices['consumed']) > 8
  assert all(four_devices['consumed'])


def test_evaluation_sums_over_the_devices_without_padding(four_devices):
  batch = eval_inputs()
  mask = batch['mask']
  # No device alone has the sums of all.
  assert mask.reshape(4, -1).sum(1).max() < mask.sum() < BATCH
  _, state = create(TwoHeads())
  logits = logits_by_hand(state.params, inputs_by_hand(batch))['classifier']
  own = logits[np.arange(BATCH), batch['label']]
  loss = np.log(np.exp(logits).sum(1)) - own
  correct = logits.argmax(1) == batch['label']
  # Right and wrong answers among the images, a right one among the padding.
  assert 0 < (correct & mask).sum() < mask.sum() and (correct & ~mask).any()
  expected = {
    'num_images': mask.sum(),
    'num_skipped': 2,
    'top1': (correct & mask).sum(),
    'top5': mask.sum(),
    'loss': loss[mask].sum(),
  }
  assert four_devices['eval_sums'] == pytest.approx(expected, rel=1e-5)
  assert eval_sums() == pytest.approx(expected, rel=1e-5)


# --- The update, by hand -----------------------------------------------------


def inputs_by_hand(batch):
  pixels = batch['image'].astype(np.float64) / 64 - np.array([2.0, 1.5, 1.0])
  return pixels.reshape(len(pixels), -1)


def logits_by_hand(params, inputs):
  return {
    head: inputs @ np.float64(leaves['kernel']) + np.float64(leaves['bias'])
    for head, leaves in params.items()
  }


def update_by_hand(params, velocity, batch, rate, aux_weight):
  """One step of SGD with momentum on two linear heads, in float64."""
  inputs, metrics = inputs_by_hand(batch), {'learning_rate': rate}
  one_hot = np.eye(CLASSES)[batch['label']]
  total, squares, new, new_velocity = 0.0, 0.0, {}, {}
  for head, logits in logits_by_hand(params, inputs).items():
    weight = 1.0 if head == 'classifier' else aux_weight
    odds = np.exp(logits)
    probabilities = odds / odds.sum(1, keepdims=True)
    loss = -np.log((probabilities * one_hot).sum(1)).mean()
    name = 'main' if head == 'classifier' else head
    metrics[f'loss_{name}'] = loss
    metrics[f'top1_{name}'] = (logits.argmax(1) == batch['label']).mean()
    total += weight * loss
    error = weight * (probabilities - one_hot) / len(inputs)
    gradient = {'kernel': inputs.T @ error, 'bias': error.sum(0)}
    squares += sum((g**2).sum() for g in gradient.values())
    new_velocity[head] = {
      k: 0.9 * velocity[head][k] + gradient[k] for k in gradient
    }
    new[head] = {
      k: np.float64(params[head][k]) - rate * new_velocity[head][k]
      for k in gradient
    }
  metrics['loss'] = total
  metrics['gradient_norm'] = np.sqrt(squares)
  metrics['param_norm'] = np.sqrt(
    sum((w**2).sum() for w in jax.tree.leaves(new))
  )
  return new, new_velocity, metrics


@pytest.mark.parametrize('aux_weight', [0.3, 0.0])
def test_three_updates_equal_those_by_hand(aux_weight):
  model = TwoHeads()
  _, initial = create(model)
  params = jax.device_get(initial.params)
  velocity = jax.tree.map(np.zeros_like, params)
  state, history = train(
    step_lib.parallelize_train_step,
    model,
    augmentation=PLAIN,
    aux_weight=aux_weight,
  )
  for step, rate in enumerate(RATES):
    params, velocity, metrics = update_by_hand(
      params, velocity, host_batch(step), rate, aux_weight
    )
    assert history[step].keys() == {*metrics, 'stop'}
    for name, value in metrics.items():
      assert history[step][name].shape == ()
      np.testing.assert_allclose(
        history[step][name], value, rtol=1e-4, err_msg=f'{name} of step {step}'
      )
  assert int(state.step) == 3
  assert_trees_close(state.params, params, rtol=1e-4, atol=1e-5)
  moved = np.abs(params['aux_4a']['bias'] - initial.params['aux_4a']['bias'])
  assert (moved.max() > 1e-3) == bool(aux_weight)


@pytest.mark.parametrize('augmentation', [MIRROR, EVERYTHING])
def test_augmentation_is_that_of_the_examples_keys(augmentation):
  model = TwoHeads()
  parallelize = step_lib.parallelize_train_step
  inside, _ = train(parallelize, model, augmentation=augmentation)
  plain, _ = train(parallelize, model, augmentation=PLAIN)
  step_fn, state = create(model, augmentation=PLAIN)
  compiled = parallelize(step_fn)
  for step in range(3):
    batch = host_batch(step)
    keys = augment.example_keys(KEY, jnp.int32(step), batch['slot'])
    batch['image'] = np.asarray(augmentation(batch['image'], keys))
    state, _ = compiled(state, on_devices(batch))
  gap = np.abs(
    inside.params['classifier']['kernel'] - plain.params['classifier']['kernel']
  )
  assert gap.max() > 1e-2
  assert_trees_close(inside, state)


def test_averages_are_of_the_weights_after_each_update():
  averaging = averaging_lib.Averaging(ema_decay=0.5, polyak_start_step=1)
  model = TwoHeads(batch_norm=True)
  seen = [
    train(step_lib.parallelize_train_step, model, num_steps=n)[0].variables
    for n in (1, 2, 3)
  ]
  state, _ = train(step_lib.parallelize_train_step, model, averaging=averaging)
  result = averaging_lib.averaged_variables(state.averages)
  ema = jax.tree.map(lambda a, b, c: (a + 2 * b + 4 * c) / 7, *seen)
  assert_trees_close(result['ema'], ema)
  polyak = jax.tree.map(lambda b, c: (b + c) / 2, *seen[1:])
  assert_trees_close(result['polyak'], polyak)
  assert 'bn' in result['ema']['batch_stats']


# --- Micro-batches -----------------------------------------------------------


def program(step_fn, state):
  batch = {**host_batch(), 'stop': np.int32(0)}
  with_axis = jax.vmap(step_fn, in_axes=(None, 0), axis_name=device.AXIS)
  batch = jax.tree.map(lambda x: np.asarray(x)[None], batch)
  return str(jax.make_jaxpr(with_axis)(state, batch))


@pytest.mark.parametrize('num_microbatches', [2, 4])
@pytest.mark.parametrize('dropout_rate', [0.0, 0.5])
def test_micro_batches_change_nothing(num_microbatches, dropout_rate):
  model = TwoHeads(dropout_rate=dropout_rate)
  arguments = {'augmentation': EVERYTHING}
  whole_fn, state = create(model, **arguments)
  arguments_of_parts = {**arguments, 'num_microbatches': num_microbatches}
  parts_fn, _ = create(model, **arguments_of_parts)
  assert ' scan[' not in program(whole_fn, state)
  parts_program = program(parts_fn, state)
  assert ' scan[' in parts_program
  assert f'length={num_microbatches}' in parts_program
  parallelize = step_lib.parallelize_train_step
  whole, whole_history = train(parallelize, model, **arguments)
  parts, parts_history = train(parallelize, model, **arguments_of_parts)
  assert_trees_close(parts, whole)
  assert_trees_close(parts_history, whole_history)


def test_dropout_matters_and_changes_from_step_to_step():
  parallelize = step_lib.parallelize_train_step
  without, _ = train(parallelize, TwoHeads(), num_steps=1)
  dropped, _ = train(parallelize, TwoHeads(dropout_rate=0.5), num_steps=1)
  kernel = lambda state: np.asarray(state.params['classifier']['kernel'])
  assert np.abs(kernel(dropped) - kernel(without)).max() > 1e-2
  # The head without dropout before it does not notice.
  assert_trees_close(dropped.params['aux_4a'], without.params['aux_4a'])
  step_fn, state = create(TwoHeads(dropout_rate=0.5), augmentation=PLAIN)
  compiled, losses = parallelize(step_fn), []
  for _ in range(2):
    again = device.replicate(
      create(TwoHeads(dropout_rate=0.5))[1].replace(step=state.step)
    )
    state, metrics = compiled(again, on_devices(host_batch()))
    losses.append(metrics)
  assert losses[0]['loss_aux_4a'] == losses[1]['loss_aux_4a']
  assert losses[0]['loss_main'] != losses[1]['loss_main']


def test_batch_norm_takes_its_statistics_from_every_micro_batch():
  model = TwoHeads(batch_norm=True)
  state, _ = train(
    step_lib.parallelize_train_step,
    model,
    num_steps=1,
    num_microbatches=2,
    augmentation=PLAIN,
  )
  inputs = inputs_by_hand(host_batch())
  mean = np.zeros(inputs.shape[1])
  for part in (inputs[:4], inputs[4:]):
    mean = 0.99 * mean + 0.01 * part.mean(0)  # Flax's default momentum.
  np.testing.assert_allclose(
    state.batch_stats['bn']['mean'], mean, rtol=1e-4, atol=1e-6
  )


# --- The state ---------------------------------------------------------------


def test_the_state_given_is_consumed():
  step_fn, state = create(TwoHeads())
  leaves = jax.tree.leaves(state)
  new_state, _ = step_lib.parallelize_train_step(step_fn)(
    state, on_devices(host_batch())
  )
  assert all(leaf.is_deleted() for leaf in leaves)
  assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(new_state))


def test_evaluation_leaves_its_variables_alone():
  model = TwoHeads()
  _, state = create(model)
  eval_step = step_lib.parallelize_eval_step(
    step_lib.create_eval_step(crop_views.create_logits_fn(model, PREPROCESSING))
  )
  inputs = eval_inputs()
  first = eval_step(state.variables, device.shard(inputs))
  logits, _ = model.apply(state.variables, PREPROCESSING(inputs['image']))
  expected = np.where(inputs['mask'], logits.argmax(-1), -1)
  assert len(np.unique(expected)) > 1 and -1 in expected
  np.testing.assert_array_equal(first['predictions'].ravel(), expected)
  np.testing.assert_array_equal(first['labels'].ravel(), inputs['label'])
  again = eval_step(state.variables, device.shard(eval_inputs()))
  for name, value in flat(first).items():
    np.testing.assert_array_equal(value, flat(again)[name])


def initial_state(seed, averaging=None):
  model = TwoHeads(batch_norm=True)
  tx = optax.trace(0.9)
  averaging = averaging or averaging_lib.Averaging()
  return train_state.create_train_state(
    jax.random.key(seed), model, SIZE, tx, averaging
  )


def test_the_initial_state_is_a_function_of_the_key():
  one, same, other = map(initial_state, (0, 0, 1))
  assert one.step is not same.step
  for name, value in flat(one).items():
    assert value.tobytes() == flat(same)[name].tobytes()
  kernel = lambda state: np.asarray(state.params['classifier']['kernel'])
  assert np.abs(kernel(one) - kernel(other)).max() > 1e-2
  # What else is asked for does not touch the weights.
  averaging = averaging_lib.Averaging(ema_decay=0.9, polyak_start_step=0)
  averaged = initial_state(0, averaging)
  assert len(flat(averaged)) > len(flat(one))
  np.testing.assert_array_equal(kernel(averaged), kernel(one))


def test_the_initial_state_has_done_nothing():
  state = initial_state(0)
  assert state.step.dtype == jnp.int32 and int(state.step) == 0
  assert not any(x.any() for x in jax.tree.leaves(state.opt_state))
  assert state.variables == {
    'params': state.params,
    'batch_stats': state.batch_stats,
  }


def test_one_copy_is_equal_to_itself():
  train_state.check_replicas(initial_state(0))


# --- The real network, once --------------------------------------------------


def test_a_real_network_learns_a_batch_by_heart():
  """Smoke: every parameter moves, and the loss of each head falls."""
  model = create_model(
    'inception_v1_bn_shallow',
    num_classes=CLASSES,
    width=0.05,
    axis_name=device.AXIS,
  )
  tx = optimizer.create_optimizer(learning_rate_fn=lambda step: 0.05)
  averaging = averaging_lib.Averaging()
  step_fn = step_lib.create_train_step(
    model=model,
    tx=tx,
    learning_rate_fn=lambda step: 0.05,
    averaging=averaging,
    augmentation=PLAIN,
    preprocessing=preprocess.MEAN_RGB,
    key=KEY,
  )
  state = train_state.create_train_state(
    jax.random.key(0), model, 32, tx, averaging
  )
  before = flat(state.variables)
  compiled = step_lib.parallelize_train_step(step_fn)
  batch = host_batch(size=32)
  state, history = device.replicate(state), []
  for _ in range(20):
    state, metrics = compiled(state, on_devices(batch))
    history.append({name: float(value) for name, value in metrics.items()})
  assert np.isfinite(list(history[-1].values())).all()
  after = flat(state.variables)
  assert [k for k, v in after.items() if (v == before[k]).all()] == []
  for head in ('main', 'aux_4a', 'aux_4d'):
    first, last = (row[f'loss_{head}'] for row in (history[0], history[-1]))
    assert last < 0.7 * first, head


if __name__ == '__main__':
  main(sys.argv[1])
