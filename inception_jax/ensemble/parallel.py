"""Processes that train the members of an ensemble, some at the same time."""

from collections.abc import Mapping, Sequence
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from absl import logging
from etils import epath

from inception_jax.ensemble import folder as ensemble_folder
from inception_jax.runs import claim
from inception_jax.runs import log_file as log_file_lib
from inception_jax.runtime import (
  durable,
  errors,
  json_files,
  locks,
  signals,
  words,
)

_SECONDS_BETWEEN_LOOKS = 0.2
_PROGRAM = (sys.executable, '-P', '-m', 'inception_jax.ensemble.member')


@dataclasses.dataclass(frozen=True)
class _MemberProcess:
  """A member in training.

  Attributes:
    name: of the member.
    process: that trains it.
    output: its standard output.
    log: what it says, after what earlier attempts have said.
    log_start: bytes of these.
    share: of the devices; see `ensemble.devices.divide`.
    start: when it was started, seconds.
  """

  name: str
  process: subprocess.Popen
  output: Any
  log: epath.Path
  log_start: int
  share: dict[str, str]
  start: float

  @property
  def age(self) -> float:
    return time.monotonic() - self.start

  def result(self) -> dict[str, Any] | None:
    """Of training; None unless it has ended well."""
    if self.process.returncode:
      return None
    self.output.seek(0)
    try:
      return json.loads(self.output.read().splitlines()[-1])
    except (IndexError, ValueError):
      return None

  def is_stopped_by(self, signum: int) -> bool:
    """Whether it ended by a signal, as it went on or before it began to."""
    return self.process.returncode in (
      128 + signum,
      -signum,
      -signal.SIGKILL,  # The second signal.
    )

  def close(self) -> None:
    with contextlib.suppress(BrokenPipeError):  # It may not have read a thing.
      self.process.stdin.close()
    self.process.wait()
    self.output.close()

  def failure(self) -> str:
    """Why it has ended, as far as that is known."""
    text = self.log.read_bytes()[self.log_start :].decode(errors='replace')
    lines = text.strip().splitlines()
    last = lines[-1] if lines else 'it says nothing'
    status = self.process.returncode
    if status >= 0:
      return f'{self.log}: {last}'
    reason = f'ended by {signal.Signals(-status).name}'
    if status == -signal.SIGKILL:
      reason += ', perhaps for want of memory'
    return f'{self.log}: {reason}, after: {last}'


class _Team:
  """Members that wait, train, are trained, have failed or are others'."""

  def __init__(
    self,
    configs: Mapping[str, Mapping[str, Any]],
    folder: epath.Path,
    shares: Sequence[dict[str, str]],
  ):
    self._configs = configs
    self._folder = folder
    self._waiting = list(configs)
    self._num_parallel = len(shares)
    self._free = list(shares)
    self.running: list[_MemberProcess] = []
    self.results: dict[str, dict[str, Any]] = {}
    self.failed: dict[str, str] = {}
    # Who trains it, by name.
    self.held: dict[str, str] = {}
    self._seconds: list[float] = []

  def start(self) -> None:
    """Starts as many as there are devices for."""
    while self._waiting and self._free:
      name = self._waiting.pop(0)
      self.held.pop(name, None)
      if who := _holder(self._folder / name):
        self.held[name] = who
        logging.info('member %s is left to others: %s', name, who)
        continue
      try:
        member = _start(
          name, self._configs[name], self._folder / name, self._free[0]
        )
      except errors.TrainingError as error:
        self._fail(name, str(error))
        continue
      del self._free[0]
      self.running.append(member)
      logging.info('member %s has started: %s', name, member.log)

  def look_again(self) -> None:
    """Starts those that others have left by now."""
    self._waiting += self.held
    self.start()

  def stop(self, signum: int) -> None:
    """Starts no more, and passes a signal on."""
    self._waiting.clear()
    for member in self.running:
      member.process.send_signal(signum)

  def look(self, stopped_by: int | None) -> None:
    """Takes note of those that have ended.

    Args:
      stopped_by: the signal that was passed on; None is none.
    """
    for member in [x for x in self.running if x.process.poll() is not None]:
      self.running.remove(member)
      self._free.append(member.share)
      result = member.result()
      if result is not None:
        self.results[member.name] = result
        self._log_trained(member)
      elif not (stopped_by and member.is_stopped_by(stopped_by)):
        self._fail(member.name, member.failure())
      member.close()

  def kill(self) -> None:
    """Ends those that are in training at once."""
    for member in self.running:
      member.process.kill()
      member.close()

  def _fail(self, name: str, reason: str) -> None:
    self.failed[name] = reason
    logging.error('member %s has failed: %s', name, reason)

  def _log_trained(self, member: _MemberProcess) -> None:
    self._seconds.append(member.age)
    left = seconds_left(
      self._seconds,
      [x.age for x in self.running],
      len(self._waiting),
      self._num_parallel,
    )
    logging.info(
      'member %s is trained, %d of %d, in %s; about %s left',
      member.name,
      len(self.results),
      len(self._configs),
      _clock(member.age),
      _clock(left),
    )


def _holder(workdir: epath.Path) -> str | None:
  """Who trains a member, whose log is not to be written to; None if nobody."""
  try:
    with claim.claim(workdir):  # Its own process is the one to keep it.
      return None
  except locks.HeldError as error:
    return error.who
  except errors.InputError:
    return None  # It cannot be written, as will be said.


def _start(
  name: str,
  config: Mapping[str, Any],
  workdir: epath.Path,
  share: dict[str, str],
) -> _MemberProcess:
  # The same package, wherever this one was found.
  package = str(pathlib.Path(__file__).parents[2])
  path = os.pathsep.join(filter(None, [package, os.environ.get('PYTHONPATH')]))
  log_file = workdir / log_file_lib.NAME
  try:
    durable.make_folder(workdir)
    log = open(log_file, 'ab')
  except OSError as error:
    raise errors.cannot_write(
      log_file, error, 'make room or mend the path', errors.TrainingError
    ) from error
  try:
    with log:
      log_start = log.tell()
      output = tempfile.TemporaryFile('w+')
      process = subprocess.Popen(
        _PROGRAM,
        env={**os.environ, **share, 'PYTHONPATH': path},
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=log,
        text=True,
        # Else a terminal would signal to it too.
        start_new_session=True,
      )
  except OSError as error:
    raise errors.TrainingError(
      f'no process can be started for {workdir} ({error.strerror or error})'
    ) from error
  with contextlib.suppress(BrokenPipeError):  # Its status will tell.
    process.stdin.write(
      json_files.dumps({'config': config, 'workdir': str(workdir)}) + '\n'
    )
    process.stdin.flush()
  start = time.monotonic()
  return _MemberProcess(
    name, process, output, log_file, log_start, share, start
  )


def train_members(
  configs: Mapping[str, Mapping[str, Any]],
  folder: epath.Path,
  shares: Sequence[dict[str, str]],
) -> list[dict[str, Any]]:
  """Trains members, as many at the same time as there are shares.

  What each says goes to `train.log` in its run directory. The first SIGTERM or
  SIGINT is passed on to those in training, which save and end; a second one
  kills them.

  Args:
    configs: of each member, by name.
    folder: that holds their run directories, local.
    shares: see `ensemble.devices.divide`.

  Returns:
    The result of `runs.train.train` of each.

  Raises:
    TrainingError: if members failed; the others are trained.
    PartialError: if other commands train some; the others are trained.
    Interrupted: after SIGTERM or SIGINT.
  """
  team = _Team(configs, folder, shares)
  with signals.collected() as received:
    num_passed_on, has_looked_again = 0, False
    try:
      team.start()
      while team.running:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        if len(received) > num_passed_on:
          team.stop(received[0] if len(received) == 1 else signal.SIGKILL)
          num_passed_on = len(received)
        team.look(received[0] if num_passed_on else None)
        if not received:
          team.start()
          if not team.running and not has_looked_again:
            has_looked_again = True
            team.look_again()
    finally:
      team.kill()
  if received and len(team.results) < len(configs):
    raise errors.Interrupted(
      f'stopped by {signal.Signals(received[0]).name} when'
      f' {len(team.results)} of {words.count(len(configs), "member")} had been'
      ' trained; the same command goes on from there',
      received[0],
    )
  if team.failed:
    raise errors.TrainingError(
      f'{len(team.failed)} of {words.count(len(configs), "member")} could not'
      f' be trained ({"; ".join(team.failed.values())}); mend that, and the'
      ' same command goes on'
    )
  if team.held:
    raise ensemble_folder.held_elsewhere(team.held, len(configs))
  return [team.results[name] for name in configs]


def seconds_left(
  seconds: Sequence[float],
  ages: Sequence[float],
  num_waiting: int,
  num_parallel: int,
) -> float:
  """How long the members that are not trained will take.

  Args:
    seconds: that those which are trained took, at least one.
    ages: of those in training, seconds.
    num_waiting: members that have not begun.
    num_parallel: members at the same time.
  """
  mean = sum(seconds) / len(seconds)
  work = mean * num_waiting + sum(max(mean - age, 0) for age in ages)
  # One member alone does not become faster.
  return work / min(num_parallel, max(num_waiting + len(ages), 1))


def _clock(seconds: float) -> str:
  return str(datetime.timedelta(seconds=round(seconds)))
