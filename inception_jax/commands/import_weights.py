"""The import command: a file of weights to a run directory."""

from collections.abc import Mapping
import dataclasses
import importlib
from typing import Any

from absl import logging
from etils import epath
import jax

from inception_jax.data import labels
from inception_jax.runs import checkpoint, foreign_files
from inception_jax.runs import directory as directory_lib
from inception_jax.runtime import (
  durable,
  errors,
  json_files,
  locks,
  paths,
  text_files,
  words,
)
from inception_jax.weights import download as download_lib
from inception_jax.weights import imported, pixel_values, pretrained

# Source and the module that reads it; imported when used, since some need
# packages that others do not.
SOURCES = {
  'google': 'google',
  'caffe': 'caffe',
  'torchvision': 'torchvision',
  'tf_slim': 'tf_slim',
  'safetensors': 'safetensors_file',
}
_EVAL_BATCH_SIZE = 50


def import_weights(
  source: str,
  workdir: epath.PathLike,
  *,
  path: epath.PathLike | None = None,
  label_file: epath.PathLike | None = None,
  download: bool = False,
  weights: str | None = None,
  preprocessing: str | None = None,
) -> dict[str, Any]:
  """Makes a run directory of weights that were trained elsewhere.

  Args:
    source: one of `SOURCES`.
    workdir: the run directory; must not exist, or be empty.
    path: the file; with `download`, where to put it.
    label_file: names the outputs, a line each; of `google` with the released
      file's names, of the others a class or a synset and its name.
    download: fetch the published file.
    weights: of `tf_slim` and `torchvision`: 'raw' or 'ema', of the latter also
      the name that a file keeps them under; None is the moving averages where
      they exist.
    preprocessing: what the network takes for pixels, see
      `weights.pixel_values`; None is what the published one takes.

  Returns:
    `workdir, profile, num_params, missing, unused, sha256, labels`.

  Raises:
    InputError: if something given cannot be used; nothing is left then.
    TrainingError: if the weights cannot be written.
  """
  if source not in SOURCES:
    raise errors.InputError(
      f'--source must be one of {words.join(SOURCES, "or")}, not'
      f' {source!r}{errors.suggestion(source, SOURCES)}'
    )
  workdir = _place(workdir)
  if path is not None:
    path = paths.expand(path, '--input')
  if label_file is not None:
    label_file = paths.expand(label_file, '--labels')
  network = _read(source, path, label_file, download, weights)
  network = pixel_values.settle(network, source, preprocessing)
  card = _write(network, workdir, source)
  logging.info(
    'imported %s: %s parameters, model card in %s',
    card['profile'],
    f'{card["num_params"]:,}',
    workdir / 'card.json',
  )
  return {
    'workdir': str(workdir),
    'profile': card['profile'],
    'num_params': card['num_params'],
    'missing': list(network.missing),
    'unused': list(network.unused),
    'sha256': card.get('sha256'),
    'labels': card.get('labels'),
  }


def _place(workdir: epath.PathLike) -> epath.Path:
  """The run directory, where nothing is yet."""
  workdir = epath.Path(paths.expand(workdir, '--workdir'))
  paths.check_folder(workdir, '--workdir')
  if durable.is_local(workdir):
    workdir = workdir.resolve()
  _check_free(workdir)
  return workdir


def _check_free(workdir: epath.Path) -> None:
  if not workdir.exists():
    foreign_files.check_not_several(workdir)
    return
  if not workdir.is_dir():
    raise errors.InputError(
      f'--workdir={workdir} is a file; give the name of a folder'
    )
  if (workdir / 'config.json').exists():
    raise errors.InputError(
      f'--workdir={workdir} holds a run already; give another, or delete that'
      ' one to import again'
    )
  if first := min((x.name for x in workdir.iterdir()), default=None):
    raise errors.InputError(
      f'--workdir={workdir} holds other files (such as {first!r}); give a new'
      ' or empty folder'
    )


def _read(
  source: str,
  path: epath.PathLike | None,
  label_file: epath.PathLike | None,
  download: bool,
  weights: str | None,
) -> imported.ImportedNetwork:
  if weights is not None and source not in pretrained.HOLD_SEVERAL:
    raise errors.InputError(
      f'--weights is of no use with --source={source}, whose files hold one set'
      ' of weights; leave it out'
    )
  reader = importlib.import_module(f'inception_jax.weights.{SOURCES[source]}')
  release = getattr(reader, 'RELEASE', None)
  if label_file is not None and source == 'safetensors':
    raise errors.InputError(
      '--labels is of no use with --source=safetensors, whose files name their'
      ' outputs themselves; leave it out'
    )
  if download:
    if release is None:
      raise errors.InputError(
        f'there is nothing to --download for --source={source}; give --input'
      )
    path = download_lib.fetch(release, path)
  elif path is None:
    where = f', or --download to fetch {release.url}' if release else ''
    raise errors.InputError(
      f'--mode=import needs --input, the file to import{where}'
    )
  try:
    if label_file is not None and source == 'google':
      return reader.read(path, label_file)
    if weights is not None:
      network = reader.read(path, weights)
    else:
      network = reader.read(path)
  except errors.InputError as error:
    if not download:
      raise
    raise errors.InputError(
      f'{error}; if the download is at fault, delete {path} and run the same'
      ' command again'
    ) from error
  except Exception as error:  # Of remote files, of several kinds.
    remote = [x for x in (path, label_file) if x and not durable.is_local(x)]
    if not remote:
      raise
    raise errors.InputError(
      f'{remote[0]} cannot be read ({errors.first_line(error)}); copy it here'
      ' and give the copy'
    ) from error
  if label_file is None:
    return network
  return _with_labels(network, epath.Path(label_file))


def _with_labels(
  network: imported.ImportedNetwork, path: epath.Path
) -> imported.ImportedNetwork:
  """The network with its outputs named by a file."""
  try:
    label_map = labels.from_text(text_files.read(path), len(network.labels))
  except Exception as error:  # Of remote files, of several kinds.
    reason = getattr(error, 'strerror', None) or errors.first_line(error)
    raise errors.InputError(
      f'--labels={path} cannot be used ({reason}); give a text file with a line'
      ' for each output'
    ) from error
  card = {**network.card, 'labels': path.name}
  return dataclasses.replace(network, labels=label_map, card=card)


def _write(
  network: imported.ImportedNetwork, workdir: epath.Path, source: str
) -> dict[str, Any]:
  """Writes the run directory, whole or not at all; returns its card."""
  num_params = sum(
    leaf.size for leaf in jax.tree.leaves(network.variables['params'])
  )
  card = {
    'profile': network.model_arguments['name'],
    'imported_from': source,
    'num_params': num_params,
    'missing': list(network.missing),
    'unused': list(network.unused),
    **network.card,
  }
  partial = workdir.with_name(f'.{workdir.name}.partial')
  try:
    with locks.hold(
      partial.with_name(f'{partial.name}{locks.FILE}'),
      f'importing to {workdir}',
      'wait for it or give another --workdir',
    ):
      try:
        _write_partial(network, partial, card, source)
        _check_free(workdir)  # Others may have begun there.
        if workdir.exists():
          workdir.rmdir()
        durable.move_folder(partial, workdir)
      finally:
        if partial.exists():
          partial.rmtree()
  except OSError as error:
    raise errors.cannot_write(
      f'--workdir={workdir}', error, 'give another folder'
    ) from error
  return card


def _write_partial(
  network: imported.ImportedNetwork,
  partial: epath.Path,
  card: Mapping[str, Any],
  source: str,
) -> None:
  """Writes a run directory, which may be left in part."""
  if partial.exists():  # Of an import that was killed.
    partial.rmtree()
  partial.mkdir(parents=True)
  directory = directory_lib.RunDirectory(partial, _config(network, source))
  checkpoints = checkpoint.Checkpoints(partial / 'checkpoints')
  checkpoints.save(0, network.variables, {'step': 0})
  checkpoints.close()
  json_files.write_json(partial / 'card.json', card)
  directory.describe(
    network.model_arguments,
    network.preprocessing,
    network.eval_crop,
    network.labels,
  )


def _config(network: imported.ImportedNetwork, source: str) -> dict[str, Any]:
  """What `evaluate` needs to know; there is no training to describe."""
  is_imagenet = set(labels.imagenet_names()) <= set(network.labels.class_names)
  return {
    'imported_from': source,
    'model': {'name': network.model_arguments['name']},
    'data': {
      'name': 'imagenet2012' if is_imagenet else None,
      'image_size': network.eval_crop.size,
      'eval_crop': network.eval_crop.name,
    },
    'train': {'eval_batch_size': _EVAL_BATCH_SIZE},
  }
