"""What training and importing write into a run directory, and its checks."""

from collections.abc import Mapping
import json
import shlex
from typing import Any

from absl import logging
from etils import epath
from flax import traverse_util

from inception_jax import preprocess
from inception_jax.data import crop_rules, labels
from inception_jax.experiment import config as config_lib
from inception_jax.experiment import field_table
from inception_jax.runs import checkpoint, description, trained_data
from inception_jax.runtime import (
  durable,
  errors,
  json_files,
  ranges,
  read_failures,
)

# Fields that say where things are, how fast, whether to stop at a bad image, or
# how often to look and what to use, not what is trained: a run may go on with
# others.
FREE_FIELDS = frozenset(
  {
    'averaging.inference_weights',
    'data.data_dir',
    'data.num_threads',
    'data.on_bad_image',
    'train.eval_batch_size',
    'train.log_every_steps',
    'train.eval_every_steps',
    'train.checkpoint_every_steps',
    'train.keep_checkpoints',
    'train.dead_head_steps',
    'train.check_replicas',
    'train.profile_steps',
    'train.debug_nans',
  }
)
_CHANGES = 'config_changes.jsonl'
# What a run writes after config.json.
_LATER = (
  'metrics.jsonl',
  'timing.jsonl',
  'plots/learning_curves.png',
  'plots/learning_rate.png',
  'plots/training_crops.png',
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
    self._config = json.loads(json_files.dumps(config))
    self._changes: list[dict[str, Any]] = []
    self._repair = ''  # What `describe` mends, if anything.
    try:
      self._check_config()
      durable.check_writable(self.path)
    except OSError as error:
      raise errors.cannot_write(
        f'--workdir={self.path}', error, 'give another folder'
      ) from error

  def _check_config(self) -> None:
    stored = self._stored_config()
    if stored is None:
      return
    sections = [stored.get(name) for name in config_lib.SECTIONS]
    if not any(isinstance(section, dict) for section in sections):
      raise errors.InputError(
        f'{self.path / "config.json"} is not the config of a run; move it away'
        ' or give another --workdir'
      )
    stored, wanted = _values(stored), _values(self._config)
    differing = [
      name
      for name in sorted(stored.keys() | wanted.keys())
      if stored.get(name) != wanted.get(name)
    ]
    if others := [x for x in differing if x not in FREE_FIELDS]:
      shown = '; '.join(
        f'{name} is {_show(name, stored)} there, {_show(name, wanted)} here'
        for name in others
      )
      raise errors.InputError(
        f'{self.path} belongs to a different config: {shown}; give another'
        ' --workdir or the same config' + _way_to_start_from(self.path)
      )
    self._changes = [
      {'field': name, 'from': stored.get(name), 'to': wanted.get(name)}
      for name in differing
    ]

  def _stored_config(self) -> dict[str, Any] | None:
    """The config of the run that is there; None if there is none to compare.

    A loss of power can leave an empty config.json. The newest checkpoint holds
    the config too, except those of earlier versions.
    """
    path, folder = self.path / 'config.json', self.path / 'checkpoints'
    # Looked at first: another process may be making both just now.
    has_checkpoints = read_failures.exists(folder)
    found = json_files.read_dict_or_none(path)
    if found is not None or not (has_checkpoints or path.exists()):
      return found
    kept = _config_of_checkpoints(folder) if has_checkpoints else None
    if kept is None and has_checkpoints and not path.exists():
      raise errors.InputError(
        f'{self.path} has checkpoints but no config.json; give another'
        ' --workdir'
      )
    state = 'damaged' if path.exists() else 'missing'
    self._repair = f'{path} was {state}; it is written anew from the command'
    if kept:
      self._repair += ', whose config is that of the newest checkpoint'
    elif has_checkpoints:
      self._repair += '; that the config is the same could not be checked'
    return kept

  def describe(
    self,
    model: Mapping[str, Any],
    preprocessing: preprocess.Preprocessing,
    eval_crop: crop_rules.EvaluationCrop,
    label_map: labels.LabelMap,
    num_train_steps: int | None = None,
    data: Mapping[str, Any] | None = None,
  ) -> None:
    """Writes what `load_run` needs beside the weights; config.json last.

    Args:
      model: arguments of `models.create_model`.
      preprocessing: pixels to network input.
      eval_crop: picture to pixels.
      label_map: what each output means.
      num_train_steps: step at which training ends; None of imported weights.
      data: what it is trained with, see `trained_data`; None likewise.

    Raises:
      InputError: if there are weights already, for other classes or of other
        data; or no run, but files of the names that one has.
    """
    self._check_labels(label_map)
    parts = {
      'model.json': model,
      'preprocessing.json': description.pixels(preprocessing, eval_crop),
      'labels.json': label_map.to_json(),
      'config.json': self._config,
    }
    if num_train_steps is not None and data is not None:
      data = trained_data.check(self.path, data, num_train_steps)
      training = {'num_train_steps': num_train_steps}
      parts = {trained_data.FILE: data, 'training.json': training, **parts}
    self._check_foreign(parts)
    if self._repair:
      logging.warning(self._repair)
    self._record_changes()
    for name, value in parts.items():
      json_files.write_json(self.path / name, value)

  def _record_changes(self) -> None:
    """Keeps what is other than before, and from which step on.

    Before config.json is written: what a kill leaves out is recorded then.
    """
    if not self._changes:
      return
    folder, step = self.path / 'checkpoints', 0
    if read_failures.exists(folder):
      checkpoints = checkpoint.Checkpoints(folder, read_only=True)
      step = max(checkpoints.steps(), default=0)
      checkpoints.close()
    lines = json_files.JsonLines(self.path / _CHANGES, skips_damage=True)
    known = list(lines)[-len(self._changes) :]
    new = [{'step': step, **change} for change in self._changes]
    for change in new:
      logging.info(
        'config.%s is %s from step %d on, and was %s',
        change['field'],
        json_files.dumps(change['to']),
        step,
        json_files.dumps(change['from']),
      )
      if change not in known:
        lines.append(change)
    lines.flush(sync=True)

  def _check_foreign(self, parts: Mapping[str, Any]) -> None:
    """Raises InputError if a new run would overwrite what no run has written.

    What a start that was interrupted has left is empty, or the same.
    """
    if read_failures.exists(self.path / 'checkpoints'):
      return
    # It is written last: what a loss of power did to it has others beside it.
    config = self.path / 'config.json'
    if config.exists() and (
      (self.path / 'model.json').exists()
      or json_files.read_dict_or_none(config) is not None
    ):
      return
    names = [name for name in _LATER if not config.exists()]
    for name in (*parts, *names):
      path = self.path / name
      if not path.exists() or path.is_file() and not path.stat().length:
        continue
      if name == trained_data.FILE and trained_data.is_whole(path):
        continue  # Preparing can have taken a digest since.
      wanted = json.loads(json_files.dumps(parts.get(name)))
      if name in names or json_files.read_or_none(path) != wanted:
        raise errors.InputError(
          f'{path} is there, though {self.path} holds no run, and would be'
          ' overwritten; move it away or give another --workdir'
        )

  def _check_labels(self, label_map: labels.LabelMap) -> None:
    path = self.path / 'labels.json'
    if not (self.path / 'config.json').exists() or not path.exists():
      return
    stored, wanted = json_files.read_or_none(path), label_map.to_json()
    try:
      description.read_labels(stored)
    except description.WrongPartError:
      logging.warning('%s is damaged; it is written anew from the data', path)
      return
    if stored != wanted:
      first = next(
        (x for x, y in zip(wanted, stored, strict=False) if x != y), None
      )
      raise errors.InputError(
        f'the {len(wanted)} classes of the data are not the {len(stored)} of'
        f' {path}'
        + (f' (first {first["name"]!r})' if first else '')
        + '; give another --workdir, or the data it was trained on'
      )


def check_data_name(workdir: epath.PathLike, config: Mapping[str, Any]) -> None:
  """Checks that a run that is there was trained on the dataset of this name.

  Before the dataset is opened, since opening prepares some.

  Args:
    workdir: run directory, new or of the same config.
    config: as the user gave it.

  Raises:
    InputError: if it is another's.
  """
  path = epath.Path(workdir) / 'config.json'
  stored = json_files.read_dict_or_none(path) or {}
  there, here = (
    x['data'].get('name') if isinstance(x.get('data'), Mapping) else None
    for x in (stored, config_lib.sections(config))
  )
  if there is not None and here is not None and there != here:
    raise errors.InputError(
      f'{workdir} belongs to a different config: data.name is'
      f' {json_files.dumps(there)} there, {ranges.show(here)} here; give'
      ' another --workdir or the same config'
    )


def _way_to_start_from(workdir: epath.Path) -> str:
  """How to train with another config from the weights that are there."""
  if not read_failures.folders(workdir / 'checkpoints'):
    return ''
  return (
    '; to start from its weights, give a new --workdir and'
    f' {shlex.quote(f"--config.init_from={workdir}")}'
  )


def _config_of_checkpoints(folder: epath.Path) -> dict[str, Any] | None:
  checkpoints = checkpoint.Checkpoints(folder, read_only=True)
  metadata = checkpoints.read_metadata() or {}
  checkpoints.close()
  config = metadata.get('config')
  return config if isinstance(config, dict) else None


def _values(config: Mapping[str, Any]) -> dict[str, Any]:
  """All fields of a config by path, with the defaults of those not given.

  A field that is None counts as not given, so that older runs can resume.
  """
  found = {
    name: field.default
    for name, field in field_table.fields().items()
    if not name.startswith(config_lib.ENSEMBLE)
  }
  flat = traverse_util.flatten_dict(
    config_lib.with_current_names(config), sep='.'
  )
  found.update({name: x for name, x in flat.items() if x is not None})
  return {
    name: list(x) if isinstance(x, tuple) else x for name, x in found.items()
  }


def _show(name: str, values: Mapping[str, Any]) -> str:
  value = values.get(name)
  return 'None' if value is None else json_files.dumps(value)
