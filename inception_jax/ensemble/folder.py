"""The folder of an ensemble: run directories, and a file that names them.

ensemble.json        the members, in order
MEMBER/              the run directory of each
"""

from collections.abc import Mapping, Sequence
import dataclasses
import re

from absl import logging
from etils import epath

from inception_jax.runs import checkpoint, choice, run
from inception_jax.runtime import (
  durable,
  errors,
  json_files,
  paths,
  read_failures,
  words,
)

ENSEMBLE_FILE = 'ensemble.json'


def describe(folder: epath.Path, members: Sequence[str]) -> None:
  """Writes what names the members, unless it is there.

  Args:
    folder: new, or of the same members.
    members: names of their run directories in it, in order.

  Raises:
    InputError: if it holds something else or cannot be made.
  """
  path = folder / ENSEMBLE_FILE
  stored = json_files.read_or_none(path)
  if stored is None and path.exists():
    logging.warning('%s is damaged; it is written anew from the config', path)
  elif stored is not None:
    if stored != {'members': list(members)}:
      raise errors.InputError(
        f'{folder} is an ensemble of other members ({path}); give another'
        ' --workdir or the same config'
      )
    return
  if (folder / 'config.json').exists():
    raise errors.InputError(
      f'{folder} is the run directory of one run; give another --workdir'
    )
  try:
    durable.make_folder(folder)
  except OSError as error:
    raise errors.cannot_write(
      f'--workdir={folder}', error, 'give another folder'
    ) from error
  json_files.write_json(path, {'members': list(members)})


def held_elsewhere(
  held: Mapping[str, str], num_members: int
) -> errors.PartialError:
  """The error for members that other commands train.

  Args:
    held: who trains it, by name of the member.
    num_members: that this command was to train.
  """
  return errors.PartialError(
    f'{len(held)} of {words.count(num_members, "member")}'
    f' {"is" if len(held) == 1 else "are"} trained by others'
    f' ({"; ".join(held.values())}) and all the rest is trained; wait for them,'
    ' or run the same command again if one stops'
  )


def list_runs(workdir: epath.PathLike) -> list[epath.Path]:
  """The run directories that a `--workdir` stands for.

  Args:
    workdir: run directories with commas between them, which may be at any
      step, or folders that hold the runs of an ensemble.

  Returns:
    The directories in the order of their names, so that no result depends on
    the order in which they are given.

  Raises:
    InputError: if one is given twice, or a member of an ensemble is not trained
      to its end.
  """
  found = []
  for name in paths.split(workdir, '--workdir'):
    folder = epath.Path(name)
    if not read_failures.exists(folder / ENSEMBLE_FILE):
      found.append(folder)
      continue
    listed = json_files.read_json(
      folder / ENSEMBLE_FILE,
      'run the training command of the ensemble again, which writes it anew, or'
      ' name the runs in --workdir',
    )
    try:
      names = listed['members']
      members = [folder / name for name in names if isinstance(names, list)]
    except (KeyError, TypeError):
      members = []
    if not members:
      raise errors.InputError(
        f'{folder / ENSEMBLE_FILE} names no members; train the ensemble again,'
        ' or name the runs in --workdir'
      )
    for member in members:
      _check_trained(folder, member)
      found.append(member)
  if len({path.resolve() for path in found}) < len(found):
    raise errors.InputError(f'--workdir={workdir} names a run twice')
  return sorted(found, key=_natural)


def used(
  workdirs: Sequence[epath.Path], weights: str | None
) -> list[epath.Path]:
  """The run directories whose weights are read, for results to name.

  Args:
    workdirs: see `list_runs`.
    weights: what is asked for; None is what each run is used with.
  """
  if weights is not None:
    return list(workdirs)
  return [choice.used(workdir) for workdir in workdirs]


def _natural(path: epath.Path) -> list[tuple[int, str]]:
  """A key to sort by, with numbers by their value: m2 before m10."""
  parts = re.split(r'(\d+)', str(path))
  return [(int(x), '') if x.isdecimal() else (-1, x) for x in parts]


def _check_trained(folder: epath.Path, member: epath.Path) -> None:
  remedy = (
    'train it to its end by the same command, or name in --workdir the members'
    ' to evaluate as they are'
  )
  progress = None
  if read_failures.exists(member / 'config.json'):
    progress = read_progress(member)
  if progress is None or progress.step is None:
    raise errors.InputError(
      f'{folder} is an ensemble whose member {member.name!r} is not trained'
      f' yet; {remedy}'
    )
  if progress.num_train_steps is None:
    logging.warning(
      '%s does not say at which step its training ends; it is used as it is, at'
      ' step %d',
      member,
      progress.step,
    )
  elif progress.step < progress.num_train_steps:
    raise errors.InputError(
      f'{folder} is an ensemble whose member {member.name!r} is at step'
      f' {progress.step} of {progress.num_train_steps}; {remedy}'
    )


@dataclasses.dataclass(frozen=True)
class Progress:
  """How far a run has come.

  Attributes:
    step: of the newest checkpoint; None if there is none.
    num_train_steps: step at which training ends; None if the run does not say:
      imported ones, and some of earlier versions.
  """

  step: int | None
  num_train_steps: int | None


def read_progress(workdir: epath.PathLike) -> Progress:
  """How far a run has come, without its weights.

  Raises:
    InputError: if `workdir` is no run directory, or its files are damaged.
  """
  workdir = epath.Path(workdir)
  train = run.read_config(workdir).get('train')
  checkpoints = checkpoint.Checkpoints(workdir / 'checkpoints', read_only=True)
  steps = checkpoints.steps()
  checkpoints.close()
  path = workdir / 'training.json'
  stored = train
  if read_failures.exists(path):
    stored = json_files.read_json(path, run.REMEDY)
  last = stored.get('num_train_steps') if isinstance(stored, dict) else None
  if isinstance(last, int) or (last is None and stored is train):
    return Progress(steps[-1] if steps else None, last)
  raise errors.InputError(
    f'{path if path.exists() else workdir / "config.json"} is damaged: its'
    f' num_train_steps is {last!r}; {run.REMEDY}'
  )
