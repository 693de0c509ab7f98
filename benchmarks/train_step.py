"""Images a second of the training step, beside the plainly written network.

Plain means: Flax's `max_pool`, every 1x1 convolution on its own, and the
gradients of convolutions as JAX derives them. The two give the same loss and
gradients, which is checked before anything is timed. The steps take turns, so
that a busy machine slows all of them. Prints one JSON object.

  python benchmarks/train_step.py [--output=FILE.json]
"""

import argparse
from collections.abc import Callable, Iterator
import contextlib
import math
import pathlib
import statistics
import sys
import time
from typing import Any
from unittest import mock

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import machine  # noqa: E402

from configs import fake_data  # noqa: E402
from inception_jax.data import device  # noqa: E402
from inception_jax.experiment import experiment  # noqa: E402
from inception_jax.models import layers, pooling  # noqa: E402
from inception_jax.runtime import errors  # noqa: E402

# What each variant takes from inception_jax; the rest is plain.
VARIANTS = {
  'baseline': (),
  'pool_only': ('pool',),
  'merge_only': ('merge',),
  'convolution_only': ('convolution',),
  'ours': ('pool', 'merge', 'convolution'),
}
# Largest relative difference from the baseline: rounding decides the ReLUs that
# are near zero. GPUs and TPUs multiply with fewer bits than float32 has.
TOLERANCE = {'cpu': 1e-2}
DEFAULT_TOLERANCE = 3e-2
MAX_MICROBATCH = 8
MIN_SECONDS_PER_ROUND = 0.5
# After so long a case ends, if it has had three rounds.
MAX_SECONDS_PER_CASE = 300
MIN_ROUNDS = 3


def plain_max_pool(
  x: jax.Array, window: int, stride: int, padding: str = 'same'
) -> jax.Array:
  """`pooling.max_pool` by Flax."""
  pads = pooling.explicit_padding(padding, x.shape[1:3], window, stride)
  return nn.max_pool(x, (window, window), (stride, stride), pads)


def plain_convolve(
  x: jax.Array, kernel: jax.Array, stride: int, padding: str, dtype: jnp.dtype
) -> jax.Array:
  """`layers.convolve` as `nn.Conv` has it."""
  return lax.conv_general_dilated(
    x.astype(dtype),
    kernel.astype(dtype),
    (stride, stride),
    pooling.explicit_padding(padding, x.shape[1:3], kernel.shape[0], stride),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


@contextlib.contextmanager
def plain_layers(parts: tuple[str, ...]) -> Iterator[None]:
  """While a step is traced: plain layers, but for the named parts."""
  with contextlib.ExitStack() as stack:
    if 'pool' not in parts:
      stack.enter_context(
        mock.patch.object(pooling, 'max_pool', plain_max_pool)
      )
    if 'convolution' not in parts:
      stack.enter_context(mock.patch.object(layers, 'convolve', plain_convolve))
    yield


class Runner:
  """A compiled training step, its state and its batch.

  Args:
    variant: key of `VARIANTS`.
    initial: state of step 0, the same for every variant.
    case: batch size, micro-batches, image size and width.
  """

  def __init__(self, variant: str, initial: Any, **case: Any):
    parts = VARIANTS[variant]
    built = create_experiment(merge_1x1='merge' in parts, **case)
    batch = dict(next(built.train_batches(0)))
    batch['stop'] = np.zeros(len(batch['label']), np.int32)
    self._batch = device.shard(batch)
    self._batch['stop'] = self._batch['stop'][:, 0]
    state = device.replicate(jax.tree.map(jnp.copy, initial))
    start = time.perf_counter()
    with plain_layers(parts):
      step = built.create_train_step().lower(state, self._batch)
    self._step = step.compile()
    self.compile_seconds = time.perf_counter() - start
    self._state, metrics = self._step(state, self._batch)
    self.loss = float(metrics['loss'])
    # The momentum is the gradient, plus the weight decay, after one step.
    self.gradient = [
      np.asarray(leaf, np.float32)
      for leaf in jax.tree.leaves(self._state.opt_state)
      if leaf.ndim
    ]

  def seconds(self, num_steps: int) -> float:
    """Time of so many steps."""
    jax.block_until_ready(self._state)
    start = time.perf_counter()
    for _ in range(num_steps):
      self._state, _ = self._step(self._state, self._batch)
    jax.block_until_ready(self._state)
    return time.perf_counter() - start


def create_experiment(
  *,
  batch_size: int,
  num_microbatches: int,
  image_size: int,
  width: float,
  merge_1x1: bool,
) -> experiment.Experiment:
  """`configs/fake_data.py` at a size."""
  config = fake_data.get_config()
  config.model.width = width
  config.model.merge_1x1 = merge_1x1
  # The network's step: colours are the input's.
  for name in ('brightness', 'contrast', 'saturation'):
    config.augmentation[name] = 0.0
  config.data.image_size = image_size
  config.train.batch_size = batch_size
  config.train.num_microbatches = num_microbatches
  return experiment.create_experiment(config)


def relative_difference(left: Any, right: Any) -> float:
  """Largest over the leaves of |left - right| / |right|, Euclidean norms."""
  return max(
    float(np.linalg.norm(a - b) / np.linalg.norm(b))
    for a, b in zip(left, right, strict=True)
  )


def check_equal(runners: dict[str, Runner], tolerance: float) -> dict[str, Any]:
  """Asserts that every variant computes what the baseline does."""
  base = runners['baseline']
  found = {}
  for name, runner in runners.items():
    loss = abs(runner.loss - base.loss) / abs(base.loss)
    gradient = relative_difference(runner.gradient, base.gradient)
    assert loss <= tolerance, f'loss of {name} differs by {loss:.1e}'
    assert gradient <= tolerance, f'gradient of {name}: {gradient:.1e}'
    if runner is not base:
      found[name] = {'loss': loss, 'gradient': gradient}
  return found


def time_in_turn(
  runners: dict[str, Runner], rounds: int
) -> tuple[dict[str, list[float]], int]:
  """Seconds of every round by variant, and steps in a round."""
  fastest = min(runner.seconds(1) for runner in runners.values())
  num_steps = max(1, math.ceil(MIN_SECONDS_PER_ROUND / fastest))
  seconds = {name: [] for name in runners}
  names, start = list(runners), time.perf_counter()
  for index in range(rounds):
    spent = time.perf_counter() - start
    if index >= MIN_ROUNDS and spent > MAX_SECONDS_PER_CASE:
      break
    first = index % len(names)  # Each comes after each in some round.
    for name in names[first:] + names[:first]:
      seconds[name].append(runners[name].seconds(num_steps))
    progress(
      f'round {index + 1}/{rounds}: '
      + ', '.join(f'{k} {v[-1] / num_steps:.3f} s' for k, v in seconds.items())
    )
  return seconds, num_steps


def run_case(
  variants: list[str], rounds: int, tolerance: float, **case: Any
) -> dict[str, Any]:
  """Compiles, compares and times the variants of one case."""
  initial = create_experiment(merge_1x1=True, **case).create_state()
  runners = {}
  for name in variants:
    runners[name] = Runner(name, initial, **case)
    progress(f'{name}: compiled in {runners[name].compile_seconds:.1f} s')
  differences = check_equal(runners, tolerance)
  seconds, num_steps = time_in_turn(runners, rounds)
  images = case['batch_size'] * num_steps
  results = {}
  for name, values in seconds.items():
    rates = [images / value for value in values]
    results[name] = {
      'images_per_second': statistics.median(rates),
      'lowest': min(rates),
      'highest': max(rates),
      # Against the baseline's turn of the same round.
      'ratio_to_baseline': statistics.median(
        base / value
        for base, value in zip(seconds['baseline'], values, strict=True)
      ),
      'compile_seconds': runners[name].compile_seconds,
    }
  return {
    **case,
    'rounds': len(seconds['baseline']),
    'steps_per_round': num_steps,
    'ratio': results['ours']['ratio_to_baseline'],
    'variants': results,
    'relative_differences': differences,
  }


def microbatches(batch_size: int) -> list[int]:
  """1, and the fewest that leave a device 8 images or fewer at a time."""
  share = batch_size // jax.device_count()
  # At least two, or it would be the whole batch again.
  smaller = [n for n in range(2, share + 1) if share % n == 0]
  fitting = [n for n in smaller if share // n <= MAX_MICROBATCH]
  return [1, *fitting[:1]]


def progress(text: str) -> None:
  print(text, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  add: Callable[..., Any] = parser.add_argument
  add('--batch_sizes', type=int, nargs='+', default=[8, 32])
  add('--rounds', type=int, default=7, help='most turns of each')
  add('--image_size', type=int, default=224)
  add('--width', type=float, default=1.0, help='of the network')
  add(
    '--variants',
    nargs='+',
    choices=list(VARIANTS),
    default=list(VARIANTS),
    help='baseline and ours always run',
  )
  add('--output', type=pathlib.Path, help='file for the JSON as well')
  arguments = parser.parse_args()
  if arguments.rounds < 1:
    parser.error('--rounds must be at least 1')
  if min(arguments.batch_sizes) < 1:
    parser.error('--batch_sizes must be positive')
  return arguments


def main() -> None:
  arguments = parse_arguments()
  result = machine.environment()
  wanted = {'baseline', 'ours', *arguments.variants}
  variants = [name for name in VARIANTS if name in wanted]
  tolerance = TOLERANCE.get(jax.default_backend(), DEFAULT_TOLERANCE)
  result['tolerance'] = tolerance
  result['cases'] = []
  try:
    for batch_size in arguments.batch_sizes:
      for num_microbatches in microbatches(batch_size):
        progress(f'batch {batch_size}, micro-batches {num_microbatches}')
        result['cases'].append(
          run_case(
            variants,
            arguments.rounds,
            tolerance,
            batch_size=batch_size,
            num_microbatches=num_microbatches,
            image_size=arguments.image_size,
            width=arguments.width,
          )
        )
  except errors.InputError as error:
    sys.exit(f'error: {error}')
  machine.keep(result, arguments.output)


if __name__ == '__main__':
  main()
