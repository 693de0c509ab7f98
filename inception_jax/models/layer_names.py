"""Names of the layers that have weights, for importers and exporters."""

from collections.abc import Iterator
import functools
from typing import NamedTuple

from inception_jax.models.architectures import (
  ARCHITECTURES,
  MODULE_LAYERS,
  Architecture,
)

_STEM_LAYERS = ('conv1', 'conv2_reduce', 'conv2')
_HEAD_LAYERS = ('conv', 'dense', 'classifier')


class Layer(NamedTuple):
  """A layer that has weights.

  Attributes:
    path: among the parameters, such as 'inception_4a/conv_5x5'.
    part: of the network: 'stem', 'inception', 'classifier' or 'aux'.
    block: such as '4a', of an Inception module or the head that reads it; empty
      elsewhere.
    kind: last name of the path, such as 'conv_5x5'.
  """

  path: str
  part: str
  block: str
  kind: str


def module_names(architecture: Architecture) -> dict[str, str]:
  """Block and name of each Inception module, in order: '4a', 'inception_4a'."""
  return {block: f'inception_{block}' for block, _ in architecture.specs}


def layers(architecture: Architecture) -> Iterator[Layer]:
  """The layers of a network whose modules have the reduced form.

  Args:
    architecture: the member of the family.

  Yields:
    Those of the main path, from the input to the classifier, with each module
    in the order of Table 1; then those of the auxiliary heads, if it has any.
  """
  for kind in _STEM_LAYERS:
    yield Layer(kind, 'stem', '', kind)
  modules = module_names(architecture)
  for block, module in modules.items():
    for kind in MODULE_LAYERS:
      yield Layer(f'{module}/{kind}', 'inception', block, kind)
  yield Layer('classifier', 'classifier', '', 'classifier')
  for block in architecture.head_taps:
    if block in modules:
      for kind in _HEAD_LAYERS:
        yield Layer(f'aux_{block}/{kind}', 'aux', block, kind)


def split(name: str) -> tuple[Layer, str]:
  """Layer and variable of a flat name.

  Args:
    name: such as 'batch_stats/inception_4a/conv_5x5/bn/mean'.

  Returns:
    The layer, and the rest of the name, such as 'bn/mean'.

  Raises:
    ValueError: if no member of the family has such a layer.
  """
  _, *parts = name.split('/')
  for length in (1, 2):
    layer = _layers_by_path().get('/'.join(parts[:length]))
    if layer is not None:
      return layer, '/'.join(parts[length:])
  raise ValueError(f'{name!r} belongs to no layer')


@functools.cache
def _layers_by_path() -> dict[str, Layer]:
  return {
    layer.path: layer
    for architecture in ARCHITECTURES.values()
    for layer in layers(architecture)
  }
