"""The predict command: pictures to the classes a network sees in them."""

from collections.abc import Sequence
import csv
import io
from typing import Any

from etils import epath
import numpy as np

from inception_jax.data import pictures
from inception_jax.runs import run
from inception_jax.runtime import (
  errors,
  json_files,
  log,
  own_files,
  paths,
  progress,
  words,
)
from inception_jax.visualisation import drawn_names, plots

_TOP_K = 5
_BATCH_SIZE = 32
# A sheet of more pictures could not be read.
_MAX_ON_SHEET = 64
_TITLE_WIDTH = 18
_ENDINGS = ('.json', '.csv', '.png')


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
    weights: see `runs.run.load_run`.
    output: file to write as well: `.json`, `.csv`, or `.png`, a contact sheet
      of the first 64 pictures.
    top_k: classes of each picture, the most probable first; None is 5, or all
      where there are fewer.

  Returns:
    `predictions: [{file, top: [{index, synset, name, probability}]}]` in the
    order of `pictures.list_files`, and `failed: [{file, reason}]`.

  Raises:
    InputError: if something given cannot be used; a picture that cannot be read
      is no error but one of `failed`.
  """
  if output is not None:
    output = epath.Path(paths.expand(output, '--output'))
  _check_output(output)
  listed = pictures.list_files(files)  # Before the network, which takes longer.
  loaded = run.load_run(workdir, weights)
  if top_k is None:
    top_k = min(_TOP_K, len(loaded.labels))
  if not 1 <= top_k <= len(loaded.labels):
    raise errors.InputError(
      f'--top_k={top_k} must be from 1 to the'
      f' {words.count(len(loaded.labels), "output")} of the network'
    )
  predictions, failed, sheet = [], [], []
  batch_size = min(_BATCH_SIZE, len(listed))
  with progress.progress_bar(
    desc='predict', total=len(listed), unit='img'
  ) as bar:
    for batch in pictures.read_pictures(listed, loaded.eval_crop, batch_size):
      tops = loaded.inference.classify(_padded(batch.images, batch_size), top_k)
      predictions += [
        {'file': file, 'top': top}
        for file, top in zip(batch.files, tops, strict=False)
      ]
      failed += batch.failed
      if output is not None and output.suffix == '.png':
        sheet += list(batch.images[: _MAX_ON_SHEET - len(sheet)])
      bar.update(len(batch.files) + len(batch.failed))
  result = {'predictions': predictions, 'failed': failed}
  log.print_result(to_text(result))
  if output is not None:
    names = [label.name for label in loaded.labels.labels]
    _write(output, result, sheet, names)
  return result


def _padded(images: np.ndarray, batch_size: int) -> np.ndarray:
  """With black images at the end, so that there is one shape to compile."""
  pads = [(0, batch_size - len(images)), *[(0, 0)] * (images.ndim - 1)]
  return np.pad(images, pads)


def to_text(result: dict[str, Any]) -> str:
  """The predictions as a table for people."""
  lines = []
  for prediction in result['predictions']:
    lines.append(errors.on_one_line(prediction['file']))
    lines += [
      f'  {100 * x["probability"]:5.1f} %  {x["synset"] or "":9} '
      f' {errors.on_one_line(x["name"])}'
      for x in prediction['top']
    ]
  lines += [
    f'{errors.on_one_line(x["file"])}: not read, {x["reason"]}'
    for x in result['failed']
  ]
  return '\n'.join(lines)


def to_csv(result: dict[str, Any]) -> str:
  """A line a class of each picture, and one a file that could not be read."""
  text = io.StringIO()
  names = ('file', 'rank', 'index', 'synset', 'name', 'probability', 'error')
  writer = csv.DictWriter(text, names, lineterminator='\n')
  writer.writeheader()
  for prediction in result['predictions']:
    for rank, entry in enumerate(prediction['top'], 1):
      file = errors.on_one_line(prediction['file'])
      writer.writerow({'file': file, 'rank': rank, **entry})
  for entry in result['failed']:
    writer.writerow(
      {'file': errors.on_one_line(entry['file']), 'error': entry['reason']}
    )
  return text.getvalue()


def _check_output(output: epath.Path | None) -> None:
  if output is None:
    return
  if output.suffix not in _ENDINGS or output.is_dir():
    raise errors.InputError(
      f'--output={output} must name a file that ends in'
      f' {words.join(_ENDINGS, "or")}'
    )
  if not output.parent.is_dir():
    raise errors.InputError(f'the folder of --output={output} does not exist')
  own_files.check(output, '--output')


def _write(
  output: epath.Path,
  result: dict[str, Any],
  sheet: list[np.ndarray],
  names: Sequence[str],
) -> None:
  if output.suffix == '.json':
    contents = json_files.to_text(result)
  elif output.suffix == '.csv':
    contents = to_csv(result)
  elif sheet:
    short = drawn_names.distinct(names, _TITLE_WIDTH)
    best = [x['top'][0] for x in result['predictions']]
    titles = [f'{short[x["index"]]}\n{x["probability"]:.1%}' for x in best]
    figure = plots.image_grid(sheet, titles, columns=min(8, len(sheet)))
    contents = plots.to_png(figure)
  else:
    return
  try:
    own_files.write(output, '--output', contents)
  except OSError as error:
    raise errors.cannot_write(
      f'--output={output}', error, 'give another file'
    ) from error
