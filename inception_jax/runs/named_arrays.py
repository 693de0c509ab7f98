"""Trees of arrays as a flat dict, under paths such as 'params/conv1/kernel'."""

from collections.abc import Mapping
import hashlib
from typing import Any

import jax
import numpy as np

from inception_jax.runtime import errors, words


def flatten(tree: Any) -> dict[str, Any]:
  """Leaves of a tree by their slash-separated paths."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): leaf
    for path, leaf in leaves
  }


def unflatten(target: Any, flat: Mapping[str, Any], source: str) -> Any:
  """Rebuilds a tree like `target` from `flat`.

  Args:
    target: tree of arrays or `jax.ShapeDtypeStruct`.
    flat: result of `flatten`.
    source: where `flat` comes from, for messages.

  Returns:
    A tree of host arrays.

  Raises:
    InputError: if names or shapes differ.
  """
  wanted = flatten(target)
  missing = sorted(wanted.keys() - flat.keys())
  unused = sorted(flat.keys() - wanted.keys())
  if missing or unused:
    parts = [
      f'{words.count(len(names), "array")} {"is" if len(names) == 1 else "are"}'
      f' {what} (first {names[0]!r})'
      for what, names in (('missing', missing), ('unknown', unused))
      if names
    ]
    raise errors.InputError(
      f'{source} does not fit the model: {" and ".join(parts)}'
    )
  leaves = []
  for name, leaf in wanted.items():
    value = flat[name]
    if value.shape != leaf.shape or value.dtype != leaf.dtype:
      raise errors.InputError(
        f'{source} does not fit the model: {name!r} is'
        f' {value.dtype}{list(value.shape)}, not'
        f' {leaf.dtype}{list(leaf.shape)}'
      )
    leaves.append(value)
  return jax.tree.unflatten(jax.tree.structure(target), leaves)


def to_host(tree: Any) -> Any:
  """Host copies of replicated arrays, from one local device each."""
  return jax.tree.map(
    lambda x: (
      np.asarray(x.addressable_shards[0].data)
      if isinstance(x, jax.Array)
      else np.asarray(x)
    ),
    tree,
  )


def digest(value: np.ndarray) -> str:
  """SHA-256 of an array's type, shape and bytes."""
  value = np.ascontiguousarray(value)
  header = f'{value.dtype}{value.shape}'.encode()
  return hashlib.sha256(header + value.tobytes()).hexdigest()
