"""Which modules training leaves alone, and trees without them.

A frozen module keeps its parameters bit for bit: they get no gradient, no
weight decay and no momentum, and no average is made of them. Its batch norm
normalises with the running averages, as in inference, and leaves them alone.
"""

from collections.abc import Callable, Iterable, Mapping
import contextlib
import fnmatch
from typing import Any

from flax import linen as nn

from inception_jax.runtime import errors, words

Path = tuple[str, ...]
IsFrozenFn = Callable[[Path], bool]


def nothing_is_frozen(path: Path) -> bool:
  """The `is_frozen` of ordinary training."""
  del path
  return False


def create_is_frozen(
  patterns: Iterable[str], params: Mapping[str, Any]
) -> IsFrozenFn:
  """Tells frozen modules from others.

  Args:
    patterns: globs over the paths of modules, such as 'inception_[34]*',
      'conv*' or 'inception_5b/conv_5x5'; case matters, and '*' may stand for
      slashes too. What is inside a module that fits is frozen with it.
    params: nested parameters of the model, for their names only.

  Returns:
    A function of the path of a module, parameter or batch statistic, without
    its collection: whether it is frozen.

  Raises:
    ValueError: if a pattern fits no module, or nothing is left to train.
  """
  patterns = tuple(patterns)
  paths = module_paths(params)
  for pattern in patterns:
    if not fnmatch.filter(paths, pattern):
      raise ValueError(
        f'{pattern!r} fits no module; there are {", ".join(params)} and what is'
        f' inside them{errors.suggestion(pattern, paths)}'
      )

  # Of modules only: a pattern may fit the name of a parameter too.
  frozen = {
    path
    for path in paths
    if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
  }

  def is_frozen(path):
    return any(
      '/'.join(path[:depth]) in frozen for depth in range(1, len(path) + 1)
    )

  if not split(params, is_frozen)[0]:
    verb = 'leaves' if len(patterns) == 1 else 'leave'
    raise ValueError(
      f'{words.join(map(repr, patterns))} {verb} nothing to train; freeze less'
    )
  return is_frozen


def module_paths(params: Mapping[str, Any]) -> list[str]:
  """Slash-separated paths of all modules that have parameters."""
  paths = []
  for name, value in params.items():
    if isinstance(value, Mapping):
      paths += [name, *(f'{name}/{path}' for path in module_paths(value))]
  return paths


def split(
  tree: Mapping[str, Any], is_frozen: IsFrozenFn, path: Path = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Divides the leaves of one collection, such as the parameters.

  Args:
    tree: nested dicts.
    is_frozen: see `create_is_frozen`.
    path: of the tree.

  Returns:
    The tree of what is trained and that of what is frozen, both without empty
    dicts; `merge` puts them together.
  """
  trained, frozen = {}, {}
  for name, value in tree.items():
    where = (*path, name)
    if isinstance(value, Mapping):
      parts = split(value, is_frozen, where)
      for whole, part in zip((trained, frozen), parts, strict=True):
        if part:
          whole[name] = part
    else:
      (frozen if is_frozen(where) else trained)[name] = value
  return trained, frozen


def split_variables(
  variables: Mapping[str, Any], is_frozen: IsFrozenFn
) -> dict[str, Any]:
  """What is trained of `{'params': ..., 'batch_stats': ...}`."""
  return {
    name: split(collection, is_frozen)[0]
    for name, collection in variables.items()
  }


def merge(tree: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
  """`tree` with the leaves of `part` in the place of its own, or added."""
  merged = dict(tree)
  for name, value in part.items():
    if isinstance(value, Mapping):
      value = merge(tree.get(name, {}), value)
    merged[name] = value
  return merged


def frozen_batch_norm(
  is_frozen: IsFrozenFn,
) -> contextlib.AbstractContextManager[None]:
  """While it is open, frozen batch norm runs as in inference."""

  def intercept(method, args, kwargs, context):
    if isinstance(context.module, nn.BatchNorm) and is_frozen(
      context.module.path
    ):
      kwargs = {**kwargs, 'use_running_average': True}
    return method(*args, **kwargs)

  return nn.intercept_methods(intercept)
