"""The predictions of several runs for every image of a set."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from absl import logging
from etils import epath
import ml_collections

from inception_jax.data import crops_144, device
from inception_jax.data import dataset as dataset_lib
from inception_jax.ensemble import together as ensemble
from inception_jax.evaluation import answering, crop_views
from inception_jax.evaluation import answers as answers_lib
from inception_jax.evaluation import protocol as protocol_lib
from inception_jax.experiment import config as config_lib
from inception_jax.experiment import field_table, fields
from inception_jax.runs import run
from inception_jax.runtime import agreement, cluster, errors, words
from inception_jax.training import step as step_lib


@dataclasses.dataclass(frozen=True)
class SetPredictions:
  """Runs with their predictions for every image of a set.

  Attributes:
    ensemble: of the runs; None on other processes than the main one.
    dataset: the pictures, cut as the first run wants them.
    runs: the runs, without their weights.
    folds: see `out_of_fold`; 0 where each run predicts for itself.
  """

  ensemble: ensemble.Ensemble | None
  dataset: dataset_lib.Dataset
  runs: tuple[run.Run, ...]
  folds: int = 0


def predict_set(
  workdirs: Sequence[epath.Path],
  protocol: protocol_lib.Protocol,
  weights: str | None = None,
  config: ml_collections.ConfigDict | Mapping[str, Any] | None = None,
  answers: epath.PathLike | None = None,
) -> SetPredictions:
  """Has runs answer to every picture that they have not answered to yet.

  Args:
    workdirs: run directories, trained or imported.
    protocol: which crops.
    weights: see `runs.run.load_run`.
    config: whose `data` and `train.eval_batch_size` say what to evaluate on;
      None is that of the runs, if they have the same. The size of the crop is
      always each run's, and so is its kind unless the config names one.
    answers: folder to keep the answers in; None is `answers` in each run.

  Raises:
    InputError: if a run, the protocol or the data cannot be used.
    TrainingError: if the answers cannot be written.
  """
  is_own = config is None
  if is_own:
    stored = run.read_config(workdirs[0])
    # Each has its own.
    stored['data'] = {**(stored.get('data') or {}), 'eval_crop': None}
    check_same_data(workdirs)
  else:
    stored = config_lib.sections(config)
  eval_batch_size = _read_eval_batch_size(stored)
  loaded = _load_runs(workdirs, weights)
  datasets = [
    _open_dataset(stored['data'], *pair, protocol, is_own)
    for pair in zip(loaded, workdirs, strict=True)
  ]
  agreement.agree('', _shared(stored['data'], eval_batch_size))
  agreement.agree('data', [dataset.identity for dataset in datasets])
  class_names = datasets[0].class_names
  for run_, workdir in zip(loaded, workdirs, strict=True):
    _check_classes(run_, workdir, class_names, stored['data']['name'])
  fingerprint = ''
  if cluster.is_main_process():  # Once: all are asked about the same records.
    fingerprint = datasets[0].eval.fingerprint()
  members = []
  for number, workdir in enumerate(workdirs):
    kept = epath.Path(answers or workdir / 'answers')
    found = _answer(
      loaded[number],
      datasets[number],
      fingerprint,
      eval_batch_size,
      kept,
      str(workdir),
    )
    members.append(ensemble.Member(str(workdir), loaded[number].labels, found))
    loaded[number] = dataclasses.replace(loaded[number], variables={})
  return SetPredictions(
    ensemble.Ensemble(members, class_names)
    if cluster.is_main_process()
    else None,
    datasets[0],
    tuple(loaded),
  )


def check_same_data(workdirs: Sequence[epath.Path]) -> None:
  """Raises InputError if the runs' own configs evaluate on different sets."""
  named = []
  for workdir in workdirs:
    data = run.read_config(workdir).get('data') or {}
    split = data.get('eval_split') or dataset_lib.EVAL_SPLIT
    named.append((data.get('name'), split))
  for workdir, name in zip(workdirs[1:], named[1:], strict=True):
    if name != named[0]:
      raise errors.InputError(
        f'{workdirs[0]} is evaluated on {_shown(named[0])} and {workdir} on'
        f' {_shown(name)}; give a --config that says what to evaluate on'
      )


def _shown(data: tuple[str | None, str]) -> str:
  return '{!r}, split {!r}'.format(*data)


def _load_runs(
  workdirs: Sequence[epath.Path], weights: str | None
) -> list[run.Run]:
  """The runs, on all processes at the steps that the main one has found."""
  agreement.agree('number of runs', len(workdirs))
  # At the same time: Orbax waits for all.
  loaded = [run.load_run(workdir, weights) for workdir in workdirs]
  steps, *others = agreement.exchange([x.step for x in loaded])
  if any(found != steps for found in others):  # A run is being trained.
    loaded = [
      run.load_run(workdir, weights, step)
      for workdir, step in zip(workdirs, steps, strict=True)
    ]
  agreement.agree('network in --workdir', [x.digest for x in loaded])
  _warn_of_twins(workdirs, [x.digest for x in loaded])
  return loaded


def _warn_of_twins(
  workdirs: Sequence[epath.Path], digests: Sequence[str]
) -> None:
  """Warns of one network in several runs, which counts as several."""
  places = dict(zip(digests, workdirs, strict=True))
  for digest, workdir in zip(digests, workdirs, strict=True):
    if places[digest] != workdir:
      logging.warning(
        '%s and %s are the same network, which counts twice where several are'
        ' evaluated together; leave one out',
        workdir,
        places[digest],
      )


def _shared(data: Mapping[str, Any], eval_batch_size: int) -> dict[str, Any]:
  """What of a config all processes must have alike."""
  found = {f'config.data.{name}': x for name, x in data.items()}
  for name in dataset_lib.OF_HOSTS:
    found.pop(f'config.data.{name}', None)
  return {**found, 'config.train.eval_batch_size': eval_batch_size}


def _read_eval_batch_size(config: Mapping[str, Any]) -> int:
  train = config.get('train')
  size = train.get('eval_batch_size') if isinstance(train, dict) else None
  try:
    field_table.find('train', 'eval_batch_size').check(size)
  except errors.InputError as error:
    raise errors.InputError(f'{error}; give a --config that has it') from error
  return size


def _check_classes(
  loaded: run.Run,
  workdir: epath.Path,
  class_names: Sequence[str],
  name: str,
) -> None:
  try:
    loaded.labels.outputs_of(class_names)
  except ValueError as error:
    raise errors.InputError(
      f'{workdir} cannot be evaluated on {name!r}: {error}'
    ) from error


def _answer(
  loaded: run.Run,
  dataset: dataset_lib.Dataset,
  fingerprint: str,
  eval_batch_size: int,
  folder: epath.Path,
  name: str,
) -> answers_lib.Answers | None:
  """Completes the answers of one run."""
  crop = dataset.eval_crop
  batch_size = eval_batch_size
  if isinstance(crop, crops_144.MultiCrop):
    # A square's crops of some images at a time, in all what one crop has.
    batch_size = -(-eval_batch_size // crop.crops_a_square)
  batch_size = device.divisible(batch_size)
  found = None
  if cluster.is_main_process():
    found = _open_answers(loaded, dataset, fingerprint, batch_size, folder)
  views_fn = crop_views.create_views_fn(
    loaded.model, loaded.preprocessing, crop
  )
  slots = cluster.local_slots(batch_size)
  answering.complete(
    found,
    step_lib.parallelize_answer_step(views_fn),
    device.replicate(loaded.variables),
    lambda start, stop: dataset.eval_batches(
      batch_size=batch_size, slots=slots, start=start, stop=stop
    ),
    name,
  )
  return found


def _open_answers(
  loaded: run.Run,
  dataset: dataset_lib.Dataset,
  fingerprint: str,
  batch_size: int,
  folder: epath.Path,
) -> answers_lib.Answers:
  """The answers of one run, new or begun; or those to more crops, if whole."""

  def place_of(crop):
    identity = {
      'network': loaded.digest,
      'crop': [type(crop).__name__, dataclasses.asdict(crop)],
      'data': fingerprint,
    }
    return folder / answers_lib.digest(identity), identity

  def open_(crop):
    return answers_lib.Answers(
      *place_of(crop),
      views=crop_views.views(crop),
      num_images=len(dataset.eval),
      num_outputs=loaded.model.num_classes,
      batch_size=batch_size,
    )

  crop = dataset.eval_crop
  if isinstance(crop, crops_144.MultiCrop):
    nested = crops_144.protocol('multi_crop_144', crop.size).nested()
    larger = nested[nested.index(crop) + 1 :] if crop in nested else ()
    for other in larger:
      if not (place_of(other)[0] / 'answers.json').exists():
        continue
      found = open_(other)
      if not found.missing():
        return found.first(len(crop_views.views(crop)))
  return open_(crop)


def _open_dataset(
  data: Mapping[str, Any],
  loaded: run.Run,
  workdir: epath.Path,
  protocol: protocol_lib.Protocol,
  is_own: bool,
) -> dataset_lib.Dataset:
  """What to evaluate on, cut for a run; `is_own` is whether its config says."""
  data = {**data, 'image_size': loaded.eval_crop.size}
  if data.get('eval_crop') is None:
    data['eval_crop'] = loaded.eval_crop.name
  if data.get('name') is None:
    raise errors.InputError(
      f'{workdir} does not say what to evaluate on; give the --config of a'
      ' dataset with its classes, such as --config=googlenet_imagenet'
    )
  try:
    dataset = fields.call_with_section(dataset_lib.open_dataset, 'data', data)
  except errors.InputError as error:
    if not is_own:
      raise
    raise errors.InputError(
      f'{error} (to evaluate {workdir} on data that lie elsewhere, add'
      ' --config=FILE, the config that it was trained with, and'
      ' --config.data.data_dir=FOLDER)'
    ) from error
  if protocol.name == 'single':
    return dataset
  if data['name'] == dataset_lib.FAKE:
    raise errors.InputError(
      f'--protocol={protocol.name} needs pictures; noise has one crop only'
    )
  return dataclasses.replace(
    dataset, eval_crop=protocol.crop(loaded.eval_crop.size)
  )


def check_count(
  predictions: SetPredictions, counted: int, skipped: int
) -> None:
  """Checks that every picture was counted, or skipped, once.

  Raises:
    RuntimeError: if not.
    InputError: if some were skipped, in an earlier evaluation, and now may not.
  """
  num_images = predictions.ensemble.num_images
  if not counted or counted + skipped != num_images:
    raise RuntimeError(
      f'evaluation counted {words.count(counted, "image")} and skipped'
      f' {skipped} where there are {num_images}'
    )
  if skipped and predictions.dataset.on_bad_image == 'fail':
    raise errors.InputError(
      f'{skipped} of {words.count(num_images, "image")} cannot be decoded;'
      " prepare the dataset again without them, or set data.on_bad_image='skip'"
    )
