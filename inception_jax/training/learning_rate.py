"""The learning rate of every step: the paper's schedule and others."""

import jax.numpy as jnp
import optax

SCHEDULES = ('staircase', 'polynomial', 'cosine', 'constant')


def staircase_decay(
  init_value: float,
  decay_rate: float,
  decay_epochs: float,
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
  if not 0 < decay_rate <= 1:
    raise ValueError(f'decay_rate must be in (0, 1], not {decay_rate}')
  if not decay_epochs > 0:
    raise ValueError(f'decay_epochs must be positive, not {decay_epochs}')
  # optax's compiled staircase, of float32, falls at step 42 where 41 is due.
  steps_per_fall = decay_epochs * steps_per_epoch
  whole, fraction = divmod(steps_per_fall, 1)

  def reached(falls, step):
    """Whether `step >= falls * steps_per_fall`, without large floats."""
    return step - falls * int(whole) >= falls * jnp.float32(fraction)

  def schedule(step):
    step = jnp.asarray(step, jnp.int32)
    # A float32 quotient can miss a boundary by one; the integers decide.
    falls = (step / steps_per_fall).astype(jnp.int32)
    falls += reached(falls + 1, step).astype(jnp.int32)
    falls -= jnp.logical_not(reached(falls, step)).astype(jnp.int32)
    return jnp.asarray(init_value * decay_rate**falls, jnp.float32)

  return schedule


def create_learning_rate_fn(
  *,
  schedule: str,
  init_value: float,
  steps_per_epoch: float,
  num_train_steps: int,
  decay_rate: float = 0.96,
  decay_epochs: float = 8.0,
  power: float = 0.5,
  warmup_epochs: float = 0.0,
) -> optax.Schedule:
  """Learning rate of every step.

  Args:
    schedule: one of `SCHEDULES`. 'staircase' is the paper's; 'polynomial' is
      `init_value * (1 - step / num_train_steps) ** power`; 'cosine' falls to
      zero along half a cosine; 'constant' stays.
    init_value: learning rate at its highest.
    steps_per_epoch: optimizer steps in one pass over the training set.
    num_train_steps: optimizer steps of the whole run.
    decay_rate: factor of one fall of 'staircase'.
    decay_epochs: epochs between falls of 'staircase'.
    power: exponent of 'polynomial'.
    warmup_epochs: epochs of linear rise from zero before the schedule begins.
      The staircase counts its epochs from the first step; the others run over
      the steps that are left.

  Returns:
    A schedule from step (int32 scalar) to learning rate (float32 scalar).

  Raises:
    ValueError: if an argument is out of its range.
  """
  if not init_value > 0:
    raise ValueError(f'init_value must be positive, not {init_value}')
  if warmup_epochs < 0:
    raise ValueError(f'warmup_epochs must not be negative: {warmup_epochs}')
  warmup_steps = round(warmup_epochs * steps_per_epoch)
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
  elif schedule == 'constant':
    after = optax.constant_schedule(init_value)
  else:
    raise ValueError(
      f'unknown schedule {schedule!r}; known are {", ".join(SCHEDULES)}'
    )
  if not warmup_steps:
    return after
  rise = optax.linear_schedule(0.0, init_value, warmup_steps)
  return optax.join_schedules([rise, after], [warmup_steps])
