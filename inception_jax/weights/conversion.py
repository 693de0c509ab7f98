"""Arrays under another program's names to a network of ours."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses
import functools
import types
from typing import Any

from absl import logging
from etils import epath
from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from inception_jax import models, profiles
from inception_jax.data import crop_rules, labels
from inception_jax.models import layer_names
from inception_jax.runtime import errors, words
from inception_jax.weights import download, imported, renamed

IMAGE_SIZE = 224
# ImageNet's largest set has 21,841 classes.
_MAX_OUTPUTS = 2**16


@dataclasses.dataclass(frozen=True)
class Layout:
  """How another program keeps our variables.

  Paths are like 'params/inception_4a/conv_5x5/kernel', shapes are ours.

  Attributes:
    profile: name of the network.
    title: of the network, for messages.
    name_of: from a path to the other's name.
    shape_of: from a path and a shape to the other's shape.
    to_ours: from a path, an array and a shape to an array of that shape.
    ignored: names of theirs that say nothing, such as counters.
    release: the published file.
    card: origin and licence; see `imported.ImportedNetwork`.
  """

  profile: str
  title: str
  name_of: Callable[[str], str]
  shape_of: Callable[[str, tuple[int, ...]], tuple[int, ...]]
  to_ours: Callable[[str, np.ndarray, tuple[int, ...]], np.ndarray]
  release: download.Release
  card: Mapping[str, Any]
  ignored: Callable[[str], bool] = lambda name: False


@functools.lru_cache(maxsize=8)
def shapes_of(
  profile: str, num_classes: int, use_aux: bool = True
) -> Mapping[str, tuple[int, ...]]:
  """Shape of each variable of a published network, by its path."""
  model = models.create_model(profile, num_classes, use_aux)
  images = jax.ShapeDtypeStruct((1, IMAGE_SIZE, IMAGE_SIZE, 3), jnp.float32)
  tree = jax.eval_shape(model.init, jax.random.key(0), images)
  flat = traverse_util.flatten_dict(tree, sep='/')
  return types.MappingProxyType({k: v.shape for k, v in flat.items()})


def main_shapes(profile: str) -> Mapping[str, tuple[int, ...]]:
  """As `shapes_of`, of the published network without its heads."""
  return shapes_of(profile, profiles.profile_of(profile).num_classes, False)


def network_of(
  layout: Layout,
  arrays: Mapping[str, np.ndarray],
  path: epath.Path,
  others: Iterable[str] = (),
  card: Mapping[str, Any] = types.MappingProxyType({}),
  where: str = '',
) -> imported.ImportedNetwork:
  """The network whose weights a file holds.

  Args:
    layout: how it keeps them.
    arrays: by its names.
    path: the file.
    others: names that it holds beside these.
    card: more about this file.
    where: in the file the arrays are, for messages, such as " under 'model'".

  Returns:
    The network; without auxiliary heads if one of their arrays is missing, or
    they are for other classes.

  Raises:
    InputError: if the main path is not whole, or a shape or value is wrong.
  """
  arrays, is_renamed = _with_classifiers(layout, arrays, f'{path}{where}')
  arguments, variables, missing, unused = convert(
    layout, arrays, f'{path}{where}'
  )
  unused = tuple(sorted({*unused, *others}))
  profile = profiles.profile_of(layout.profile)
  label_map, origin = _labels(profile, arguments['num_classes'], is_renamed)
  digests = download.digests_of(path)
  return imported.ImportedNetwork(
    model_arguments=arguments,
    variables=variables,
    preprocessing=profile.preprocessing,
    eval_crop=crop_rules.EvaluationCrop(IMAGE_SIZE, profile.eval_crop),
    labels=label_map,
    missing=missing,
    unused=unused,
    card={
      **layout.card,
      **card,
      'url': layout.release.url,
      'file': path.name,
      **digests,
      'is_published': _is_published(layout.release, digests, path),
      'labels': origin,
    },
  )


def _with_classifiers(
  layout: Layout, arrays: Mapping[str, np.ndarray], source: str
) -> tuple[Mapping[str, np.ndarray], bool]:
  """Arrays with classifiers under their names; whether the main had another."""
  profile = profiles.profile_of(layout.profile)
  shapes = shapes_of(layout.profile, profile.num_classes)
  kernels = [x for x in shapes if x.endswith('classifier/kernel')]
  kernels.sort(key=lambda x: (layer_names.split(x)[0].part != 'aux', x))
  layers = [
    renamed.dense(
      layout.name_of(x), layout.name_of(x.replace('/kernel', '/bias'))
    )
    for x in kernels
  ]
  known = {layout.name_of(x): None for x in shapes}
  num_inputs = shapes[kernels[-1]][0]
  found = renamed.find(arrays, known, layers, num_inputs, source)
  names = {}
  for ours, theirs in found.items():
    names |= {theirs.kernel: ours.kernel, theirs.bias: ours.bias}
  arrays = {names.get(name, name): array for name, array in arrays.items()}
  return arrays, layers[-1] in found


def _is_published(
  release: download.Release, digests: Mapping[str, str], path: epath.Path
) -> bool | None:
  """Whether this is the published file; says so if it is not."""
  is_published = release.is_published(digests)
  if not is_published:
    # Of what was published, if anything was.
    kind = 'sha1' if release.sha1 else 'sha256'
    logging.warning(
      'the %s of %s is %s, %s',
      kind,
      path,
      digests[kind],
      'which is not the published one'
      if is_published is False
      else 'and no published one is known',
    )
  return is_published


def convert(
  layout: Layout, arrays: Mapping[str, np.ndarray], source: str
) -> tuple[dict[str, Any], dict[str, Any], tuple[str, ...], tuple[str, ...]]:
  """Arguments of the model, variables, missing names and names left over."""
  num_outputs = _count_outputs(layout, arrays, source)
  shapes = shapes_of(layout.profile, num_outputs)
  names = {path: layout.name_of(path) for path in shapes}
  heads = {x for x in shapes if layer_names.split(x)[0].part == 'aux'}
  missing = tuple(
    name for path, name in names.items() if path in heads and name not in arrays
  )
  reason = _without_heads(layout, arrays, heads, missing, num_outputs)
  if reason:
    logging.warning(
      '%s %s, so the network is built without its auxiliary heads (they are'
      ' needed for training only)',
      source,
      reason,
    )
    names = {path: name for path, name in names.items() if path not in heads}
  flat = {
    path: _fitted(layout, path, arrays[name], shapes[path], f'{source}: {name}')
    for path, name in names.items()
  }
  used = set(names.values())
  unused = tuple(
    sorted(x for x in arrays if x not in used and not layout.ignored(x))
  )
  arguments = {
    'name': layout.profile,
    'num_classes': num_outputs,
    'use_aux': bool(heads) and not reason,
  }
  variables = {'batch_stats': {}, **traverse_util.unflatten_dict(flat, sep='/')}
  return arguments, variables, missing, unused


def _without_heads(
  layout: Layout,
  arrays: Mapping[str, np.ndarray],
  heads: Iterable[str],
  missing: Sequence[str],
  num_outputs: int,
) -> str:
  """Why the auxiliary heads cannot be built; empty if they can."""
  if missing:
    return (
      f'lacks {words.count(len(missing), "array")} of the auxiliary heads'
      f' (first {missing[0]!r})'
    )
  for path in sorted(heads):
    if path.endswith('classifier/bias'):
      found = arrays[layout.name_of(path)].shape
      # As fine-tuning leaves them that replaces the main classifier alone.
      if found[-1:] != (num_outputs,):
        return (
          f'has {words.count(num_outputs, "output")}, but'
          f' {layout.name_of(path)} has the shape {list(found)}'
        )
  return ''


def _count_outputs(
  layout: Layout, arrays: Mapping[str, np.ndarray], source: str
) -> int:
  """Outputs of the classifier, once all of the main path is there."""
  main = [layout.name_of(path) for path in main_shapes(layout.profile)]
  absent = [name for name in main if name not in arrays]
  if absent:
    known = set(map(layout.name_of, shapes_of(layout.profile, 1)))
    others = [x for x in arrays if x not in known and not layout.ignored(x)]
    holds = f', and holds {len(others)} of other names' if others else ''
    first = f' (first {others[0][:80]!r})' if others else ''
    raise errors.InputError(
      f'{source} is not {layout.title}: it lacks {len(absent)} of its'
      f' {len(main)} arrays (first {absent[0]!r}){holds}{first}; give'
      f' {layout.release.file_name} or another file of that network'
    )
  name = layout.name_of('params/classifier/bias')
  shape = arrays[name].shape
  if not shape or not 0 < shape[-1] <= _MAX_OUTPUTS:
    raise errors.InputError(
      f'{source}: {name} has the shape {list(shape)}, which is no number of'
      f' classes; give {layout.release.file_name}'
    )
  return shape[-1]


def _fitted(
  layout: Layout,
  path: str,
  array: np.ndarray,
  shape: tuple[int, ...],
  what: str,
) -> np.ndarray:
  """An array as float32 in our layout, checked."""
  wanted = layout.shape_of(path, shape)
  # Old files of Caffe have four axes always.
  if array.shape not in (wanted, (1,) * (4 - len(wanted)) + wanted):
    raise errors.InputError(
      f'{what} has the shape {list(array.shape)}, where {layout.title} has'
      f' {list(wanted)}; this is another network, or it is damaged'
    )
  if array.dtype.kind != 'f':
    raise errors.InputError(
      f'{what} holds {array.dtype} and no fractions; this is another network,'
      ' or it is damaged'
    )
  with np.errstate(over='ignore'):
    array = array.reshape(wanted).astype(np.float32)
  if not np.isfinite(array).all():
    raise errors.InputError(
      f'{what} holds values that are not finite; download the file again'
    )
  if path.endswith('/var') and (array < 0).any():
    raise errors.InputError(
      f'{what} holds negative variances; download the file again'
    )
  return np.ascontiguousarray(layout.to_ours(path, array, shape))


def _labels(
  profile: profiles.Profile, num_outputs: int, is_renamed: bool
) -> tuple[labels.LabelMap, str | None]:
  """The label map, and where it is from."""
  if num_outputs == profile.num_classes and not is_renamed:
    return labels.imagenet(num_outputs), 'ILSVRC-2012, in the order of synsets'
  logging.warning(
    'the classes of the %d outputs are not known, so they have numbers for'
    ' names, unless --labels=FILE names them, a text with a line for each',
    num_outputs,
  )
  return labels.numbered(num_outputs), None
