"""What both sides of `gpu.py` share: turns, and the limits of the cards."""

from collections.abc import Callable
import dataclasses
import math
import time
from typing import Any

WARM_UP_STEPS = 3
SECONDS_PER_ROUND = 0.4
# Dense FLOP/s and bytes/s, from NVIDIA's data sheets of the SXM cards.
LIMITS = {
  'H100': {'bfloat16': 989e12, 'tf32': 495e12, 'bytes': 3.35e12},
  'H200': {'bfloat16': 989e12, 'tf32': 495e12, 'bytes': 4.8e12},
}


@dataclasses.dataclass(frozen=True)
class Case:
  """One program to time.

  Attributes:
    work: 'train' or 'inference'.
    form: of JAX's side 'same_work' (no augmentation and no averages, as
      PyTorch's side) or 'recipe' (those of the config); of PyTorch's side
      'eager', 'compile', or 'compile_tuned', which replays CUDA graphs and has
      the response normalisation in a form that compiles better than PyTorch's
      own.
    model: name of the network.
    dtype: 'bfloat16', or 'tf32', which is float32 in memory.
    batch_size: images a step.
    image_size: side in pixels.
  """

  work: str
  form: str
  model: str
  dtype: str
  batch_size: int
  image_size: int


def seconds(
  step: Callable[[], None], wait: Callable[[], None], num_steps: int
) -> float:
  """Time of so many steps.

  Args:
    step: starts one step.
    wait: returns when all that was started is done.
    num_steps: how many.
  """
  wait()
  start = time.perf_counter()
  for _ in range(num_steps):
    step()
  wait()
  return time.perf_counter() - start


def steps_of_round(step: Callable[[], None], wait: Callable[[], None]) -> int:
  """Steps that take long enough to be timed, once they are warm."""
  seconds(step, wait, WARM_UP_STEPS)
  return max(1, math.ceil(SECONDS_PER_ROUND / seconds(step, wait, 2) * 2))


def shares(
  result: dict[str, Any], flops_per_image: float, device: str
) -> dict[str, float]:
  """Share of the card's FLOP/s and, if bytes are known, of its bandwidth."""
  card = next((name for name in LIMITS if name in device), None)
  if card is None:
    return {}
  limits, rate = LIMITS[card], result['images_per_second']
  found = {
    'share_of_peak_flops': rate * flops_per_image / limits[result['dtype']]
  }
  if 'bytes_accessed_gb' in result:
    moved = result['bytes_accessed_gb'] * 1e9 * rate / result['batch_size']
    found['share_of_bandwidth'] = moved / limits['bytes']
  return found
