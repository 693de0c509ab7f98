"""TF-slim's Inception-v1: `inception_v1.ckpt`, or the archive of it.

References:
  github.com/google-research/tf-slim, tf_slim/nets/inception_v1.py.
  github.com/tensorflow/models, research/slim.
"""

import contextlib
import gzip
import pathlib
import shutil
import tarfile
import tempfile
from typing import Any
import zlib

from absl import logging
from etils import epath
import numpy as np

from inception_jax.models import layer_names
from inception_jax.runtime import errors, optional
from inception_jax.weights import (
  conversion,
  download,
  imported,
  tf_checkpoint,
)

RELEASE = download.Release(
  url='http://download.tensorflow.org/models/inception_v1_2016_08_28.tar.gz',
  file_name='inception_v1_2016_08_28.tar.gz',
)
AVERAGE = 'ExponentialMovingAverage'
_SCOPE = 'InceptionV1'
_GZIP = b'\x1f\x8b'
_MAX_MEMBERS = 1000
_TOO_LARGE = 'it unpacks to more than any such file has'
_STEM = {
  'conv1': 'Conv2d_1a_7x7',
  'conv2_reduce': 'Conv2d_2b_1x1',
  'conv2': 'Conv2d_2c_3x3',
}
_BRANCHES = {
  'conv_1x1': 'Branch_0/Conv2d_0a_1x1',
  'reduce_3x3': 'Branch_1/Conv2d_0a_1x1',
  'conv_3x3': 'Branch_1/Conv2d_0b_3x3',
  'reduce_5x5': 'Branch_2/Conv2d_0a_1x1',
  'conv_5x5': 'Branch_2/Conv2d_0b_3x3',
  'pool_proj': 'Branch_3/Conv2d_0b_1x1',
}
_CLASSIFIER_VARIABLES = {'kernel': 'weights', 'bias': 'biases'}
_CONV_VARIABLES = {
  'kernel': 'weights',
  'bn/bias': 'BatchNorm/beta',
  'bn/mean': 'BatchNorm/moving_mean',
  'bn/var': 'BatchNorm/moving_variance',
}

CARD = {
  'name': 'Inception-v1, TF-slim 2016_08_28',
  'repository': 'https://github.com/tensorflow/models',
  'licence': 'Apache-2.0',
  'paper': 'https://arxiv.org/abs/1409.4842',
  'trained_on': 'ImageNet (ILSVRC-2012)',
  'differs_from_the_paper': [
    'batch norm, with offsets only, instead of biases and response'
    ' normalisation',
    '3x3 kernels in the 5x5 branch',
    'a 2x2 pool before 5a',
    'no auxiliary heads, dropout 0.2 before the classifier',
    '1001 outputs, the first of which is a background class',
  ],
  'literature': [
    {
      'network': 'these weights',
      'protocol': 'one central crop, full validation set',
      'top1': 0.698,
      'top5': 0.896,
      'source': 'tensorflow/models, research/slim/README.md',
    }
  ],
}


def name_of(path: str) -> str:
  """From 'params/inception_3a/conv_1x1/kernel' to TF-slim's name."""
  layer, variable = layer_names.split(path)
  is_classifier = layer.part == 'classifier'
  variables = _CLASSIFIER_VARIABLES if is_classifier else _CONV_VARIABLES
  return f'{_SCOPE}/{_layer_name(layer)}/{variables[variable]}'


def _layer_name(layer: layer_names.Layer) -> str:
  if layer.part == 'stem':
    return _STEM[layer.kind]
  if layer.part == 'classifier':
    return 'Logits/Conv2d_0c_1x1'
  stage, letter = layer.block
  place = f'Mixed_{stage}{chr(ord(letter) + 1)}/{_BRANCHES[layer.kind]}'
  if layer.path == 'inception_5a/conv_5x5':
    place = place.replace('0b', '0a')  # So it is called there.
  return place


def shape_of(path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
  """The classifier is a 1x1 convolution there."""
  return (1, 1, *shape) if path == 'params/classifier/kernel' else shape


LAYOUT = conversion.Layout(
  profile='inception_v1_tf_slim',
  title="TF-slim's Inception-v1",
  name_of=name_of,
  shape_of=shape_of,
  to_ours=lambda path, array, shape: array.reshape(shape),
  release=RELEASE,
  card=CARD,
)


def read(
  path: epath.PathLike, weights: str | None = None
) -> imported.ImportedNetwork:
  """Reads TF-slim's network.

  Args:
    path: a checkpoint, its `.index` or its common prefix, or a `.tar.gz` of
      one.
    weights: 'ema', the moving averages of the weights; 'raw'; or None, the
      averages of those variables that have one.

  Returns:
    The network.

  Raises:
    InputError: if the file cannot be read, is another network's, or does not
      hold the whole main path in the right shapes, or TensorFlow is missing.
  """
  path = epath.Path(path)
  if weights not in (None, 'raw', 'ema'):
    raise errors.InputError(
      f"--weights={weights} is of no use here; give 'ema' or 'raw'"
    )
  optional.find_package('tensorflow', 'reading checkpoints', 'data')
  with contextlib.ExitStack() as stack:
    prefix = path
    if path.exists() and _begins_with(path, _GZIP):
      folder = stack.enter_context(tempfile.TemporaryDirectory())
      prefix = _unpack(path, pathlib.Path(folder))
    arrays, others, num_averages = _read_checkpoint(prefix, path, weights)
    num_wanted = len(conversion.shapes_of(LAYOUT.profile, 1001))
    if weights == 'ema' and num_averages < num_wanted:
      raise errors.InputError(
        f'{path} keeps moving averages of {num_averages} of the {num_wanted}'
        " variables; leave --weights out, or give 'raw'"
      )
  kind = {0: 'raw', len(arrays): 'ema'}.get(num_averages, 'mixed')
  logging.info('took the moving averages of %d variables', num_averages)
  if not path.exists():  # The prefix of several files.
    path = path.with_name(f'{path.name}.index')
  return conversion.network_of(
    LAYOUT,
    arrays,
    path,
    others,
    {'weights': kind, 'num_averages': num_averages},
  )


def _begins_with(path: epath.Path, start: bytes) -> bool:
  try:
    with path.open('rb') as file:
      return file.read(len(start)) == start
  except OSError as error:
    raise errors.InputError(
      f'{path} cannot be read ({error.strerror or error}); check --input'
    ) from error


def _read_checkpoint(
  prefix: epath.PathLike, path: epath.Path, weights: str | None
) -> tuple[dict[str, np.ndarray], list[str], int]:
  """Arrays by their names, other names, and how many are averages."""
  name = str(prefix).removesuffix('.index')
  _check_sizes(name, path)
  published = conversion.shapes_of(LAYOUT.profile, 1001)
  try:
    return tf_checkpoint.read(
      name,
      list(map(name_of, published)),
      AVERAGE,
      weights,
      download.MAX_BYTES // 4,
    )
  except (OSError, ValueError) as error:
    raise errors.InputError(
      f'{path} is no checkpoint of TensorFlow, or is damaged'
      f' ({errors.first_line(error)[:200]}); give {RELEASE.file_name},'
      ' inception_v1.ckpt or the prefix of a checkpoint'
    ) from error


def _check_sizes(name: str, path: epath.Path) -> None:
  """Raises InputError if the checkpoint is not there, or is too large."""
  place = epath.Path(name)
  files = [place, epath.Path(f'{name}.index')]
  files = [x for x in files if x.exists() and not x.is_dir()]
  if not files:
    raise errors.InputError(
      f'{path} cannot be read (there is no such checkpoint); check --input'
    )
  start = f'{place.name}.data-'
  files += [x for x in place.parent.iterdir() if x.name.startswith(start)]
  if sum(x.stat().length for x in files) > download.MAX_BYTES:
    raise errors.InputError(
      f'{path} has more than {download.MAX_BYTES:,} bytes; give another file'
    )


def _unpack(path: epath.Path, folder: pathlib.Path) -> pathlib.Path:
  """Unpacks the files of a checkpoint and returns its prefix.

  Members become files of `folder` itself, whatever folders their names say;
  what is no regular file is passed over.
  """
  found = []
  try:
    with path.open('rb') as file, gzip.open(file) as unzipped:
      bounded = _Bounded(unzipped, download.MAX_BYTES)
      room = download.MAX_BYTES
      # As a stream, which never goes back.
      with tarfile.open(fileobj=bounded, mode='r|') as archive:
        for number, member in enumerate(archive):
          if number >= _MAX_MEMBERS:
            raise ValueError(f'it has more than {_MAX_MEMBERS} members')
          name = pathlib.PurePosixPath(member.name).name
          if not member.isreg() or '.ckpt' not in name:
            continue
          # The holes of a sparse file take no room in the archive.
          room -= member.size
          if member.issparse() or room < 0:
            raise ValueError(_TOO_LARGE)
          target = folder / name
          with target.open('wb') as out:
            shutil.copyfileobj(archive.extractfile(member), out)
          found.append(target)
  except (
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    tarfile.TarError,
  ) as error:
    raise errors.InputError(
      f'{path} is no whole archive of a checkpoint'
      f' ({errors.first_line(error)}); download it again'
    ) from error
  prefixes = {
    x.with_name(x.name.removesuffix('.index'))
    for x in found
    if x.suffix in ('.ckpt', '.index')
  }
  if len(prefixes) != 1:
    raise errors.InputError(
      f'{path} holds {len(prefixes)} checkpoints, not one; give'
      f' {RELEASE.file_name}, or unpack it and give the checkpoint'
    )
  return prefixes.pop()


class _Bounded:
  """A file that may be read up to a number of bytes."""

  def __init__(self, file: Any, limit: int):
    self._file, self._room = file, limit

  def read(self, size: int) -> bytes:
    data = self._file.read(size)
    self._room -= len(data)
    if self._room < 0:
      raise ValueError(_TOO_LARGE)
    return data
