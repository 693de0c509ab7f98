"""Trains a few steps and writes down what happened, array by array.

    python tests/worker.py OUTPUT.npz NUM_STEPS

Runs in a process of its own, so that the number of devices and processes can
be chosen. Every process writes its own share; process 0 also the state.
"""

import pathlib
import sys

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path.cwd())]

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import tiny_config  # noqa: E402

from inception_jax.data import device  # noqa: E402
from inception_jax.experiment import experiment  # noqa: E402
from inception_jax.models import layers  # noqa: E402
from inception_jax.runs import named_arrays  # noqa: E402
from inception_jax.runtime import cluster  # noqa: E402
from inception_jax.training import augment, train_state  # noqa: E402


def dropout_masks(key, step, batch):
  """The masks that the main dropout layer draws, one row an example."""

  def masks(slots):
    keys = augment.example_keys(key, step, slots)
    ones = jnp.ones((len(slots), 64))
    return layers.Dropout(0.4, name='dropout').apply({}, ones, True, keys)

  return jax.pmap(masks)(batch['slot'])


def augmented(built, step, batch):
  """The images as the step makes them, before the preprocessing."""

  def images(image, slots):
    keys = augment.example_keys(built.keys[1], step, slots)
    return built.augmentation(image, keys)

  return jax.pmap(images)(batch['image'], batch['slot'])


def local(array):
  """This process's part of a sharded array, flattened to examples."""
  parts = sorted(array.addressable_shards, key=lambda s: s.index[0].start or 0)
  value = np.concatenate([np.asarray(part.data) for part in parts])
  return value.reshape(-1, *value.shape[2:])


def main(output, num_steps):
  cluster.initialize()
  built = experiment.create_experiment(tiny_config.get_plain_config())
  state = device.replicate(built.create_state())
  train_step = built.create_train_step()
  flags = {'stop': np.zeros(jax.local_device_count(), np.int32)}
  recorded = {}
  batches = device.prefetch(built.train_batches(0))
  for step in range(num_steps):
    batch = next(batches)
    for name in ('image', 'label', 'slot'):
      recorded[f'batch/{step}/{name}'] = local(batch[name])
    masks = dropout_masks(built.keys[1], step, batch)
    recorded[f'batch/{step}/masks'] = local(masks)
    images = augmented(built, step, batch)
    recorded[f'batch/{step}/augmented'] = local(images)
    batch['stop'] = device.shard(flags)['stop'][:, 0]
    state, metrics = train_step(state, batch)
    for name, value in jax.device_get(metrics).items():
      recorded[f'metrics/{step}/{name}'] = value
    if step == 0:  # Momentum after one step is the gradient.
      for name, value in named_arrays.flatten(state.opt_state).items():
        recorded[f'gradient/{name}'] = np.asarray(value)
  train_state.check_replicas(state)
  for name, value in named_arrays.flatten(state.params).items():
    recorded[f'params/{name}'] = np.asarray(value)
  recorded['num_shards'] = len(jax.tree.leaves(state)[0].addressable_shards)
  np.savez(output.replace('PROCESS', str(jax.process_index())), **recorded)


if __name__ == '__main__':
  main(sys.argv[1], int(sys.argv[2]))
