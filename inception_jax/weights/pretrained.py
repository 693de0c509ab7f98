"""Networks that others have trained, by name, folder or file."""

import importlib
import json
import os
import zipfile

from absl import logging
from etils import epath

from inception_jax import models
from inception_jax.runs import description, run
from inception_jax.runtime import errors, json_files, paths, words
from inception_jax.weights import download, imported, pixel_values

# Modules that read the published files, which go by the same names.
_PUBLISHED = ('google', 'caffe', 'torchvision', 'tf_slim')
# Ending of a file and the module that reads it.
_READERS = {
  '.safetensors': 'safetensors_file',
  '.caffemodel': 'caffe',
  '.pb': 'google',
  '.zip': 'google',
  '.npz': 'google',
  '.pth': 'torchvision',
  '.pt': 'torchvision',
  '.bin': 'torchvision',
  '.tar': 'torchvision',  # As in `model.pth.tar`.
  '.ckpt': 'tf_slim',
  '.index': 'tf_slim',
  '.gz': 'tf_slim',
}
# Their files can hold several sets of weights.
HOLD_SEVERAL = ('tf_slim', 'torchvision')


def list_pretrained() -> list[str]:
  """Names that `load_pretrained` downloads."""
  return list(_PUBLISHED)


def load_pretrained(
  name: epath.PathLike,
  weights: str | None = None,
  preprocessing: str | None = None,
) -> run.Run:
  """Loads a trained network.

  Args:
    name: one of `list_pretrained()`, whose file is downloaded once, to
      `~/.cache/inception_jax`; or a run directory; or a file of weights, such
      as one that `--mode=export --format=safetensors` wrote.
    weights: of a run directory, see `load_run`; of a file of PyTorch or TF-slim
      that holds several, 'raw' or 'ema'.
    preprocessing: of a file that does not say it, what the network takes for
      pixels, see `weights.pixel_values`; None is what the published one takes.

  Returns:
    The network, its weights, preprocessing and class names.

  Raises:
    InputError: if there is no such network, or its file cannot be downloaded
      or read; without a network the message says which file to put where.
  """
  path = epath.Path(paths.expand(name, 'name'))
  if os.fspath(name) in _PUBLISHED and not path.exists():
    if weights is not None:
      raise errors.InputError(
        f'weights={weights!r} is of no use with {name!r}, whose file holds one'
        ' set of weights; leave it out'
      )
    return _of(_read_published(os.fspath(name)))
  if path.is_dir() and preprocessing is not None:
    raise errors.InputError(
      f'preprocessing={preprocessing!r} is of no use with the run directory'
      f' {path}, which says it itself; leave it out'
    )
  if path.is_dir():
    return run.load_run(path, weights)
  if not path.exists():
    raise errors.InputError(
      f'{os.fspath(name)!r} is no published network, run directory or file;'
      f' published are {words.join(_PUBLISHED)}'
      f'{errors.suggestion(os.fspath(name), _PUBLISHED)}'
    )
  module = _READERS.get(path.suffix)
  if path.suffix == '.ckpt' and _is_of_pytorch(path):
    module = 'torchvision'
  if module is None:
    raise errors.InputError(
      f'{path} cannot be loaded, since its name does not end in'
      f' {words.join(_READERS, "or")}; give a run directory, or export it with'
      ' --format=safetensors'
    )
  network = _read_file(module, path, weights)
  return _of(pixel_values.settle(network, module, preprocessing))


def _is_of_pytorch(path: epath.Path) -> bool:
  """Whether a checkpoint is PyTorch Lightning's and not TensorFlow's."""
  try:
    with path.open('rb') as file:
      return zipfile.is_zipfile(file)
  except OSError as error:
    raise errors.InputError(
      f'{path} cannot be read ({error.strerror or error}); check the path'
    ) from error


def _read_file(
  module: str, path: epath.Path, weights: str | None
) -> imported.ImportedNetwork:
  if weights is None:
    return _reader(module).read(path)
  if module not in HOLD_SEVERAL:
    raise errors.InputError(
      f'weights={weights!r} is of no use with {path}, which holds one set of'
      ' weights; leave it out'
    )
  return _reader(module).read(path, weights)


def _reader(module: str):
  return importlib.import_module(f'inception_jax.weights.{module}')


def _read_published(name: str) -> imported.ImportedNetwork:
  reader = _reader(name)
  path = download.fetch(reader.RELEASE, is_for_cache=True)
  logging.info('%s: %s', path, download.checked_how_far(reader.RELEASE))
  return reader.read(path)


def _of(network: imported.ImportedNetwork) -> run.Run:
  """The network as if it had been loaded from a run directory."""
  parts = {
    'model': network.model_arguments,
    'preprocessing': description.pixels(
      network.preprocessing, network.eval_crop
    ),
  }
  return run.Run(
    model=models.create_model(**network.model_arguments),
    variables=network.variables,
    preprocessing=network.preprocessing,
    eval_crop=network.eval_crop,
    labels=network.labels,
    weights='raw',
    step=0,
    digest=run.digest_of(
      json.loads(json_files.dumps(parts)), network.variables
    ),
  )
