"""The predict mode: pictures to the classes a network sees in them."""

from collections.abc import Callable, Iterator, Sequence
import csv
import functools
import glob
import io
import os
from typing import Any, NamedTuple

from etils import epath
import jax
import numpy as np

from inception_jax.data import ahead, crop_rules
from inception_jax.runs import run
from inception_jax.runtime import errors, json_files, optional, progress
from inception_jax.visualisation import plots

_TOP_K = 5
_BATCH_SIZE = 32
# A sheet of more pictures could not be read.
_MAX_ON_SHEET = 64
_ENDINGS = ('.json', '.csv', '.png')
# No photograph has more.
_MAX_BYTES = 2**30


class Pictures(NamedTuple):
  """Some pictures, cut as the network wants them.

  Attributes:
    files: names of those that could be read.
    images: uint8 `[len(files), size, size, 3]`.
    failed: `{file, reason}` of the others.
  """

  files: list[str]
  images: np.ndarray
  failed: list[dict[str, str]]


def predict(
  workdir: epath.PathLike,
  files: Sequence[str],
  *,
  weights: str | None = None,
  output: epath.PathLike | None = None,
  top_k: int | None = None,
) -> dict[str, Any]:
  """Classifies pictures and prints a table.

  Args:
    workdir: run directory, trained or imported; preprocessing and labels are
      its own.
    files: pictures, folders of them (searched to the bottom) and patterns.
    weights: see `run.load_run`.
    output: file to write as well: `.json`, `.csv`, or `.png`, a contact sheet
      of the first 64 pictures.
    top_k: classes of each picture, the most probable first; None is 5, or all
      where there are fewer.

  Returns:
    `predictions: [{file, top: [{index, synset, name, probability}]}]` in the
    order of `list_files`, and `failed: [{file, reason}]`.

  Raises:
    InputError: if something given cannot be used; a picture that cannot be read
      is no error but one of `failed`.
  """
  output = None if output is None else epath.Path(output)
  _check_output(output)
  loaded = run.load_run(workdir, weights)
  if top_k is None:
    top_k = min(_TOP_K, len(loaded.labels))
  if not 1 <= top_k <= len(loaded.labels):
    raise errors.InputError(
      f'--top_k={top_k} must be from 1 to the {len(loaded.labels)} outputs of'
      ' the network'
    )
  paths = list_files(files)
  classify = create_classify_fn(loaded, top_k)
  predictions, failed, sheet = [], [], []
  batch_size = min(_BATCH_SIZE, len(paths))
  with progress.progress_bar(
    desc='predict', total=len(paths), unit='img'
  ) as bar:
    for batch in read_pictures(paths, loaded.eval_crop, batch_size):
      tops = classify(_padded(batch.images, batch_size))
      predictions += [
        {'file': file, 'top': top}
        for file, top in zip(batch.files, tops, strict=False)
      ]
      failed += batch.failed
      if output is not None and output.suffix == '.png':
        sheet += list(batch.images[: _MAX_ON_SHEET - len(sheet)])
      bar.update(len(batch.files) + len(batch.failed))
  result = {'predictions': predictions, 'failed': failed}
  print(to_text(result))
  if output is not None:
    _write(output, result, sheet)
  return result


def list_files(files: Sequence[str]) -> list[str]:
  """The files that names, folders and patterns stand for, each once, in order.

  Of folders, all files however deep, sorted, without hidden ones. What stands
  for nothing is kept as it is, so that reading it says so.
  """
  found = []
  for name in files:
    path = epath.Path(name).expanduser()
    try:
      found += _files_of(name, path) or [str(path)]
    except Exception:  # Of remote folders, of several kinds.
      found.append(str(path))
  return list(dict.fromkeys(found))


def _files_of(name: str, path: epath.Path) -> list[str]:
  matches = [str(path)]
  if not path.exists() and glob.has_magic(name):
    matches = sorted(glob.glob(os.path.expanduser(name), recursive=True))
  found, seen = [], set()
  for match in matches:
    if epath.Path(match).is_dir():
      found += _files_below(epath.Path(match), seen)
    else:
      found.append(match)
  return found


def _files_below(folder: epath.Path, seen: set[str]) -> list[str]:
  # Links may lead back up.
  place = str(folder)
  if '://' not in place:
    place = os.path.realpath(place)
  if place in seen:
    return []
  seen.add(place)
  found = []
  for path in sorted(folder.iterdir()):
    if path.name.startswith('.'):
      continue
    found += _files_below(path, seen) if path.is_dir() else [str(path)]
  return found


def read_pictures(
  paths: Sequence[str], crop: crop_rules.EvaluationCrop, batch_size: int
) -> Iterator[Pictures]:
  """Reads, decodes and cuts pictures, some batches ahead of their use.

  Args:
    paths: of the pictures.
    crop: how they are cut.
    batch_size: pictures at a time.

  Yields:
    Up to `batch_size` pictures, in order.

  Raises:
    InputError: if TensorFlow, which decodes, is missing.
  """
  # TensorFlow, only if needed.
  package, purpose = 'inception_jax.data', 'decoding pictures'
  image_file = optional.import_package(f'{package}.image_file', purpose, 'data')
  pipeline = optional.import_package(f'{package}.pipeline', purpose, 'data')
  pipeline.hide_accelerators()
  num_threads = ahead.num_cores()
  with image_file.patient_pillow():
    parts = [
      paths[i : i + batch_size] for i in range(0, len(paths), batch_size)
    ]
    yield from ahead.map_ahead(
      functools.partial(_read_batch, crop, num_threads),
      parts,
      num_threads=min(2, num_threads),
      num_ahead=2,
    )


def _read_batch(
  crop: crop_rules.EvaluationCrop, num_threads: int, paths: Sequence[str]
) -> Pictures:
  import tensorflow as tf

  from inception_jax.data import batch_decoding, image_file

  files, encoded, failed = [], [], []
  for path in paths:
    try:
      encoded.append(image_file.encode(_read_bytes(path)))
      files.append(path)
    except image_file.UnreadableError as error:
      failed.append({'file': path, 'reason': str(error)})
  if not files:
    size = crop.size
    return Pictures([], np.zeros((0, size, size, 3), np.uint8), failed)
  none = np.zeros((len(files), 1), np.float32)  # Nothing is random here.
  images, bad = batch_decoding.decode_batch(
    tf.constant(encoded), none, crop, num_threads
  )
  failed += [
    {'file': file, 'reason': 'it cannot be decoded'}
    for file, is_bad in zip(files, bad, strict=True)
    if is_bad
  ]
  good = [file for file, is_bad in zip(files, bad, strict=True) if not is_bad]
  return Pictures(good, images[~bad], failed)


def _read_bytes(name: str) -> bytes:
  from inception_jax.data import image_file

  path = epath.Path(name)
  try:
    if path.is_dir():
      raise image_file.UnreadableError('the folder holds no files')
    # `epath` takes pipes and devices for files.
    if os.path.exists(name) and not os.path.isfile(name):
      raise image_file.UnreadableError('it is no regular file')
    if path.exists() and path.stat().length > _MAX_BYTES:
      raise image_file.UnreadableError(f'it has more than {_MAX_BYTES:,} bytes')
    return path.read_bytes()
  except image_file.UnreadableError:
    raise
  except FileNotFoundError as error:
    raise image_file.UnreadableError('there is no such file') from error
  except Exception as error:  # Of remote files, of several kinds.
    reason = getattr(error, 'strerror', None) or errors.first_line(error)
    raise image_file.UnreadableError(reason) from error


def create_classify_fn(
  loaded: run.Run, top_k: int
) -> Callable[[np.ndarray], list[list[dict[str, Any]]]]:
  """From uint8 images `[n, size, size, 3]` to the `top` of each."""
  variables = jax.device_put(loaded.variables)

  @jax.jit
  def best(variables, images):
    logits, _ = loaded.model.apply(variables, loaded.preprocessing(images))
    return jax.lax.top_k(jax.nn.softmax(logits), top_k)

  entries = loaded.labels.to_json()

  def classify(images):
    probabilities, outputs = jax.device_get(best(variables, images))
    if not np.isfinite(probabilities).all():
      raise errors.InputError(
        'the network gives probabilities that are not finite; give other'
        ' --weights, or train or import it again'
      )
    return [
      [
        {**entries[output], 'probability': float(probability)}
        for output, probability in zip(*row, strict=True)
      ]
      for row in zip(outputs, probabilities, strict=True)
    ]

  return classify


def _padded(images: np.ndarray, batch_size: int) -> np.ndarray:
  """With black images at the end, so that there is one shape to compile."""
  pads = [(0, batch_size - len(images)), *[(0, 0)] * (images.ndim - 1)]
  return np.pad(images, pads)


def to_text(result: dict[str, Any]) -> str:
  """The predictions as a table for people."""
  lines = []
  for prediction in result['predictions']:
    lines.append(shown(prediction['file']))
    lines += [
      f'  {100 * x["probability"]:5.1f} %  {x["synset"] or "":9}  {x["name"]}'
      for x in prediction['top']
    ]
  lines += [
    f'{shown(x["file"])}: not read, {x["reason"]}' for x in result['failed']
  ]
  return '\n'.join(lines)


def shown(name: str) -> str:
  """A file's name on one line, whatever characters and bytes are in it."""
  return ''.join(
    x if x.isprintable() else x.encode('unicode_escape').decode() for x in name
  )


def to_csv(result: dict[str, Any]) -> str:
  """A line a class of each picture, and one a file that could not be read."""
  text = io.StringIO()
  names = ('file', 'rank', 'index', 'synset', 'name', 'probability', 'error')
  writer = csv.DictWriter(text, names, lineterminator='\n')
  writer.writeheader()
  for prediction in result['predictions']:
    for rank, entry in enumerate(prediction['top'], 1):
      file = shown(prediction['file'])
      writer.writerow({'file': file, 'rank': rank, **entry})
  for entry in result['failed']:
    writer.writerow({'file': shown(entry['file']), 'error': entry['reason']})
  return text.getvalue()


def _check_output(output: epath.Path | None) -> None:
  if output is None:
    return
  if output.suffix not in _ENDINGS or output.is_dir():
    raise errors.InputError(
      f'--output={output} must name a file that ends in {", ".join(_ENDINGS)}'
    )
  if not output.parent.is_dir():
    raise errors.InputError(f'the folder of --output={output} does not exist')


def _write(
  output: epath.Path, result: dict[str, Any], sheet: list[np.ndarray]
) -> None:
  if output.suffix == '.json':
    json_files.write_json(output, result)
  elif output.suffix == '.csv':
    json_files.write_atomically(output, to_csv(result))
  elif sheet:
    titles = [
      f'{_shortened(x["top"][0]["name"])}\n{x["top"][0]["probability"]:.1%}'
      for x in result['predictions']
    ]
    figure = plots.image_grid(sheet, titles, columns=min(8, len(sheet)))
    try:
      plots.save_figure(figure, output)
    except OSError as error:
      raise errors.cannot_write(
        f'--output={output}', error, 'give another file'
      ) from error


def _shortened(name: str) -> str:
  name = name.split(', ')[0]
  return name if len(name) <= 18 else name[:17] + '…'
