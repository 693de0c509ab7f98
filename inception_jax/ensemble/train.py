"""Training of several runs that are evaluated together."""

from collections.abc import Mapping
import copy
import dataclasses
from typing import Any

from absl import logging
from etils import epath
import jax
import ml_collections

from inception_jax.ensemble import devices as member_devices
from inception_jax.ensemble import folder as ensemble_folder
from inception_jax.ensemble import parallel as member_processes
from inception_jax.experiment import config as config_lib
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.experiment import field_table, fields
from inception_jax.runs import directory, foreign_files, train
from inception_jax.runtime import cluster, errors, locks, paths, ranges, words

SECTION = config_lib.ENSEMBLE


@dataclasses.dataclass(frozen=True)
class EnsembleOptions(field_table.Ensemble):
  """Section `ensemble` of a config; see `field_table.Ensemble`."""

  def __post_init__(self):
    ranges.check(type(self), vars(self))
    if not self.members:
      raise ValueError('members must name at least one')
    for name in self.members:
      if not _is_folder_name(name):
        raise ValueError(f'{ranges.show(name)} cannot be the name of a folder')
    # A flag gives one text.
    only = ','.join(self.only).split(',') if self.only else ()
    object.__setattr__(self, 'only', tuple(name.strip() for name in only))
    for name in self.only:
      if name not in self.members:
        raise ValueError(
          f'only names {ranges.show(name)}, which is no member; there are'
          f' {words.join(self.members)}'
        )


def _is_folder_name(name: str) -> bool:
  return (
    bool(name)
    and epath.Path(name).name == name
    and not name.startswith('.')
    and name.isprintable()
    and len(name.encode(errors='replace')) <= 255
  )


def is_ensemble(
  config: ml_collections.ConfigDict | Mapping[str, Any],
) -> bool:
  """Whether a config describes several runs."""
  return config.get(SECTION) is not None


def member_configs(
  config: ml_collections.ConfigDict | Mapping[str, Any],
) -> tuple[EnsembleOptions, dict[str, dict[str, Any]]]:
  """The config of each member, by name.

  Args:
    config: as of a single run, with a section `ensemble`.

  Raises:
    InputError: if a field is unknown or out of its range.
  """
  config = fields.plain(config)
  options = fields.call_with_section(
    EnsembleOptions, SECTION, config.pop(SECTION)
  )
  config = config_lib.sections(config)
  seed = config['train'].get('seed', 0)
  configs = {}
  for number, (name, changes) in enumerate(options.members.items()):
    member = copy.deepcopy(config)
    member['train']['seed'] = seed + number
    if options.same_initial_weights:
      member['train']['init_seed'] = seed
    if not isinstance(changes, dict | None):
      raise errors.InputError(
        f'config.ensemble.members.{name}={ranges.show(changes)} must be a dict'
        ' of sections, or None'
      )
    changes = config_lib.with_current_names(changes or {})
    for section, values in changes.items():
      if section not in config_lib.SECTIONS or not isinstance(values, dict):
        raise errors.InputError(
          f'config.ensemble.members.{name}.{section} is no section of fields'
          f'{errors.suggestion(section, config_lib.SECTIONS)}'
        )
      member[section].update(values)
    configs[name] = member
  return options, configs


def train_ensemble(
  config: ml_collections.ConfigDict | Mapping[str, Any],
  workdir: epath.PathLike,
) -> dict[str, Any]:
  """Trains the members, or goes on where it stopped.

  One after the other with all devices, or `num_parallel` at the same time with
  a part of them each; the result is the same but for the number of devices.

  Args:
    config: see `member_configs`.
    workdir: folder of the ensemble, new or of the same members.

  Returns:
    `workdir`, and `members`: the result of `runs.train.train` of each.

  Raises:
    InputError: if something given cannot be used; nothing is written then.
    TrainingError: if training cannot go on; of members that are trained at the
      same time the others are.
    PartialError: if other commands train some of them; the others are trained.
    Interrupted: after SIGTERM or SIGINT, once the state is saved.
  """
  workdir = paths.expand(workdir, '--workdir')
  paths.check_folder(workdir, '--workdir')
  foreign_files.check(workdir)
  options, configs = member_configs(config)
  folder = epath.Path(workdir)
  names = options.only or tuple(configs)
  num_parallel = min(options.num_parallel, len(names))
  if num_parallel > 1:
    if '://' in str(workdir):
      raise errors.InputError(
        f'config.ensemble.num_parallel={num_parallel} needs a local --workdir'
      )
    if cluster.num_processes() > 1:
      raise errors.InputError(
        f'config.ensemble.num_parallel={num_parallel} is for one process that'
        ' starts others itself; set it to 1, or start the command once'
      )
    # Before this process takes the devices.
    shares = member_devices.divide(num_parallel)
  for name, member in configs.items():
    try:  # Before hours are spent on the first.
      directory.check_data_name(folder / name, member)
      experiment_lib.create_experiment(member)
    except errors.InputError as error:
      raise errors.InputError(f'member {name!r}: {error}') from error
  if cluster.is_main_process():
    ensemble_folder.describe(folder, list(configs))
  if num_parallel > 1:
    results = member_processes.train_members(
      {name: configs[name] for name in names}, folder, shares
    )
    return {'workdir': str(folder), 'members': results}
  results = _train_in_turn({name: configs[name] for name in names}, folder)
  return {'workdir': str(folder), 'members': results}


def _train_in_turn(
  configs: Mapping[str, Mapping[str, Any]], folder: epath.Path
) -> list[dict[str, Any]]:
  """Trains one member after another with all devices.

  Those that others train are left to them, and looked at again at the end.
  """
  results, held = {}, {}
  for name in configs:
    _train_unless_held(name, configs, folder, results, held)
  for name in list(held):
    _train_unless_held(name, configs, folder, results, held)
  if held:
    raise ensemble_folder.held_elsewhere(held, len(configs))
  return [results[name] for name in configs]


def _train_unless_held(
  name: str,
  configs: Mapping[str, Mapping[str, Any]],
  folder: epath.Path,
  results: dict[str, dict[str, Any]],
  held: dict[str, str],
) -> None:
  """Trains a member, and adds to `results` or to what is `held`."""
  logging.info(
    'member %s, %d of %d', name, list(configs).index(name) + 1, len(configs)
  )
  try:
    results[name] = train.train(configs[name], folder / name)
  except locks.HeldError as error:
    logging.info('member %s is left to others: %s', name, error.who)
    held[name] = error.who
    return
  held.pop(name, None)
  # Each has programs of its own; all together they would fill the memory.
  jax.clear_caches()
