"""The compiled training and evaluation steps, and the only use of pmap."""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import optax

from inception_jax import metrics
from inception_jax.data.device import AXIS
from inception_jax.models import GoogLeNet
from inception_jax.preprocess import Preprocessing
from inception_jax.training import augment, freezing, losses, train_state
from inception_jax.training import averaging as averaging_lib

# image uint8 [batch, height, width, 3], label int32 [batch], mask and skipped
# bool [batch], slot int32 [batch]; see `data.pipeline.HostBatch`.
Batch = dict[str, jax.Array]
StepFn = Callable[[Any, Batch], Any]
# `(trained, frozen, batch_stats, images, labels, keys) -> (gradient of trained,
# (batch_stats, metrics))`.
GradFn = Callable[..., tuple[Any, tuple[Any, dict[str, jax.Array]]]]


def parallelize_train_step(step_fn: StepFn) -> StepFn:
  """Compiles a train step for all devices of the run.

  The state is not stacked: one replicated copy goes in and comes out, donated.
  Batches have a leading axis of local devices. The step must leave the same
  state on every device, since `out_axes=None` keeps one of them.

  Args:
    step_fn: `(state, batch) -> (state, metrics)` of one device, which reduces
      over `AXIS` whatever differs between devices.

  Returns:
    A function of the same signature.
  """
  return jax.pmap(
    step_fn,
    axis_name=AXIS,
    in_axes=(None, 0),
    out_axes=(None, None),
    donate_argnums=0,
  )


def parallelize_eval_step(step_fn: StepFn) -> StepFn:
  """As `parallelize_train_step`, for `(variables, batch) -> sums`."""
  return jax.pmap(step_fn, axis_name=AXIS, in_axes=(None, 0), out_axes=None)


def parallelize_answer_step(step_fn: StepFn) -> StepFn:
  """As `parallelize_eval_step`, for answers of each image.

  Args:
    step_fn: `(variables, images) -> answers`, `[batch, ...]`.

  Returns:
    A function from `[num_local_devices, batch, ...]` to the same.
  """
  return jax.pmap(step_fn, axis_name=AXIS, in_axes=(None, 0))


def create_train_step(
  *,
  model: GoogLeNet,
  tx: optax.GradientTransformation,
  learning_rate_fn: optax.Schedule,
  averaging: averaging_lib.Averaging,
  augmentation: augment.Augmentation,
  preprocessing: Preprocessing,
  key: jax.Array,
  aux_weight: float = losses.AUX_WEIGHT,
  label_smoothing: float = 0.0,
  num_microbatches: int = 1,
  is_frozen: freezing.IsFrozenFn = freezing.nothing_is_frozen,
) -> StepFn:
  """One update: augment, forward, loss, gradient, mean, update, average.

  Args:
    model: network, its batch norm reducing over `AXIS` if it has any.
    tx: optimizer.
    learning_rate_fn: learning rate of each step, for the log.
    averaging: averages to update.
    augmentation: what happens to the images.
    preprocessing: pixels to network input.
    key: typed key of the run's augmentation and dropout.
    aux_weight: weight of each auxiliary loss.
    label_smoothing: see `losses.total_loss`.
    num_microbatches: parts in which a device handles its share of the batch,
      one after another; must divide it. Without batch norm the result is that
      of one part, to rounding.
    is_frozen: what is left alone, of which no gradient is computed.

  Returns:
    `(state, batch) -> (state, metrics)` for one device under `AXIS`. Metrics
    are scalars: those of `losses.total_loss`, `learning_rate`,
    `gradient_norm`, `param_norm` after the update, and `stop`, the largest of
    the batch's `stop` flags on any device.
  """
  grad_fn = _create_grad_fn(
    model, augmentation, preprocessing, aux_weight, label_smoothing, is_frozen
  )
  if num_microbatches > 1:
    grad_fn = _accumulated(grad_fn, num_microbatches)

  def train_step(state, batch):
    keys = augment.example_keys(key, state.step, batch['slot'])
    trained, frozen = freezing.split(state.params, is_frozen)
    grads, (batch_stats, parts) = grad_fn(
      trained, frozen, state.batch_stats, batch['image'], batch['label'], keys
    )
    batch_stats, frozen_stats = freezing.split(batch_stats, is_frozen)
    # Batch statistics are equal already where batch norm reduces over AXIS;
    # where it does not, the mean keeps the replicas from drifting apart.
    grads, batch_stats, parts = lax.pmean((grads, batch_stats, parts), AXIS)
    batch_stats = freezing.merge(frozen_stats, batch_stats)
    new_state = _updated(state, grads, batch_stats, tx, averaging, is_frozen)
    rate = jnp.asarray(learning_rate_fn(state.step), jnp.float32)
    return new_state, {
      **parts,
      'learning_rate': rate,
      'gradient_norm': optax.tree.norm(grads),
      'param_norm': optax.tree.norm(new_state.params),
      'stop': lax.pmax(batch['stop'], AXIS),
    }

  return train_step


def _updated(
  state: train_state.TrainState,
  grads: Any,
  batch_stats: Any,
  tx: optax.GradientTransformation,
  averaging: averaging_lib.Averaging,
  is_frozen: freezing.IsFrozenFn,
) -> train_state.TrainState:
  """The state after a step with this gradient, of what is not frozen."""
  trained, frozen = freezing.split(state.params, is_frozen)
  updates, opt_state = tx.update(grads, state.opt_state, trained)
  params = freezing.merge(frozen, optax.apply_updates(trained, updates))
  step = state.step + 1
  averaged = freezing.split_variables(
    {'params': params, 'batch_stats': batch_stats}, is_frozen
  )
  return train_state.TrainState(
    step=step,
    params=params,
    batch_stats=batch_stats,
    opt_state=opt_state,
    averages=averaging.update(state.averages, averaged, step),
  )


def _create_grad_fn(
  model: GoogLeNet,
  augmentation: augment.Augmentation,
  preprocessing: Preprocessing,
  aux_weight: float,
  label_smoothing: float,
  is_frozen: freezing.IsFrozenFn,
) -> GradFn:
  """Gradient of the loss of one device; see `create_train_step`."""

  def loss_fn(trained, frozen, batch_stats, images, labels, keys):
    params = freezing.merge(trained, frozen)
    with freezing.frozen_batch_norm(is_frozen):
      (logits, end_points), updated = model.apply(
        {'params': params, 'batch_stats': batch_stats},
        preprocessing(augmentation(images, keys)),
        train=True,
        example_keys=keys,
        mutable=['batch_stats'],
      )
    heads = losses.head_logits(logits, end_points)
    loss, parts = losses.total_loss(heads, labels, aux_weight, label_smoothing)
    return loss, (updated.get('batch_stats', {}), parts)

  return jax.grad(loss_fn, has_aux=True)


def _accumulated(grad_fn: GradFn, num_microbatches: int) -> GradFn:
  """Gradient and metrics as means over micro-batches, one after another."""

  def accumulated(trained, frozen, batch_stats, images, labels, keys):
    split = lambda x: x.reshape(num_microbatches, -1, *x.shape[1:])
    microbatches = jax.tree.map(split, (images, labels, keys))

    def add_microbatch(carry, microbatch):
      batch_stats, sums = carry
      grads, (batch_stats, parts) = grad_fn(
        trained, frozen, batch_stats, *microbatch
      )
      return (batch_stats, jax.tree.map(jnp.add, sums, (grads, parts))), None

    first = jax.tree.map(lambda x: x[0], microbatches)
    grads, (_, parts) = jax.eval_shape(
      grad_fn, trained, frozen, batch_stats, *first
    )
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (grads, parts))
    (batch_stats, sums), _ = lax.scan(
      add_microbatch, (batch_stats, zeros), microbatches
    )
    grads, parts = jax.tree.map(lambda x: x / num_microbatches, sums)
    return grads, (batch_stats, parts)

  return accumulated


def create_eval_step(
  logits_fn: Callable[[Any, jax.Array], jax.Array],
) -> StepFn:
  """Forward pass and sums of one batch.

  Args:
    logits_fn: `(variables, images) -> logits`, float32 `[batch, classes]`.

  Returns:
    `(variables, batch) -> sums` for one device under `AXIS`; the sums of
    `metrics.classification_sums` over all devices, and `num_skipped`; and
    of the images of all devices `labels` and `predictions`, -1 for padding;
    and the largest `stop`, where the batch has it.
  """

  def eval_step(variables, batch):
    logits = logits_fn(variables, batch['image'])
    sums = metrics.classification_sums(logits, batch['label'], batch['mask'])
    sums['num_skipped'] = batch['skipped'].sum(dtype=jnp.int32)
    predictions = jnp.where(batch['mask'], logits.argmax(-1), -1)
    answers = {'labels': batch['label'], 'predictions': predictions}
    found = {**lax.psum(sums, AXIS), **lax.all_gather(answers, AXIS)}
    if 'stop' in batch:
      found['stop'] = lax.pmax(batch['stop'], AXIS)
    return found

  return eval_step
