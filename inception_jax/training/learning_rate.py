"""The learning rate of every step: the paper's schedule and others."""

from typing import Annotated

import jax.numpy as jnp
import optax

from inception_jax.runtime import ranges, words

SCHEDULES = ('staircase', 'polynomial', 'cosine', 'constant')
Rate = Annotated[float, ranges.Range(1e-12, 1000)]
DecayRate = Annotated[float, ranges.Range(1e-6, 1)]


def staircase_decay(
  init_value: Rate,
  decay_rate: DecayRate,
  decay_epochs: ranges.Epochs,
  steps_per_epoch: float,
) -> optax.Schedule:
  """Learning rate that falls by a constant factor every few epochs.

  `init_value * decay_rate ** floor(step / (decay_epochs * steps_per_epoch))`.

  Args:
    init_value: learning rate of the first step.
    decay_rate: factor of one fall, in (0, 1]; the paper's is 0.96.
    decay_epochs: epochs between falls; the paper's is 8.
    steps_per_epoch: optimizer steps in one pass over the training set, not
      necessarily whole.

  Returns:
    A schedule from step (int32 scalar) to learning rate (float32 scalar).

  Raises:
    ValueError: if an argument is out of its range.

  References:
    Szegedy et al. 2014, Going Deeper with Convolutions, section 6.
  """
  ranges.check(staircase_decay, locals())
  # optax's compiled staircase, of float32, falls at step 42 where 41 is due.
  steps_per_fall = decay_epochs * steps_per_epoch
  if steps_per_fall > ranges.MAX_STEPS:  # Never; and no int32.
    return optax.constant_schedule(init_value)
  whole, fraction = divmod(steps_per_fall, 1)

  def reached(falls, step):
    """Whether `step >= falls * steps_per_fall`, without large floats."""
    return step - falls * int(whole) >= falls * jnp.float32(fraction)

  def schedule(step):
    step = jnp.asarray(step, jnp.int32)
    # A float32 quotient can miss a boundary by one; the integers decide.
    falls = jnp.minimum(step / steps_per_fall, ranges.MAX_STEPS)
    falls = falls.astype(jnp.int32)
    falls += reached(falls + 1, step).astype(jnp.int32)
    falls -= jnp.logical_not(reached(falls, step)).astype(jnp.int32)
    return jnp.asarray(init_value * decay_rate**falls, jnp.float32)

  return schedule


def create_learning_rate_fn(
  *,
  schedule: Annotated[str, ranges.OneOf(SCHEDULES)],
  init_value: Rate,
  steps_per_epoch: float,
  num_train_steps: ranges.Steps,
  decay_rate: DecayRate = 0.96,
  decay_epochs: ranges.Epochs = 8.0,
  power: Annotated[float, ranges.Range(0, 100)] = 0.5,
  warmup_epochs: Annotated[float, ranges.Range(0, ranges.MAX_EPOCHS)] = 0.0,
) -> optax.Schedule:
  """Learning rate of every step.

  Args:
    schedule: 'staircase' is the paper's (section 6); 'polynomial' is
      `init_value * (1 - step / num_train_steps) ** power`; 'cosine' falls to
      zero along half a cosine; 'constant' stays.
    init_value: learning rate at its highest; the paper gives none, Caffe's
      GoogLeNet uses 0.01.
    steps_per_epoch: optimizer steps in one pass over the training set.
    num_train_steps: optimizer steps of the whole run.
    decay_rate: factor of one fall of 'staircase'; the paper's is 0.96 (section
      6).
    decay_epochs: epochs between falls of 'staircase'; the paper's are 8
      (section 6).
    power: exponent of 'polynomial'.
    warmup_epochs: epochs of linear rise from zero before the schedule begins.
      The staircase counts its epochs from the first step; the others run over
      the steps that are left.

  Returns:
    A schedule from step (int32 scalar) to learning rate (float32 scalar).

  Raises:
    ValueError: if an argument is out of its range.
  """
  ranges.check(create_learning_rate_fn, locals())
  warmup_steps = num_warmup_steps(warmup_epochs, steps_per_epoch)
  steps_left = max(num_train_steps - warmup_steps, 1)
  if schedule == 'staircase':
    whole = staircase_decay(
      init_value, decay_rate, decay_epochs, steps_per_epoch
    )
    after = lambda step: whole(step + warmup_steps)
  elif schedule == 'polynomial':
    after = optax.polynomial_schedule(init_value, 0.0, power, steps_left)
  elif schedule == 'cosine':
    after = optax.cosine_decay_schedule(init_value, steps_left)
  else:
    after = optax.constant_schedule(init_value)
  if not warmup_steps:
    return after
  rise = optax.linear_schedule(0.0, init_value, warmup_steps)
  return optax.join_schedules([rise, after], [warmup_steps])


def num_warmup_steps(warmup_epochs: float, steps_per_epoch: float) -> int:
  """Steps of the linear rise, as many as an int32 holds at most."""
  return min(round(warmup_epochs * steps_per_epoch), ranges.MAX_STEPS)


def what_never_happens(
  *,
  schedule: str,
  init_value: float,
  steps_per_epoch: float,
  num_train_steps: int,
  decay_epochs: float = 8.0,
  warmup_epochs: float = 0.0,
  **others: float,
) -> list[str]:
  """Sentences on what of a schedule comes after the end of the run.

  Args:
    schedule: see `create_learning_rate_fn`, as all the others.
    init_value: likewise.
    steps_per_epoch: likewise.
    num_train_steps: likewise.
    decay_epochs: likewise.
    warmup_epochs: likewise.
    **others: arguments that have no part in it.

  Returns:
    One for each: a warm-up as long as the run, and a fall that is never due.
  """
  del others
  found = []
  warmup_steps = num_warmup_steps(warmup_epochs, steps_per_epoch)
  if warmup_steps >= num_train_steps:
    highest = init_value * (num_train_steps - 1) / warmup_steps
    found.append(
      f'config.learning_rate.warmup_epochs={warmup_epochs:g} is'
      f' {words.count(warmup_steps, "step")} and the run ends at step'
      f' {num_train_steps:,}: the learning rate is at most {highest:g}, never'
      f' {init_value:g}; lower it, or train for longer'
    )
  if schedule == 'staircase':
    steps_per_fall = decay_epochs * steps_per_epoch
    if steps_per_fall > num_train_steps - 1:
      found.append(
        f'config.learning_rate.decay_epochs={decay_epochs:g} is'
        f' {words.count(round(steps_per_fall), "step")} and the run ends at'
        f' step {num_train_steps:,}: the learning rate never falls; lower it,'
        ' or train for longer'
      )
  return found
