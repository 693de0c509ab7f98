"""Averages of the weights over the steps of training.

Two different things are called Polyak averaging. The uniform mean of all
iterates from some step on is Polyak and Juditsky's; an exponential moving
average forgets. Both are kept here, under their own names.
"""

from collections.abc import Collection
from typing import Annotated, Any, NamedTuple

from flax import struct
import jax
import jax.numpy as jnp
import optax

from inception_jax.runtime import ranges

# The weights themselves, and their averages.
KINDS = ('raw', 'ema', 'polyak')
Kind = Annotated[str, ranges.OneOf(KINDS)]
# Larger ones are 1 in float32, or nearly so: the average would not move.
_MAX_DECAY = 0.999999
EmaDecay = Annotated[float, ranges.Range(0, _MAX_DECAY, is_open=True)]
# Steps: of fewer there is nothing to average.
_MIN_HORIZON = 2

# {'params': ..., 'batch_stats': ...}: what a forward pass needs.
Variables = dict[str, Any]


class PolyakState(NamedTuple):
  """Uniform mean so far.

  Attributes:
    count: iterates in it, int32 scalar.
    mean: of params and batch_stats.
    lost: what rounding has added to the mean too much. After some 100,000
      iterates each one moves the mean by less than a float32 can show; carried
      along, the small parts add up (Kahan 1965).
  """

  count: jax.Array
  mean: Variables
  lost: Variables


@struct.dataclass
class Averages:
  """State of the averages that a run keeps; None where it keeps none.

  Attributes:
    ema: optax's state over `{'variables': ..., 'weight': 1.0}`. The average of
      the constant 1 is the weight the iterates have in the sum, so dividing by
      it removes the bias towards the initial zeros exactly.
    polyak: uniform mean.
  """

  ema: optax.EmaState | None
  polyak: PolyakState | None


@struct.dataclass
class Averaging:
  """Which averages to keep.

  Attributes:
    ema_decay: share of the old average kept a step, in (0, 1), or None.
    polyak_start_step: number of updates after which the uniform mean begins,
      or None. With 0 the mean is over the weights after every update.
  """

  ema_decay: EmaDecay | None = struct.field(pytree_node=False, default=None)
  polyak_start_step: (
    Annotated[int, ranges.Range(0, ranges.MAX_STEPS)] | None
  ) = struct.field(pytree_node=False, default=None)

  def __post_init__(self):
    ranges.check(type(self), vars(self))

  def init(self, variables: Variables) -> Averages:
    """Averages of nothing yet."""
    ema = polyak = None
    if self.ema_decay is not None:
      ema = self._ema().init(_weighted(variables))
    if self.polyak_start_step is not None:
      zeros = jax.tree.map(jnp.zeros_like, variables)
      polyak = PolyakState(jnp.zeros((), jnp.int32), zeros, zeros)
    return Averages(ema=ema, polyak=polyak)

  def start_at(self, variables: Variables) -> Averages:
    """Averages that are these variables until there is more to average.

    The exponential average goes on from them with their whole weight. The
    uniform mean is of what comes after its first step, and forgets them then.
    """
    averages = self.init(variables)
    ema, polyak = averages.ema, averages.polyak
    if ema is not None:
      ema = ema._replace(ema=_weighted(variables))
    if polyak is not None:
      polyak = polyak._replace(mean=variables)
    return Averages(ema=ema, polyak=polyak)

  def update(
    self, averages: Averages, variables: Variables, step: jax.Array
  ) -> Averages:
    """Takes in the variables after update number `step` (from 1)."""
    ema, polyak = averages.ema, averages.polyak
    if ema is not None:
      _, ema = self._ema().update(_weighted(variables), ema)
    if polyak is not None:
      taken = step > self.polyak_start_step
      count = polyak.count + taken.astype(jnp.int32)
      share = jnp.where(taken, 1 / jnp.maximum(count, 1), 0.0)
      wanted = jax.tree.map(
        lambda mean, new, lost: (new - mean) * share - lost,
        polyak.mean,
        variables,
        polyak.lost,
      )
      mean = jax.tree.map(jnp.add, polyak.mean, wanted)
      lost = jax.tree.map(
        lambda new, old, wanted: (new - old) - wanted, mean, polyak.mean, wanted
      )
      polyak = PolyakState(count, mean, lost)
    return Averages(ema=ema, polyak=polyak)

  def _ema(self) -> optax.GradientTransformation:
    return optax.ema(self.ema_decay, debias=False)


def create_averaging(
  *,
  ema_decay: EmaDecay | None = None,
  ema_horizon: Annotated[float, ranges.Range(1e-6, 1)] | None = None,
  polyak_start_epoch: Annotated[float, ranges.Range(0, ranges.MAX_EPOCHS)]
  | None = None,
  inference_weights: Kind | None = None,
  steps_per_epoch: float,
  num_train_steps: ranges.Steps,
) -> Averaging:
  """The averages that section `averaging` of a config asks for.

  Args:
    ema_decay: share of the old average kept a step, or None for no exponential
      moving average.
    ema_horizon: instead of `ema_decay`, the steps that the average reaches back
      as a share of the run: the decay is `1 - 1 / (ema_horizon * steps)`, and
      0.5 at least.
    polyak_start_epoch: epochs after which the uniform mean of the weights
      begins, or None for no such mean; the paper averages so, but does not say
      over which steps (section 6).
    inference_weights: weights that a trained network is used with; the paper's
      are 'polyak' (section 6). None, or what is not kept, is 'ema' where that
      is kept, or else 'raw'.
    steps_per_epoch: updates in one pass over the training set.
    num_train_steps: updates of the whole run.

  Raises:
    ValueError: if an argument is out of its range, or both of the first two
      are given.
  """
  ranges.check(create_averaging, locals())
  if ema_horizon is not None:
    if ema_decay is not None:
      raise ValueError(
        'ema_decay and ema_horizon are two ways to say the same; set one of'
        ' them to None'
      )
    steps = max(ema_horizon * num_train_steps, _MIN_HORIZON)
    ema_decay = min(1 - 1 / steps, _MAX_DECAY)
  start_step = None
  if polyak_start_epoch is not None:
    # No run is longer, and an int32 holds no more.
    start_step = min(
      round(polyak_start_epoch * steps_per_epoch), ranges.MAX_STEPS
    )
  return Averaging(ema_decay, start_step)


def default_kind(wanted: str | None, kept: Collection[str]) -> str:
  """The kind of weights to use where nobody says which.

  Args:
    wanted: `averaging.inference_weights` of the run's config.
    kept: of `KINDS`, what the run has; 'polyak' only once that has begun.

  Returns:
    What is wanted, if it is there; else 'ema' where it is kept; else 'raw'.
  """
  for kind in (wanted, 'ema'):
    if kind in kept:
      return kind
  return 'raw'


def _weighted(variables: Variables) -> dict[str, Any]:
  return {'variables': variables, 'weight': jnp.ones((), jnp.float32)}


def averaged_variables(averages: Averages) -> dict[str, Variables]:
  """What the averages amount to now.

  Args:
    averages: state after at least one update.

  Returns:
    Variables under 'ema' and 'polyak', each only if kept. A uniform mean that
    has not begun is all zeros: see `PolyakState.count`.
  """
  result = {}
  if averages.ema is not None:
    kept = averages.ema.ema
    result['ema'] = jax.tree.map(
      lambda x: x / kept['weight'], kept['variables']
    )
  if averages.polyak is not None:
    result['polyak'] = averages.polyak.mean
  return result
