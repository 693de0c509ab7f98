"""The first weights of a run from the weights of another."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from absl import logging
from etils import epath
import jax
import numpy as np

from inception_jax import models
from inception_jax.models import architectures
from inception_jax.runs import named_arrays, run
from inception_jax.runtime import errors
from inception_jax.training import freezing, optimizer

# What of a network is not in the shapes of its weights, or decides them all.
_IDENTITY = ('name', 'width', 'module_form')


@dataclasses.dataclass(frozen=True)
class Transfer:
  """What became of each module, by name.

  Attributes:
    loaded: has the weights of the source.
    replaced: is in the source, but for other classes or images; starts anew.
    absent: is not in the source; starts anew.
    left_out: is in the source, but not in the new network.
  """

  loaded: tuple[str, ...]
  replaced: tuple[str, ...]
  absent: tuple[str, ...]
  left_out: tuple[str, ...]

  def log(self, source: run.Run, path: epath.PathLike) -> None:
    """Lists it all."""
    logging.info(
      'starting from the %s weights of %s, step %d',
      source.weights,
      path,
      source.step,
    )
    for what, names in (
      ('loaded', self.loaded),
      ('replaced, for other classes or another size, by new', self.replaced),
      ('not in the source, new', self.absent),
      ('in the source only, left out', self.left_out),
    ):
      logging.info('  %s: %s', what, ', '.join(names) or 'nothing')


def load_source(
  path: epath.PathLike,
  weights: str | None,
  model: models.GoogLeNet,
) -> run.Run:
  """Loads the run to start from.

  Args:
    path: run directory, trained or imported.
    weights: see `runs.run.load_run`.
    model: the network that is to start from it.

  Returns:
    The run, whose preprocessing is the new one's too.

  Raises:
    InputError: if it is no run with weights, or of another network.
  """
  try:
    source = run.load_run(path, weights)
  except errors.InputError as error:
    raise errors.InputError(f'config.init_from: {error}') from error
  theirs, ours = _identity(source.model), _identity(model)
  if differing := [name for name in _IDENTITY if theirs[name] != ours[name]]:
    is_what = ', '.join(f'{name} {theirs[name]!r}' for name in differing)
    remedy = ' '.join(
      f'--config.model.{name}={theirs[name]}' for name in differing
    )
    here = ', '.join(repr(ours[name]) for name in differing)
    raise errors.InputError(
      f'config.init_from: {path} is another network ({is_what}, not {here});'
      f' start from another run or give {remedy}'
    )
  return source


def _identity(model: models.GoogLeNet) -> dict[str, Any]:
  return {
    'name': architectures.name_of(model.architecture),
    'width': model.width,
    'module_form': model.module_form,
  }


def transfer(
  variables: Mapping[str, Any], source: run.Run, class_names: Sequence[str]
) -> tuple[dict[str, Any], Transfer]:
  """Weights of the source where they fit, and else those that are there.

  The classifiers are kept if the classes are those of the source, in whatever
  order, and replaced if not. The auxiliary ones are replaced too if images of
  another size make their dense layer another. New classifiers start at zero,
  with the same probability for each class.

  Args:
    variables: new `{'params': ..., 'batch_stats': ...}`.
    source: see `load_source`.
    class_names: of the data, for the first outputs; the others are dummies.

  Returns:
    Host arrays like `variables`, and what became of each module.

  Raises:
    InputError: if anything but a classifier does not fit.
  """
  variables = jax.tree.map(np.asarray, dict(variables))
  outputs = source.labels.outputs_of_same(class_names)
  result = {name: {} for name in variables}
  lists = {name: [] for name in ('loaded', 'replaced', 'absent')}
  theirs = {name: _module(source.variables, name) for name in _modules(source)}
  for name in variables['params']:
    new = _module(variables, name)
    taken, what = new, 'absent'
    if name in theirs:
      taken, what = _take(name, new, theirs[name], outputs)
    elif not optimizer.is_head(name):
      raise errors.InputError(f'config.init_from: it has no module {name!r}')
    lists[what].append(name)
    if what != 'loaded':
      taken = _with_zeros(name, taken)
    for collection, tree in taken.items():
      result[collection][name] = tree
  left_out = [name for name in theirs if name not in variables['params']]
  return result, Transfer(
    **{name: tuple(value) for name, value in lists.items()},
    left_out=tuple(left_out),
  )


def check(
  shapes: Mapping[str, Any],
  source: run.Run,
  class_names: Sequence[str],
  is_frozen: freezing.IsFrozenFn,
) -> None:
  """Finds out whether `transfer` works, before anything is written.

  Args:
    shapes: of the new variables.
    source: see `transfer`.
    class_names: likewise.
    is_frozen: what will not be trained.

  Raises:
    InputError: if something does not fit, or starts anew but is frozen.
  """
  for name in new_modules(shapes, source, class_names):
    # A part of it is enough.
    if freezing.split({name: shapes['params'][name]}, is_frozen)[1]:
      raise errors.InputError(
        f'config.freeze: {name!r} starts anew, for other classes or another'
        ' size, so it must be trained; leave it out of the globs'
      )


def new_modules(
  shapes: Mapping[str, Any], source: run.Run, class_names: Sequence[str]
) -> tuple[str, ...]:
  """Modules that `transfer` does not load, for variables of these shapes.

  Raises:
    InputError: if something does not fit.
  """
  blank = jax.tree.map(
    lambda x: np.broadcast_to(np.zeros((), x.dtype), x.shape), dict(shapes)
  )
  _, found = transfer(blank, source, class_names)
  return *found.replaced, *found.absent


def _modules(source: run.Run) -> list[str]:
  return list(source.variables['params'])


def _module(variables: Mapping[str, Any], name: str) -> dict[str, Any]:
  """Params and batch_stats of one module, where it has them."""
  return {
    collection: tree[name]
    for collection, tree in variables.items()
    if name in tree
  }


def _take(
  name: str,
  new: dict[str, Any],
  old: dict[str, Any],
  outputs: np.ndarray | None,
) -> tuple[dict[str, Any], str]:
  """One module's weights, and whether they are 'loaded' or 'replaced'."""
  is_head = optimizer.is_head(name)
  if is_head and outputs is None:
    return new, 'replaced'
  if is_head:
    old = _reorder(name, new, old, outputs)
  wanted, found = named_arrays.flatten(new), named_arrays.flatten(old)
  differing = [
    leaf
    for leaf in sorted(wanted.keys() | found.keys())
    if np.shape(wanted.get(leaf)) != np.shape(found.get(leaf))
    or (leaf in wanted) != (leaf in found)
  ]
  if not differing:
    return old, 'loaded'
  if is_head:
    return new, 'replaced'
  leaf = differing[0]
  raise errors.InputError(
    f'config.init_from: {leaf!r} of {name!r} is'
    f' {list(np.shape(found.get(leaf)))} there and'
    f' {list(np.shape(wanted.get(leaf)))} here; start from another run'
  )


def _with_zeros(name: str, new: dict[str, Any]) -> dict[str, Any]:
  """A new head whose classifier is zero: what is drawn disturbs the rest."""
  params = new['params']
  inside = name != 'classifier'
  layer = params['classifier'] if inside else params
  zeros = {leaf: np.zeros_like(values) for leaf, values in layer.items()}
  params = {**params, 'classifier': zeros} if inside else zeros
  return {**new, 'params': params}


def _reorder(
  name: str, new: dict[str, Any], old: dict[str, Any], outputs: np.ndarray
) -> dict[str, Any]:
  """The source's head with its outputs in the order of ours."""
  # An auxiliary head has its classifier inside it.
  inside = name != 'classifier'
  new_layer, old_layer = [
    x['params']['classifier'] if inside else x['params'] for x in (new, old)
  ]
  layer = {}
  for leaf, values in new_layer.items():
    # Dummies beyond the classes are zero where the source has no more.
    layer[leaf] = np.zeros_like(values)
    taken = outputs[: values.shape[-1]]
    layer[leaf][..., : len(taken)] = old_layer[leaf][..., taken]
  params = {**old['params'], 'classifier': layer} if inside else layer
  return {**old, 'params': params}
