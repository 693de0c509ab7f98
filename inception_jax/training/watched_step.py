"""A compiled step that says when it is compiled, or whose profile is taken."""

import time
from typing import Any

from absl import logging
from etils import epath
import jax

from inception_jax.training import step as step_lib


def announced(step_fn: step_lib.StepFn) -> step_lib.StepFn:
  """The same step; its first call logs how long compiling takes."""
  is_compiled = False

  def call(*arguments: Any) -> Any:
    nonlocal is_compiled
    if is_compiled:
      return step_fn(*arguments)
    logging.info('compiling the training step')
    start = time.perf_counter()
    result = step_fn(*arguments)
    is_compiled = True
    logging.info('compiled in %.1f s', time.perf_counter() - start)
    return result

  return call


def profiled(
  step_fn: step_lib.StepFn,
  steps: tuple[int, int] | None,
  start_step: int,
  folder: epath.PathLike,
) -> step_lib.StepFn:
  """The same step; a profile of some of its calls is written.

  Args:
    step_fn: `(state, batch) -> (state, metrics)`.
    steps: the first and the last one to profile, from 1; None is none.
    start_step: number of updates before the first call.
    folder: where each process writes a trace for xprof or TensorBoard.
  """
  if steps is None:
    return step_fn
  (first, last), count = steps, start_step
  if first <= start_step:
    logging.warning(
      'config.train.profile_steps=%s begins before step %d, which is the next:'
      ' there will be no profile; give later steps',
      steps,
      start_step + 1,
    )

  def call(*arguments: Any) -> Any:
    nonlocal count
    count += 1
    if count == first:
      jax.profiler.start_trace(str(folder))
    result = step_fn(*arguments)
    if count == last and first > start_step:
      jax.block_until_ready(result)
      jax.profiler.stop_trace()
      logging.info('profile of steps %d to %d: %s', first, last, folder)
    return result

  return call
