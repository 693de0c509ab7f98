"""Classifiers that were renamed when a network was trained on other classes.

Caffe loads weights by the names of layers, so whoever fine-tunes a network
there gives the last layer another name; in PyTorch the last layer often becomes
a `Sequential`. Its matrix and biases are found by their shapes.
"""

from collections.abc import Mapping, Sequence
import os
from typing import NamedTuple

from absl import logging
import numpy as np

from inception_jax.runtime import errors


class Dense(NamedTuple):
  """A layer with a matrix and biases.

  Attributes:
    name: what both names begin with.
    kernel: name of the matrix.
    bias: name of the biases.
  """

  name: str
  kernel: str
  bias: str


def dense(kernel: str, bias: str) -> Dense:
  """The layer whose arrays have these names."""
  return Dense(os.path.commonprefix([kernel, bias]), kernel, bias)


def find(
  arrays: Mapping[str, np.ndarray],
  known: Mapping[str, object],
  classifiers: Sequence[Dense],
  num_inputs: int,
  source: str,
) -> dict[Dense, Dense]:
  """The layers that stand for classifiers that are not there by their names.

  Args:
    arrays: by the names of the file, in its order.
    known: names that the network has.
    classifiers: of the network, in the order in which files have them, the main
      one last.
    num_inputs: what each reads.
    source: name of the file, for messages.

  Returns:
    By the layer of the network, the layer of the file; only what was found.

  Raises:
    InputError: if the classifier there has several layers.
  """
  lost = [
    x for x in classifiers if x.kernel not in arrays and x.bias not in arrays
  ]
  main = classifiers[-1]
  if main not in lost:
    return {}
  spare = _spare(arrays, known, main, num_inputs)
  found = {}
  for layer in lost:
    named = [x for x in spare if _is_named_after(x, layer)]
    if len(named) == 1:
      found[layer] = named[0]
      spare.remove(named[0])
  lost = [x for x in lost if x not in found]
  if len(lost) == len(spare):  # In the order of the file.
    found.update(zip(lost, spare, strict=True))
  elif main in lost and len(spare) == 1:
    found[main] = spare[0]
  if main in found:
    _check_last(arrays, known, found[main], main, source)
    logging.info(
      'taking %r of %s for the classifier %r',
      found[main].kernel,
      source,
      main.kernel,
    )
  return found


def _spare(
  arrays: Mapping[str, np.ndarray],
  known: Mapping[str, object],
  like: Dense,
  num_inputs: int,
) -> list[Dense]:
  """Layers of the file that could be a classifier and are nothing else."""
  ends = like.kernel[len(like.name) :], like.bias[len(like.name) :]
  spare = []
  for name, array in arrays.items():
    if name in known or not name.endswith(ends[0]):
      continue
    start = name.removesuffix(ends[0])
    bias = arrays.get(start + ends[1])
    shape = _without_ones(array)
    if bias is None or len(shape) != 2 or num_inputs not in shape:
      continue
    if sorted(shape) == sorted((num_inputs, bias.size)):
      spare.append(Dense(start, name, start + ends[1]))
  return spare


def _without_ones(array: np.ndarray) -> tuple[int, ...]:
  """Shape without the axes of one that old files and convolutions have."""
  shape = array.shape
  while len(shape) > 2 and 1 in shape:
    place = shape.index(1)
    shape = shape[:place] + shape[place + 1 :]
  return shape


def _is_named_after(layer: Dense, original: Dense) -> bool:
  """Whether a name goes on from that of the original, or of its part."""
  whole = original.name.rstrip('[./')
  part = whole.split('/')[0]
  return layer.name.startswith(whole) or (
    part != whole and layer.name.startswith(part)
  )


def _check_last(
  arrays: Mapping[str, np.ndarray],
  known: Mapping[str, object],
  layer: Dense,
  main: Dense,
  source: str,
) -> None:
  """Raises InputError if another layer reads what this one gives."""
  num_outputs = arrays[layer.bias].size
  # The axis of the inputs, which is the other one in TensorFlow.
  axis = 1 if _without_ones(arrays[layer.kernel])[0] == num_outputs else 0
  end = main.kernel[len(main.name) :]
  for name, array in arrays.items():
    if name in known or name == layer.kernel or not name.endswith(end):
      continue
    shape = _without_ones(array)
    if len(shape) == 2 and shape[axis] == num_outputs:
      raise errors.InputError(
        f'{source}: its classifier has several layers ({layer.kernel!r} and'
        f' {name!r}), for which this network has no place; give one that ends'
        ' in a single layer'
      )
