"""The authors' own weights: `inception5h.zip`, its graph, or an npz of it.

References:
  github.com/google/inception, "reference pre-trained network", CVPR 2015.
"""

from collections.abc import Mapping
import hashlib
import tokenize
from typing import Any
import zipfile
import zlib

from absl import logging
from etils import epath
from flax import traverse_util
import numpy as np

from inception_jax import profiles
from inception_jax.data import crop_rules, labels
from inception_jax.models import architectures, layer_names
from inception_jax.runtime import errors, text_files
from inception_jax.weights import conversion, download, graph_def, imported

PROFILE = 'inception_v1_google'
RELEASE = download.Release(
  url='https://storage.googleapis.com/download.tensorflow.org/models/inception5h.zip',
  file_name='inception5h.zip',
  sha256='d13569f6a98159de37e92e9c8ec4dae8f674fbf475f69fe6199b514f756d4364',
)
GRAPH_FILE = 'tensorflow_inception_graph.pb'
GRAPH_SHA256 = (
  'a39b08b826c9d5a5532ff424c03a3a11a202967544e389aca4b06c2bd8aef63f'
)
LABEL_FILE = 'imagenet_comp_graph_label_strings.txt'
# Of the synsets of the 1008 outputs, a line each, empty for dummies: a file of
# the same classes in another order would give every output a wrong name.
ORDER_SHA256 = (
  'd4c0ace7de167d2b09dc6d24342ca4c78f5fc9b166cc4c6fa7c7a68a061361c2'
)
_MAX_LABEL_BYTES = 2**20
# What Python raises for archives and arrays that are not as they should be:
# encrypted, packed in unknown ways, of absurd shapes and places, or with
# flipped bits.
_DAMAGED = (
  zipfile.BadZipFile,
  zlib.error,
  tokenize.TokenError,
  ArithmeticError,
  EOFError,
  LookupError,
  MemoryError,
  NotImplementedError,
  OSError,
  RuntimeError,
  SyntaxError,
  TypeError,
  ValueError,
)

_STEM = {'conv1': 'conv2d0', 'conv2_reduce': 'conv2d1', 'conv2': 'conv2d2'}
_BRANCHES = {
  'conv_1x1': '1x1',
  'reduce_3x3': '3x3_bottleneck',
  'conv_3x3': '3x3',
  'reduce_5x5': '5x5_bottleneck',
  'conv_5x5': '5x5',
  'pool_proj': 'pool_reduce',
}
_HEADS = {
  'aux_4a/conv': 'head0_bottleneck',
  'aux_4a/dense': 'nn0',
  'aux_4a/classifier': 'softmax0',
  'aux_4d/conv': 'head1_bottleneck',
  'aux_4d/dense': 'nn1',
  'aux_4d/classifier': 'softmax1',
}

CARD = {
  'name': "GoogLeNet, the authors' released network (inception5h)",
  'repository': 'https://github.com/google/inception',
  'url': RELEASE.url,
  'licence': 'Apache-2.0',
  'paper': 'https://arxiv.org/abs/1409.4842',
  'trained_on': 'ImageNet (ILSVRC-2012), by the authors',
  'differs_from_the_paper': [
    '4a has 204 3x3 filters, where Table 1 prints 208',
    '5a has 48 5x5-reduce filters, where Table 1 prints 32',
    '1008 outputs, of which 0 and 1001 to 1007 are dummies',
  ],
  'literature': [
    {
      'network': "the paper's single model",
      'protocol': 'one centre crop, full validation set',
      'top5_error': 0.1007,
      'source': 'Szegedy et al. 2014, Table 3',
    },
    {
      'network': 'GoogLeNet as its authors restate it',
      'protocol': 'one crop, full validation set',
      'top1_error': 0.29,
      'top5_error': 0.092,
      'source': 'Szegedy et al. 2015, arXiv 1512.00567, Table 3',
    },
  ],
  'accuracy_of_these_weights': 'not published',
}


def names_of_layers(use_aux: bool = True) -> dict[str, str]:
  """Path of each layer in our parameters, and its name in the release."""
  return {
    layer.path: _layer_name(layer)
    for layer in layer_names.layers(architectures.architecture_of(PROFILE))
    if use_aux or layer.part != 'aux'
  }


def _layer_name(layer: layer_names.Layer) -> str:
  if layer.part == 'stem':
    return _STEM[layer.kind]
  if layer.part == 'inception':
    return f'mixed{layer.block}_{_BRANCHES[layer.kind]}'
  if layer.part == 'aux':
    return _HEADS[layer.path]
  return 'softmax2'


def read(
  path: epath.PathLike, label_file: epath.PathLike | None = None
) -> imported.ImportedNetwork:
  """Reads the authors' network.

  Args:
    path: `inception5h.zip`, `tensorflow_inception_graph.pb`, or an npz with
      arrays of the same names; told apart by their contents.
    label_file: see `labels.from_label_file`; None looks into the zip, and then
      beside `path` for `imagenet_comp_graph_label_strings.txt` or, for
      `NAME.npz`, `NAME_synsets.txt`.

  Returns:
    The network; without auxiliary heads if the matrices of their hidden layers
    are missing.

  Raises:
    InputError: if a file cannot be read, is another network's, or does not
      hold the whole main path in the right shapes.
  """
  path = epath.Path(path)
  sha256 = download.sha256_of(path)
  arrays, label_text, known = _read_file(path, sha256)
  if not known:
    logging.info('SHA-256 of %s is %s, not a published one', path, sha256)
  arguments, params, missing, unused = convert(arrays, str(path))
  profile = profiles.profile_of(PROFILE)
  label_map, origin = _read_labels(
    path, label_file, label_text, arguments['num_classes']
  )
  return imported.ImportedNetwork(
    model_arguments=arguments,
    variables={'params': params, 'batch_stats': {}},
    preprocessing=profile.preprocessing,
    eval_crop=crop_rules.EvaluationCrop(
      conversion.IMAGE_SIZE, profile.eval_crop
    ),
    labels=label_map,
    missing=missing,
    unused=unused,
    card={
      **CARD,
      'file': path.name,
      'sha256': sha256,
      'sha256_is_published': known,
      'labels': origin,
    },
  )


def _read_file(
  path: epath.Path, sha256: str
) -> tuple[dict[str, np.ndarray], str | None, bool]:
  """Arrays, the labels' text if it is there too, and if the hash is known."""
  try:
    with path.open('rb') as file:
      if not zipfile.is_zipfile(file):
        file.seek(0)
        data = file.read(graph_def.MAX_BYTES + 1)
        known = sha256 == GRAPH_SHA256
        return graph_def.float_constants(data, str(path)), None, known
      with zipfile.ZipFile(file) as archive:
        if GRAPH_FILE in archive.namelist():
          data = _read_member(archive, GRAPH_FILE, graph_def.MAX_BYTES)
          text = None
          if LABEL_FILE in archive.namelist():
            text = text_files.decode(
              _read_member(archive, LABEL_FILE, _MAX_LABEL_BYTES)
            )
          known = hashlib.sha256(data).hexdigest() == GRAPH_SHA256
          name = f'{GRAPH_FILE} in {path}'
          return graph_def.float_constants(data, name), text, known
        return _read_npz(archive, path), None, False
  except errors.InputError:
    raise
  except _DAMAGED as error:
    raise errors.InputError(
      f'{path} is damaged ({errors.first_line(error)}); download or copy it'
      ' again'
    ) from error


def _read_member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
  """Contents of a file in an archive, which may claim any size."""
  with archive.open(name) as file:
    data = file.read(limit + 1)
  if len(data) > limit:
    raise zipfile.BadZipFile(f'{name} has more than {limit:,} bytes')
  return data


def _read_npz(
  archive: zipfile.ZipFile, path: epath.Path
) -> dict[str, np.ndarray]:
  arrays = {}
  room = graph_def.MAX_BYTES
  for name in archive.namelist():
    if not name.endswith('.npy'):
      raise errors.InputError(
        f'{path} holds {name!r}: it is neither {RELEASE.file_name}, with'
        f' {GRAPH_FILE} in it, nor an npz of the same arrays'
      )
    room -= archive.getinfo(name).file_size
    if room < 0:
      raise zipfile.BadZipFile('its arrays are too large')
    with archive.open(name) as file:
      try:
        array = np.lib.format.read_array(file, allow_pickle=False)
      except ValueError as error:
        raise zipfile.BadZipFile(f'{name}: {error}') from error
    if array.dtype.kind == 'f':
      arrays[name.removesuffix('.npy')] = array.astype(np.float32)
  return arrays


def convert(
  arrays: Mapping[str, np.ndarray], source: str
) -> tuple[dict[str, Any], dict[str, Any], tuple[str, ...], tuple[str, ...]]:
  """Arrays under the released names as our parameters.

  Args:
    arrays: float32, kernels HWIO.
    source: where they come from, for messages.

  Returns:
    Arguments of `models.create_model`; parameters; names that are missing; and
    names that are not used.

  Raises:
    InputError: if the main path is not whole, or a shape or value is wrong.
  """
  main, whole = names_of_layers(use_aux=False), names_of_layers()
  names = lambda of: [f'{name}_{kind}' for name in of.values() for kind in 'wb']
  absent = [name for name in names(main) if name not in arrays]
  if absent:
    raise errors.InputError(
      f"{source} is not the authors' network: it lacks {len(absent)} of its"
      f' {len(names(main))} arrays (first {absent[0]!r}); give'
      f' {RELEASE.file_name} or {GRAPH_FILE}'
    )
  missing = tuple(name for name in names(whole) if name not in arrays)
  if missing:
    logging.warning(
      '%s lacks %s, so the network is built without auxiliary heads (they are'
      ' needed for training only)',
      source,
      ', '.join(missing),
    )
  used = main if missing else whole
  unused = tuple(sorted(arrays.keys() - set(names(used))))
  arguments = {
    'name': PROFILE,
    'num_classes': profiles.profile_of(PROFILE).num_classes,
    'use_aux': not missing,
  }
  shapes = conversion.shapes_of(
    PROFILE, arguments['num_classes'], arguments['use_aux']
  )
  flat = {}
  for path, shape in shapes.items():
    layer, variable = layer_names.split(path)
    name = f'{used[layer.path]}_{"w" if variable == "kernel" else "b"}'
    flat[path] = _fitted(arrays[name], shape, f'{source}: {name!r}')
  params = traverse_util.unflatten_dict(flat, sep='/')['params']
  return arguments, params, missing, unused


def _fitted(array: np.ndarray, shape: tuple[int, ...], what: str) -> np.ndarray:
  # Dense kernels are stored as 1x1 convolutions in places.
  if array.shape != shape and array.shape != (1, 1, *shape):
    raise errors.InputError(
      f"{what} has the shape {list(array.shape)}, where the authors' network"
      f' has {list(shape)}; this is another network, or it is damaged'
    )
  if not np.isfinite(array).all():
    raise errors.InputError(
      f'{what} holds values that are not finite; download the file again'
    )
  return np.ascontiguousarray(array.reshape(shape))


def _read_labels(
  path: epath.Path,
  label_file: epath.PathLike | None,
  text: str | None,
  num_outputs: int,
) -> tuple[labels.LabelMap, str | None]:
  """The label map, and what it was read from."""
  origin = f'{LABEL_FILE} in {path.name}'
  if label_file is None and text is None:
    beside = (LABEL_FILE, f'{path.stem}_synsets.txt')
    found = [path.parent / x for x in beside if (path.parent / x).exists()]
    label_file = found[0] if found else None
  if label_file is not None:
    origin = epath.Path(label_file).name
    try:
      text = text_files.read(epath.Path(label_file))
    except (OSError, ValueError) as error:
      reason = getattr(error, 'strerror', None) or errors.first_line(error)
      raise errors.InputError(
        f'the labels {label_file} cannot be read ({reason}); check --labels'
      ) from error
  if text is None:
    logging.warning(
      'there is no label file beside %s, so outputs have numbers for names and'
      ' the network cannot be evaluated; give --labels=%s',
      path,
      LABEL_FILE,
    )
    return labels.numbered(num_outputs), None
  try:
    label_map = labels.from_label_file(text, num_outputs)
    synsets = '\n'.join(label.synset or '' for label in label_map.labels)
    if hashlib.sha256(synsets.encode()).hexdigest() != ORDER_SHA256:
      raise ValueError('it names others, or in another order')
  except ValueError as error:
    raise errors.InputError(
      f"{label_file or origin} does not hold this network's labels: {error};"
      f' give --labels={LABEL_FILE}'
    ) from error
  return label_map, origin
