"""The command line's modes: what each needs, and what it calls."""

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

from absl import flags as absl_flags

from inception_jax.commands import evaluate, inspection, modes
from inception_jax.ensemble import train as train_ensemble
from inception_jax.evaluation import protocol as protocol_lib
from inception_jax.runs import train
from inception_jax.runtime import cluster, errors, signals

Result = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Mode:
  """One mode of the command line.

  Attributes:
    run: from the flags and the files to the result, which JSON can hold.
    needs: flags that must be given.
    takes: flags that may be; `weights` and the like of other modes are refused
      rather than ignored.
    takes_files: whether files must be given after the flags; else none may.
  """

  run: Callable[[absl_flags.FlagValues, Sequence[str]], Result]
  needs: tuple[str, ...]
  takes: tuple[str, ...] = ()
  takes_files: bool = False


# What only some modes need (decoders, formats) is imported when it is used.


def _predict(flags: absl_flags.FlagValues, files: Sequence[str]) -> Result:
  from inception_jax.commands import predict

  return predict.predict(
    flags.workdir,
    files,
    weights=flags.weights,
    output=flags.output,
    top_k=flags.top_k,
  )


def _visualise(flags: absl_flags.FlagValues, files: Sequence[str]) -> Result:
  from inception_jax.commands import visualise

  return visualise.visualise(
    flags.workdir,
    files,
    weights=flags.weights,
    output=flags.output,
    end_points=flags.end_points,
    features=flags.features,
  )


def _import(flags: absl_flags.FlagValues, files: Sequence[str]) -> Result:
  from inception_jax.commands import import_weights as importing

  return importing.import_weights(
    flags.source,
    flags.workdir,
    path=flags.input,
    label_file=flags.labels,
    download=flags.download,
    weights=flags.weights,
  )


def _export(flags: absl_flags.FlagValues, files: Sequence[str]) -> Result:
  from inception_jax.commands import export as exporting

  return exporting.export(
    flags.workdir,
    flags.format,
    weights=flags.weights,
    output=flags.output,
    uint8_input=flags.uint8_input,
    softmax=flags.softmax,
  )


def _protocol(flags: absl_flags.FlagValues) -> protocol_lib.Protocol:
  chosen = {
    name: tuple(flags[name].value)
    for name in ('squares', 'crops')
    if flags[name].value
  }
  if flags.scales:
    try:
      chosen['scales'] = tuple(map(int, flags.scales))
    except ValueError as error:
      raise errors.InputError(
        f'--scales={",".join(flags.scales)} must be whole numbers of pixels'
      ) from error
  return protocol_lib.Protocol(
    name=flags.protocol or 'single',
    aggregation=flags.aggregation or 'mean_probability',
    mirrors=flags.mirrors,
    **chosen,
  )


def _evaluate(flags: absl_flags.FlagValues, files: Sequence[str]) -> Result:
  return evaluate.evaluate(
    flags.workdir, _protocol(flags), flags.weights, flags.config, flags.answers
  )


def _report(flags: absl_flags.FlagValues, files: Sequence[str]) -> Result:
  from inception_jax.commands import report

  return report.report(
    flags.workdir,
    _protocol(flags),
    flags.output,
    flags.weights,
    flags.config,
    flags.answers,
  )


# How to evaluate, and on what.
_EVALUATION = (
  'protocol',
  'aggregation',
  'scales',
  'squares',
  'crops',
  'mirrors',
  'weights',
  'config',
  'answers',
)


def _train(flags: absl_flags.FlagValues, files: Sequence[str]) -> Result:
  if train_ensemble.is_ensemble(flags.config):
    return train_ensemble.train_ensemble(flags.config, flags.workdir)
  return train.train(flags.config, flags.workdir)


MODES = {
  'train': Mode(_train, needs=('config', 'workdir')),
  'evaluate': Mode(_evaluate, needs=('workdir',), takes=_EVALUATION),
  'report': Mode(_report, needs=('workdir',), takes=(*_EVALUATION, 'output')),
  'predict': Mode(
    _predict,
    needs=('workdir',),
    takes=('weights', 'output', 'top_k'),
    takes_files=True,
  ),
  'visualise': Mode(
    _visualise,
    needs=('workdir',),
    takes=('weights', 'output', 'end_points', 'features'),
    takes_files=True,
  ),
  'import': Mode(
    _import,
    needs=('source', 'workdir'),
    takes=('input', 'labels', 'download', 'weights'),
  ),
  'export': Mode(
    _export,
    needs=('workdir', 'format'),
    takes=('weights', 'output', 'uint8_input', 'softmax'),
  ),
  'prepare': Mode(
    lambda flags, _: modes.prepare(flags.config, flags.input),
    needs=('config',),
    takes=('input',),
  ),
  'inspect': Mode(
    lambda flags, _: inspection.inspect(flags.config, flags.output),
    needs=('config',),
    takes=('output',),
  ),
  'summary': Mode(
    lambda flags, _: modes.summarize(flags.config, flags.output),
    needs=('config',),
    takes=('output',),
  ),
}


def run(flags: absl_flags.FlagValues, files: Sequence[str]) -> Result:
  """Runs the mode that `flags.mode` names.

  Args:
    flags: of the command line.
    files: what came after them.

  Returns:
    The result of the mode.

  Raises:
    UserFacingError: if something given cannot be used, or the mode fails.
  """
  mode = MODES[flags.mode]
  for name in mode.needs:
    if not flags[name].value:
      raise errors.InputError(f'--mode={flags.mode} needs --{name}')
  known = {name for x in MODES.values() for name in (*x.needs, *x.takes)}
  for name in sorted(known - {*mode.needs, *mode.takes}):
    if flags[name].present:
      raise errors.InputError(
        f'--{name} is of no use with --mode={flags.mode}; leave it out'
      )
  if files and not mode.takes_files:
    raise errors.InputError(f'{files[0]!r} is no flag; flags begin with --')
  if mode.takes_files and not files:
    raise errors.InputError(
      f'--mode={flags.mode} needs pictures: files, folders or patterns'
    )
  cluster.initialize()
  try:
    with signals.as_exceptions():
      return mode.run(flags, files)
  except KeyboardInterrupt as error:
    raise signals.interrupted(error, 'run the same command again') from error


def check_whole(result: Result) -> None:
  """Raises PartialError if the result names files that failed."""
  if failed := result.get('failed'):
    first = failed[0]
    raise errors.PartialError(
      f'{len(failed)} of the files could not be used, first'
      f' {first["file"]!r}: {first["reason"]}'
    )
