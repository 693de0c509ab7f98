"""The run directory: everything that training leaves behind.

config.json          the resolved config
model.json           arguments of `models.create_model`
preprocessing.json   picture to pixels to network input
labels.json          what each output means: index, synset, name
checkpoints/STEP/    weights, optimizer, averages (see `checkpoint`)
metrics.jsonl        losses and accuracies; the same in every repetition
timing.jsonl         images a second; never the same
tensorboard/         the metrics as TensorBoard events
plots/               pictures of them
"""

from collections.abc import Iterator, Mapping
import dataclasses
import json
from typing import Any

from etils import epath
from flax import traverse_util
import jax
import numpy as np

from inception_jax import checkpoint, errors, models, preprocess
from inception_jax.data import crop_spec, labels

WEIGHTS = ('raw', 'ema', 'polyak')
# Where each kind of weights lies in a checkpoint.
_PREFIXES = {
  'raw': '',
  'ema': 'averages/ema/ema/variables/',
  'polyak': 'averages/polyak/mean/',
}
_EMA_WEIGHT = 'averages/ema/ema/weight'
_POLYAK_COUNT = 'averages/polyak/count'
# Fields that say where things are, how fast, or whether to stop at a bad image,
# not what is computed.
_FREE_FIELDS = frozenset(
  {'data.data_dir', 'data.num_threads', 'data.on_bad_image'}
)


@dataclasses.dataclass(frozen=True)
class Run:
  """A trained network and what is needed to use it.

  Attributes:
    model: Linen module; `logits, end_points = model.apply(variables, x)`.
    variables: host arrays, `{'params': ..., 'batch_stats': ...}`.
    preprocessing: from RGB pixels (0 to 255) to `x`.
    eval_crop: from a picture to these pixels.
    labels: what each output means.
    weights: which weights these are, 'raw', 'ema' or 'polyak'.
    step: number of updates they have seen.
  """

  model: models.GoogLeNet
  variables: dict[str, Any]
  preprocessing: preprocess.Preprocessing
  eval_crop: crop_spec.EvaluationCrop
  labels: labels.LabelMap
  weights: str
  step: int


def load_run(
  workdir: epath.PathLike, weights: str | None = None, step: int | None = None
) -> Run:
  """Loads a run directory.

  Args:
    workdir: made by training.
    weights: 'raw', 'ema' or 'polyak'; None is 'ema' where the run keeps it and
      else 'raw'.
    step: which checkpoint; None is the newest.

  Returns:
    The network, its weights, preprocessing and class names.

  Raises:
    InputError: if `workdir` is no run directory, or has no such weights.
  """
  workdir = epath.Path(workdir)
  read_config(workdir)  # Says so if this is no run directory.
  model = models.create_model(**_read_json(workdir / 'model.json'))
  checkpoints = checkpoint.Checkpoints(workdir / 'checkpoints', read_only=True)
  steps = checkpoints.steps()
  if not steps:
    raise errors.InputError(f'{workdir} has no checkpoint yet; train it first')
  if step is None:
    step = steps[-1]
  elif step not in steps:
    raise errors.InputError(
      f'{workdir} has no checkpoint {step}; it has {steps}'
    )
  arrays, _ = checkpoints.restore(step)
  checkpoints.close()
  if weights is None:
    weights = 'ema' if _EMA_WEIGHT in arrays else 'raw'
  preprocessing, eval_crop = read_preprocessing(workdir)
  return Run(
    model=model,
    variables=_select(arrays, weights, workdir),
    preprocessing=preprocessing,
    eval_crop=eval_crop,
    labels=read_labels(workdir),
    weights=weights,
    step=step,
  )


def _select(
  arrays: Mapping[str, np.ndarray], weights: str, workdir: epath.Path
) -> dict[str, Any]:
  """Variables of one kind out of a checkpoint's flat arrays."""
  if weights not in WEIGHTS:
    raise errors.InputError(
      f'weights must be one of {", ".join(WEIGHTS)}, not {weights!r}'
    )
  prefix = _PREFIXES[weights]
  flat = {
    name.removeprefix(prefix): value
    for name, value in arrays.items()
    if name.startswith((f'{prefix}params/', f'{prefix}batch_stats/'))
  }
  if not flat:
    raise errors.InputError(
      f'{workdir} keeps no {weights!r} weights; its config has them off'
    )
  if weights == 'ema':
    flat = {name: value / arrays[_EMA_WEIGHT] for name, value in flat.items()}
  if weights == 'polyak' and not arrays[_POLYAK_COUNT]:
    raise errors.InputError(
      f"the 'polyak' average of {workdir} has not begun at this checkpoint"
    )
  tree = traverse_util.unflatten_dict(flat, sep='/')
  return {'batch_stats': {}, **tree}


def read_config(workdir: epath.PathLike) -> dict[str, Any]:
  """The resolved config of a run.

  Raises:
    InputError: if `workdir` is no run directory.
  """
  workdir = epath.Path(workdir)
  if not (workdir / 'config.json').exists():
    raise errors.InputError(
      f'{workdir} is no run directory: it has no config.json; give the'
      ' --workdir of a run that was trained'
    )
  return _read_json(workdir / 'config.json')


def read_preprocessing(
  workdir: epath.PathLike,
) -> tuple[preprocess.Preprocessing, crop_spec.EvaluationCrop]:
  """How a run turns pictures into network input: pixels, and the crop."""
  path = epath.Path(workdir) / 'preprocessing.json'
  stored = _read_json(path)
  try:
    crop = crop_spec.EvaluationCrop(**stored.pop('crop'))
    return preprocess.Preprocessing(**_tuples(stored)), crop
  except (AttributeError, KeyError, TypeError) as error:
    raise _not_ours(path) from error


def read_labels(workdir: epath.PathLike) -> labels.LabelMap:
  """What the outputs of a run mean."""
  path = epath.Path(workdir) / 'labels.json'
  try:
    return labels.from_json(_read_json(path))
  except (KeyError, TypeError) as error:
    raise _not_ours(path) from error


def _not_ours(path: epath.Path) -> errors.InputError:
  return errors.InputError(
    f'{path} is not as this version writes it; train or import the run again'
  )


class RunDirectory:
  """Writes a run directory; `path` is its place.

  Args:
    workdir: new, empty, or of a run with the same config.
    config: resolved config, as JSON would hold it.

  Raises:
    InputError: if `workdir` belongs to another config or cannot be written.
  """

  def __init__(self, workdir: epath.PathLike, config: Mapping[str, Any]):
    self.path = epath.Path(workdir)
    self._config = json.loads(json.dumps(config))
    try:
      self._check_config()
      self.path.mkdir(parents=True, exist_ok=True)
      probe = self.path / f'.probe_{jax.process_index()}'
      probe.write_text('')
      probe.unlink()
    except OSError as error:
      raise errors.InputError(
        f'--workdir={self.path} cannot be written'
        f' ({error.strerror or error}); give another folder'
      ) from error

  def _check_config(self) -> None:
    # Looked at first: another process may be making both just now.
    has_checkpoints = (self.path / 'checkpoints').exists()
    if not (self.path / 'config.json').exists():
      if has_checkpoints:
        raise errors.InputError(
          f'{self.path} has checkpoints but no config.json; give another'
          ' --workdir'
        )
      return
    stored = traverse_util.flatten_dict(read_config(self.path), sep='.')
    wanted = traverse_util.flatten_dict(self._config, sep='.')
    absent = object()
    differing = [
      f'{name} is {_show(stored.get(name, absent), absent)} there,'
      f' {_show(wanted.get(name, absent), absent)} here'
      for name in sorted(stored.keys() | wanted.keys())
      if stored.get(name, absent) != wanted.get(name, absent)
      and name not in _FREE_FIELDS
    ]
    if differing:
      raise errors.InputError(
        f'{self.path} belongs to a different config:'
        f' {"; ".join(differing)}; give another --workdir or the same config'
      )

  def describe(
    self,
    model: Mapping[str, Any],
    preprocessing: preprocess.Preprocessing,
    eval_crop: crop_spec.EvaluationCrop,
    label_map: labels.LabelMap,
  ) -> None:
    """Writes what `load_run` needs beside the weights; config.json last."""
    pixels = dataclasses.asdict(preprocessing)
    for name, value in (
      ('model.json', model),
      ('preprocessing.json', {**pixels, 'crop': dataclasses.asdict(eval_crop)}),
      ('labels.json', label_map.to_json()),
      ('config.json', self._config),
    ):
      write_json(self.path / name, value)


class JsonLines:
  """A file of JSON lines, all of which stay in memory.

  New lines are appended to a local file; a remote one, which cannot be
  appended to, is replaced whole, and so is one whose lines were dropped. The
  half line that a kill can leave at the end is dropped when reading.

  Args:
    path: the file; read if it exists.

  Raises:
    InputError: if a line before the last cannot be read.
  """

  def __init__(self, path: epath.Path):
    self._path = path
    self._is_local = '://' not in str(path)
    self._lines: list[dict[str, Any]] = []
    self._num_written = 0  # Lines in the file; -1 if it must be replaced.
    if not path.exists():
      return
    texts = path.read_text().splitlines()
    for number, text in enumerate(texts, 1):
      try:
        self._lines.append(json.loads(text))
      except ValueError as error:
        if number < len(texts):
          raise errors.InputError(
            f'{path} is damaged in line {number} ({error}); delete it to go on'
            ' without it'
          ) from error
    self._num_written = -1

  def __iter__(self) -> Iterator[dict[str, Any]]:
    return iter(self._lines)

  def append(self, line: dict[str, Any]) -> None:
    """Adds a line; `flush` writes it."""
    self._lines.append(line)

  def drop_after(self, step: int) -> None:
    """Forgets the lines of later steps than `step`."""
    self._lines = [line for line in self._lines if line['step'] <= step]
    self._num_written = -1

  def flush(self) -> None:
    """Brings the file up to date.

    Raises:
      TrainingError: if it cannot be written.
    """
    appends = self._is_local and self._num_written >= 0
    new = self._lines[self._num_written :] if appends else self._lines
    text = ''.join(json.dumps(line) + '\n' for line in new)
    if appends:
      try:
        with self._path.open('a') as file:
          file.write(text)
      except OSError as error:
        self._num_written = -1  # Half of it may be there.
        raise _cannot_write(self._path, error) from error
    else:
      write_atomically(self._path, text)
    self._num_written = len(self._lines)


def write_json(path: epath.Path, value: Any) -> None:
  """Writes a file that `json` can read, atomically."""
  write_atomically(path, json.dumps(value, indent=2, sort_keys=True) + '\n')


def write_atomically(path: epath.Path, text: str) -> None:
  """Writes a text file so that a reader or a kill never sees half of it."""
  temporary = path.with_name(f'.{path.name}.tmp')
  try:
    temporary.write_text(text)
    temporary.replace(path)
  except OSError as error:
    raise _cannot_write(path, error) from error


def _cannot_write(path: epath.Path, error: OSError) -> errors.TrainingError:
  return errors.TrainingError(
    f'{path} could not be written ({error.strerror or error}); make room or'
    ' mend the path and run the same command again'
  )


def _read_json(path: epath.Path) -> Any:
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise errors.InputError(f'{path} cannot be read: {error}') from error


def _tuples(section: Mapping[str, Any]) -> dict[str, Any]:
  return {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in section.items()
  }


def _show(value: Any, absent: object) -> str:
  return 'absent' if value is absent else json.dumps(value)
