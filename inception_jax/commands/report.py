"""The report command: the paper's Tables 2 and 3 for runs of one's own."""

from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging
from etils import epath
import ml_collections
import numpy as np

from inception_jax.data import dataset as dataset_lib
from inception_jax.ensemble import folder as ensemble_folder
from inception_jax.ensemble import out_of_fold
from inception_jax.ensemble import predictions as predictions_lib
from inception_jax.evaluation import protocol as protocol_lib
from inception_jax.evaluation import scores
from inception_jax.report import comparison, figures, text
from inception_jax.report import contents as contents_lib
from inception_jax.runtime import agreement, errors, json_files, log, own_files
from inception_jax.visualisation import confusions, drawn_names, plots

_FILES = (
  *('report.json', 'report.md', 'table_2.csv', 'table_3.csv'),
  *('classes.csv', 'confusions.csv', 'error_against_cost.png'),
  *('reliability.png', 'confusion.png', 'classes.png', 'mistakes.png'),
)
# Of the title of an image on a contact sheet, in characters.
_TITLE_WIDTH = 18


def report(
  workdir: epath.PathLike,
  protocol: protocol_lib.Protocol,
  output: epath.PathLike | None = None,
  weights: str | None = None,
  config: ml_collections.ConfigDict | Mapping[str, Any] | None = None,
  answers: epath.PathLike | None = None,
  folds: int | None = None,
) -> dict[str, Any]:
  """Evaluates runs and writes what is to be said of it.

  `report.md` and `report.json`; `table_3.csv`, error against cost as the paper
  prints it, and `error_against_cost.png`; `table_2.csv`, where the task is the
  paper's; accuracy of each class, `classes.csv`
  and `classes.png`; `confusions.csv` and `confusion.png`; `reliability.png`;
  and `mistakes.png`.

  Args:
    workdir: see `ensemble.folder.list_runs`.
    protocol: which crops; its aggregation is that of the details.
    output: folder; None is `report` in the run or, of several, in the folder
      that holds the first.
    weights: see `ensemble.predictions.predict_set`.
    config: likewise.
    answers: likewise.
    folds: see `ensemble.out_of_fold.predict_set`.

  Returns:
    `output, members, protocol, folds, num_images, table_3, by_size,
    aggregations, calibration`, and `table_2` where the task is the paper's.

  Raises:
    InputError: if a run, the protocol or the data cannot be used.
    TrainingError: if the report cannot be written.
  """
  workdirs = ensemble_folder.list_runs(workdir)
  default = workdirs[0] if len(workdirs) == 1 else workdirs[0].parent
  folder = epath.Path(output or default / 'report')
  own_files.OwnFiles(folder, '--output').check(_FILES)
  workdirs = ensemble_folder.used(workdirs, weights)
  predictions = out_of_fold.predict_set(
    workdirs, protocol, weights, config, answers, folds
  )
  found = None
  if predictions.ensemble is not None:
    try:
      folder.mkdir(parents=True, exist_ok=True)
      found = _write(folder, predictions, protocol)
    except OSError as error:
      raise errors.cannot_write(
        f'--output={folder}', error, 'give another folder'
      ) from error
  return agreement.broadcast(found)


def _write(
  folder: epath.Path,
  predictions: predictions_lib.SetPredictions,
  protocol: protocol_lib.Protocol,
) -> dict[str, Any]:
  """Writes all files of the report; returns the result of the command."""
  contents = contents_lib.compile_contents(predictions, protocol)
  output = {'output': str(folder)}
  files = {
    'report.json': json_files.to_text({**output, **contents.everything}),
    **_texts(contents, predictions),
    **_figures(contents, predictions),
  }
  own_files.OwnFiles(folder, '--output').write(
    {
      name: x.encode(errors='backslashreplace') if isinstance(x, str) else x
      for name, x in files.items()
      if x is not None
    },
    removes=[name for name, x in files.items() if x is None],
  )
  log.print_result(
    text.to_markdown(contents.everything, contents.is_paper_task)
  )
  logging.info('the report is in %s', folder)
  return {**output, **contents.result}


def _texts(
  contents: contents_lib.Contents, predictions: predictions_lib.SetPredictions
) -> dict[str, str | None]:
  """Tables and Markdown, by name; None for those that this report has not."""
  labels = predictions.ensemble.labels
  confusions = contents.details.confusions
  return {
    'table_3.csv': text.table_3_to_csv(contents.result['table_3']),
    'table_2.csv': text.table_2_to_csv(contents.result),
    'classes.csv': text.classes_to_csv(confusions, labels),
    'confusions.csv': text.confusions_to_csv(confusions, labels),
    'report.md': text.to_markdown(contents.everything, contents.is_paper_task),
  }


def _figures(
  contents: contents_lib.Contents, predictions: predictions_lib.SetPredictions
) -> dict[str, bytes | None]:
  """As `_texts`, of figures."""
  details = contents.details
  names = [label.name for label in predictions.ensemble.labels.labels]
  found = {
    'error_against_cost': figures.error_against_cost(
      contents.rows,
      contents.is_paper_task,
      comparison.kinds_of_errors(contents.result['num_classes']),
    ),
    'reliability': figures.reliability(details.calibration),
    'confusion': confusions.matrix(details.confusions.matrix, names),
    'classes': figures.class_accuracy(details.confusions, names),
    'mistakes': _mistakes_figure(predictions, details.mistakes, names),
  }
  return {
    f'{name}.png': None if figure is None else plots.to_png(figure)
    for name, figure in found.items()
  }


def _mistakes_figure(
  predictions: predictions_lib.SetPredictions,
  mistakes: Sequence[scores.Mistake],
  names: Sequence[str],
):
  """Contact sheet of the worst; None if there are none, or of noise."""
  if not mistakes:
    return None
  images = dataset_lib.eval_images(
    predictions.dataset,
    np.array([mistake.index for mistake in mistakes]),
    predictions.runs[0].eval_crop,
  )
  if images is None:
    return None
  short = drawn_names.distinct(names, _TITLE_WIDTH)
  titles = [
    f'{short[x.label]}\n→ {short[x.prediction]} {x.confidence:.0%}'
    for x in mistakes
  ]
  return plots.image_grid(images, titles)
