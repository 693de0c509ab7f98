"""Reads variables of a TensorFlow checkpoint in a process of its own.

TensorFlow ends the process that reads some damaged files, so `read` runs this
file as a program. It imports nothing else of this package.
"""

from collections.abc import Sequence
import json
import math
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

# A checkpoint of hundreds of megabytes takes seconds.
_TIMEOUT_SECONDS = 600
_ARRAYS, _RESULT = 'arrays.npz', 'result.json'


def read(
  prefix: str,
  variables: Sequence[str],
  average: str,
  weights: str | None,
  max_values: int,
) -> tuple[dict[str, np.ndarray], list[str], int]:
  """Variables of a checkpoint.

  Args:
    prefix: of its files.
    variables: their names; those that it lacks are left out.
    average: what names of moving averages add to these, after a slash.
    weights: 'ema', the averages; 'raw'; None is averages where there are some.
    max_values: that all of them may have together.

  Returns:
    Arrays by their names, the other names, and how many arrays are averages.

  Raises:
    ValueError: if it cannot be read.
  """
  request = [prefix, list(variables), average, weights, max_values]
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    reason = _run(request, folder)
    if not (folder / _RESULT).exists():
      raise ValueError(f'TensorFlow gives up on it: {reason}')
    result = json.loads((folder / _RESULT).read_text())
    if 'error' in result:
      raise ValueError(result['error'])
    with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
      return dict(arrays), result['others'], result['num_averages']


def _run(request: list[Any], folder: pathlib.Path) -> str:
  """Runs `_answer` in a process; returns how that ended."""
  # Without this file's folder among the places of modules, for its
  # neighbours have names of packages.
  command = [sys.executable, '-P', __file__, str(folder)]
  try:
    ended = subprocess.run(
      command,
      input=json.dumps(request, allow_nan=False).encode(),
      capture_output=True,
      timeout=_TIMEOUT_SECONDS,
    )
  except subprocess.TimeoutExpired:
    return f'it took more than {_TIMEOUT_SECONDS} seconds'
  return f'its process ended with {ended.returncode}'


def _answer(request: list[Any], folder: pathlib.Path) -> None:
  """Writes the arrays, and a result or an error."""
  try:
    arrays, others, num_averages = _extract(*request)
    np.savez(folder / _ARRAYS, **arrays)
    result = {'others': others, 'num_averages': num_averages}
  except Exception as error:  # TensorFlow's own, of many kinds.
    lines = str(error).strip().splitlines() or [type(error).__name__]
    result = {'error': lines[0]}
  (folder / _RESULT).write_text(json.dumps(result, allow_nan=False))


def _extract(
  prefix: str,
  variables: Sequence[str],
  average: str,
  weights: str | None,
  max_values: int,
) -> tuple[dict[str, np.ndarray], list[str], int]:
  import tensorflow as tf

  reader = tf.train.load_checkpoint(prefix)
  shapes = reader.get_variable_to_shape_map()
  wanted, averages = {}, set()
  for variable in variables:
    name = f'{variable}/{average}'
    taken = variable
    if weights == 'ema' or (weights is None and name in shapes):
      taken = name
      averages |= {name} & shapes.keys()
    if taken in shapes:
      wanted[variable] = taken
  size = sum(math.prod(shapes[x]) for x in wanted.values())
  if size > max_values:
    raise ValueError(f'it claims {size:,} values')
  arrays = {x: reader.get_tensor(taken) for x, taken in wanted.items()}
  others = shapes.keys() - wanted.keys() - set(wanted.values())
  return arrays, sorted(others), len(averages)


if __name__ == '__main__':
  _answer(json.load(sys.stdin), pathlib.Path(sys.argv[1]))
