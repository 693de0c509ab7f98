"""Everything that training changes."""

from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from inception_jax.models import GoogLeNet
from inception_jax.training import averaging as averaging_lib
from inception_jax.training import freezing


@struct.dataclass
class TrainState:
  """State after `step` updates; a pure tree of arrays.

  Attributes:
    step: int32 scalar, updates done.
    params: parameters of the model.
    batch_stats: running statistics of batch norm; empty without.
    opt_state: state of the optimizer, for what is not frozen.
    averages: averages of params and batch_stats, of what is not frozen.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: optax.OptState
  averages: averaging_lib.Averages

  @property
  def variables(self) -> averaging_lib.Variables:
    return {'params': self.params, 'batch_stats': self.batch_stats}


def create_train_state(
  key: jax.Array,
  model: GoogLeNet,
  image_size: int,
  tx: optax.GradientTransformation,
  averaging: averaging_lib.Averaging,
  is_frozen: freezing.IsFrozenFn = freezing.nothing_is_frozen,
  is_blank: bool = False,
) -> TrainState:
  """Initial state, a pure function of its arguments.

  Args:
    key: typed key of the initial weights.
    model: network to initialise.
    image_size: height and width of its input.
    tx: optimizer.
    averaging: averages to keep.
    is_frozen: what the optimizer and the averages leave out.
    is_blank: whether the weights are zero, where others take their place; a
      network takes long to compile only to draw them.

  Returns:
    State of step 0, on the default device.
  """

  @jax.jit
  def init():
    images = jnp.zeros((1, image_size, image_size, 3), jnp.float32)
    if is_blank:
      shapes = jax.eval_shape(model.init, key, images)
      variables = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    else:
      variables = model.init(key, images)
    variables = {'batch_stats': {}, **variables}
    trained = freezing.split_variables(variables, is_frozen)
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=variables['params'],
      batch_stats=variables['batch_stats'],
      opt_state=tx.init(trained['params']),
      averages=averaging.init(trained),
    )

  return init()


def start_at(
  state: TrainState,
  variables: averaging_lib.Variables,
  averaging: averaging_lib.Averaging,
  is_frozen: freezing.IsFrozenFn = freezing.nothing_is_frozen,
) -> TrainState:
  """The state of step 0 with other weights, at which the averages start too.

  Args:
    state: of `create_train_state`.
    variables: host arrays of the same names and shapes.
    averaging: averages to keep.
    is_frozen: what the averages leave out.

  Returns:
    State of step 0; `variables` are in it as they are.
  """
  trained = freezing.split_variables(variables, is_frozen)
  return state.replace(
    params=variables['params'],
    batch_stats=variables['batch_stats'],
    averages=averaging.start_at(trained),
  )


def check_replicas(state: TrainState) -> None:
  """Compares the copies of the state on the local devices, bit for bit.

  `out_axes=None` keeps one device's value without looking at the others, so a
  reduction forgotten in the step would go unnoticed.

  Args:
    state: replicated on the local devices.

  Raises:
    RuntimeError: if a copy differs.
  """
  leaves, _ = jax.tree_util.tree_flatten_with_path(state)
  for path, leaf in leaves:
    first, *others = [np.asarray(s.data) for s in leaf.addressable_shards]
    for index, other in enumerate(others, 1):
      if first.tobytes() != other.tobytes():
        raise RuntimeError(
          f'{jax.tree_util.keystr(path)} differs between local devices 0 and'
          f' {index}: the train step does not reduce it'
        )
