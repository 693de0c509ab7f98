"""Tests of what the whole step is compiled from, without the devices.

`jit` of `shard_map` is what pmap compiles to; `training/test_step.py` shows
that both give the same bits.
"""

import functools
import re

import jax
import jax.numpy as jnp
import optax
import pytest

from inception_jax import preprocess
from inception_jax.data import device
from inception_jax.models import create_model
from inception_jax.training import augment, train_state
from inception_jax.training import averaging as averaging_lib
from inception_jax.training import step as step_lib

SIZE, BATCH = 96, 2
POOLS = 4 + 4  # Of stride 2, and one in each module.


@functools.cache
def traced(name):
  """The step of a network with all its layers but fewer modules."""
  model = create_model(
    name, num_classes=5, width=0.1, axis_name=device.AXIS, dtype='bfloat16'
  )
  averaging = averaging_lib.Averaging()
  tx = optax.sgd(0.01, momentum=0.9)
  step_fn = step_lib.create_train_step(
    model=model,
    tx=tx,
    learning_rate_fn=lambda step: 0.01,
    averaging=averaging,
    augmentation=augment.Augmentation(),
    preprocessing=preprocess.MEAN_RGB,
    key=jax.random.key(0),
  )
  state = jax.eval_shape(
    lambda key: train_state.create_train_state(key, model, SIZE, tx, averaging),
    jax.random.key(0),
  )
  shape = jax.ShapeDtypeStruct
  batch = {
    'image': shape((BATCH, SIZE, SIZE, 3), jnp.uint8),
    'label': shape((BATCH,), jnp.int32),
    'slot': shape((BATCH,), jnp.int32),
    'stop': shape((1,), jnp.int32),
  }

  def local(state, batch):
    return step_fn(state, {**batch, 'stop': batch['stop'][0]})

  spec = jax.sharding.PartitionSpec
  sharded = jax.shard_map(
    local,
    mesh=device.local_mesh(),
    in_specs=(spec(), spec(device.AXIS)),
    out_specs=spec(),
    check_vma=False,
  )
  return jax.jit(sharded).trace(state, batch)


def operations(name, platform):
  """How often each operation of interest is in the program."""
  text = traced(name).lower(lowering_platforms=(platform,)).as_text()
  bands = re.findall(r'dot_general .*contracting_dims = \[3\] x \[0\]', text)
  strides = re.findall(r'stablehlo.convolution.*stride = \[2, 2\]', text)
  return {
    'select_and_scatter': text.count('"stablehlo.select_and_scatter"'),
    # Between the passes of a pool.
    'barrier': text.count('stablehlo.optimization_barrier'),
    'bands': len(bands),
    'strided_convolutions': len(strides),
  }


@pytest.mark.parametrize('name', ['inception_v1', 'inception_v1_bn'])
def test_each_backend_has_its_operations(name):
  # Forward and backward of two layers, if there are any.
  bands = 4 if name == 'inception_v1' else 0
  shallow = f'{name}_shallow'
  assert operations(shallow, 'cuda') == {
    'select_and_scatter': 0,
    'barrier': POOLS,
    'bands': bands,
    'strided_convolutions': 0,
  }
  assert operations(shallow, 'tpu') == {
    'select_and_scatter': POOLS,
    'barrier': 0,
    'bands': bands,
    'strided_convolutions': 1,
  }
  assert operations(shallow, 'cpu') == {
    'select_and_scatter': 0,
    'barrier': 0,
    'bands': 0,
    'strided_convolutions': 1,
  }
