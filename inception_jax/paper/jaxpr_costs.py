"""What a model costs and sees, read from its program.

Multiply-adds and receptive fields come from the jaxpr of `model.apply`, so
they are those of the network as it runs; no FLOP is spent. Only `.jaxpr`,
`.eqns` and the names of primitives are relied on.
"""

from collections.abc import Mapping, Sequence
import math
from typing import Any, NamedTuple

import jax

from inception_jax.models import GoogLeNet


class Field(NamedTuple):
  """What an activation sees along one side of the image.

  `size` pixels, neighbours `jump` pixels apart; `patch` and `stride` of the
  last window that made it.
  """

  size: int = 1
  jump: int = 1
  patch: int | None = None
  stride: int | None = None

  def through(self, patch: int, stride: int) -> 'Field':
    return Field(
      self.size + (patch - 1) * self.jump, self.jump * stride, patch, stride
    )


def trace(
  model: GoogLeNet, variables: Any, images: Any, train: bool
) -> tuple[dict[str, Field], dict[str, tuple], dict[str, int]]:
  """Field, shape (by end point) and multiply-adds (by layer) of a model."""
  order = []

  def apply(variables, images, key):
    out = model.apply(
      variables,
      images,
      train,
      rngs={'dropout': key},
      mutable=['batch_stats'] if train else False,
    )
    end_points = (out[0] if train else out)[1]
    order.extend(end_points)  # Trees are sorted by name; this is the order.
    return list(end_points.values())

  arguments = (variables, images, jax.random.key(0))
  closed, outputs = jax.make_jaxpr(apply, return_shape=True)(*arguments)
  seeds = [None] * len(jax.tree.leaves(variables)) + [Field(), None]
  counts = dict.fromkeys((*order, *variables['params']), 0)
  fields = _walk(closed.jaxpr, seeds, '', counts)
  shapes = {name: out.shape for name, out in zip(order, outputs, strict=True)}
  return dict(zip(order, fields, strict=True)), shapes, counts


def _walk(
  jaxpr: Any,
  seeds: Sequence[Field | None],
  scope: str,
  counts: dict[str, int],
) -> list[Field | None]:
  """Follows the image through a jaxpr.

  Only `.jaxpr`, `.eqns` and the names of primitives are relied on.

  Args:
    jaxpr: the program.
    seeds: field of every input, None for what does not come from the image.
    scope: name stack of the caller.
    counts: multiply-adds by layer, added to.

  Returns:
    The field of every output.
  """
  known = dict(zip(jaxpr.invars, seeds, strict=True))

  def read(var):  # Literals carry a value and cannot be looked up.
    return None if hasattr(var, 'val') else known.get(var)

  for eqn in jaxpr.eqns:
    path = f'{scope}/{eqn.source_info.name_stack}'
    count = _multiply_adds(eqn)
    if count:
      counts[_layer(path, counts)] += count
    inputs = [read(var) for var in eqn.invars]
    outputs = None
    for inner in _inner_jaxprs(eqn):
      # What a choice between programs reads first is which.
      given = inputs[1:] if 'branches' in eqn.params else inputs
      called = len(inner.invars) == len(given)
      seen = given if called else [None] * len(inner.invars)
      inner_outputs = _walk(inner, seen, path, counts)
      if called and len(inner_outputs) == len(eqn.outvars):
        outputs = inner_outputs
    if outputs is None:
      field = max(
        filter(None, inputs), key=lambda field: field.size, default=None
      )
      window = _window(eqn)
      if field and window:
        field = field.through(*window)
      outputs = [field] * len(eqn.outvars)
    known.update(zip(eqn.outvars, outputs, strict=True))
  return [read(var) for var in jaxpr.outvars]


def _inner_jaxprs(eqn: Any) -> list[Any]:
  """Programs that an equation calls: jit, custom derivatives, loops.

  Of the forms that a layer has for different backends, the last: the plain one.
  """
  found = []
  for name, value in eqn.params.items():
    items = value if isinstance(value, (tuple, list)) else (value,)
    for item in items[-1:] if name == 'branches' else items:
      inner = getattr(item, 'jaxpr', item)
      if hasattr(inner, 'eqns'):
        found.append(inner)
  return found


def _layer(path: str, counts: Mapping[str, int]) -> str:
  """The layer of the model in whose name scope an equation stands."""
  for part in path.split('/'):
    if part in counts:
      return part
  raise ValueError(
    f'a multiplication in scope {path!r} belongs to no layer; the summary'
    " needs Flax's name scopes (the variable FLAX_PROFILE must not be 0)"
  )


def _window(eqn: Any) -> tuple[int, int] | None:
  """(patch, stride) along the height, or None for what has no window."""
  if not eqn.invars:
    return None
  name, shape = eqn.primitive.name, eqn.invars[0].aval.shape
  if name == 'conv_general_dilated':
    kernel_spec = eqn.params['dimension_numbers'].rhs_spec
    patch = eqn.invars[1].aval.shape[kernel_spec[2]]
    return patch, eqn.params['window_strides'][0]
  if name.startswith('reduce_window'):
    window = eqn.params['window_dimensions'][1]
    return window, eqn.params['window_strides'][1]
  if name == 'reduce_sum' and len(shape) == 4 and 1 in eqn.params['axes']:
    return shape[1], 1  # Global average pooling.
  return None


def _multiply_adds(eqn: Any) -> int:
  """Multiply-adds of a convolution or matrix product, 0 for all else."""
  if eqn.primitive.name not in ('conv_general_dilated', 'dot_general'):
    return 0
  left, right = (var.aval.shape for var in eqn.invars[:2])
  outputs = math.prod(eqn.outvars[0].aval.shape)
  numbers = eqn.params['dimension_numbers']
  if eqn.primitive.name == 'dot_general':
    (contracted, _), _ = numbers
    return outputs * math.prod(left[axis] for axis in contracted)
  return outputs * math.prod(right) // right[numbers.rhs_spec[0]]
