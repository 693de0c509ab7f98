"""The export command: a run directory to a file for other programs."""

from collections.abc import Mapping
import functools
from typing import Any

from absl import logging
from etils import epath

from inception_jax.export import checking, writing
from inception_jax.export.formats import FORMATS, Request
from inception_jax.runs import named_arrays, run
from inception_jax.runtime import (
  errors,
  json_files,
  optional,
  own_files,
  paths,
  words,
)
from inception_jax.weights import exported


def export(
  workdir: epath.PathLike,
  format: str,
  *,
  weights: str | None = None,
  output: epath.PathLike | None = None,
  uint8_input: bool = False,
  softmax: bool = False,
) -> dict[str, Any]:
  """Writes the network of a run as a file of a format, and checks it.

  The same pictures go through the file, in its own runtime, and through the
  network. The result is also written to `check.json` beside the file, where
  `earlier` keeps those of other files in the folder.

  Args:
    workdir: run directory.
    format: one of `formats.FORMATS`; see the `serialize` of its module.
    weights: 'raw', 'ema' or 'polyak'; see `runs.run.load_run`.
    output: the file; None is `model` with the format's ending in
      `WORKDIR/export/FORMAT`.
    uint8_input: see `onnx_graph.create_model`; of formats that take it.
    softmax: likewise.

  Returns:
    What `check.json` holds: `path, format, max_abs_diff, top1_agreement` and
    more; see `checking.compare`.

  Raises:
    InputError: if something given cannot be used, or the file not be written.
    ExportError: if the file does not compute what the network does. Either
      way nothing is left, and an earlier file stays as it was.
  """
  workdir = paths.expand(workdir, '--workdir')
  options = {'uint8_input': uint8_input, 'softmax': softmax}
  _check_request(format, options)
  path = _output_path(workdir, format, output)
  loaded = run.load_run(workdir, weights)
  request = _create_request(loaded, workdir, format, options)
  contents = FORMATS[format].import_module().serialize(request)
  check = functools.partial(
    checking.check_files, FORMATS[format], request, path=path
  )
  about = _about(request, format, path, contents)
  result = writing.write(path, contents, about, check)
  logging.info(
    'exported %s: %s differ by at most %.2g',
    path,
    result['compared'],
    result['max_abs_diff'],
  )
  return result


def _check_request(format: str, options: Mapping[str, bool]) -> None:
  if format not in FORMATS:
    raise errors.InputError(
      f'--format must be one of {words.join(FORMATS, "or")}, not'
      f' {format!r}{errors.suggestion(format, FORMATS)}'
    )
  for flag, given in options.items():
    if given and flag not in FORMATS[format].options:
      others = [x for x, row in FORMATS.items() if flag in row.options]
      raise errors.InputError(
        f'--{flag} is of no use with --format={format}, which holds weights'
        f' and no program; leave it out, or give --format={" or ".join(others)}'
      )
  for package in FORMATS[format].packages:
    optional.import_package(package, f'--format={format}')


def _output_path(
  workdir: epath.PathLike, format: str, output: epath.PathLike | None
) -> epath.Path:
  if output is None:
    folder = epath.Path(workdir) / 'export' / format
    return folder / f'model{FORMATS[format].ending}'
  path = epath.Path(paths.expand(output, '--output'))
  if path.suffix != FORMATS[format].ending or path.is_dir():
    raise errors.InputError(
      f'--output={output} does not name a file that ends in'
      f' {FORMATS[format].ending}; give one, or leave it out'
    )
  own_files.check(path, '--output')
  return path


def _create_request(
  loaded: run.Run,
  workdir: epath.PathLike,
  format: str,
  options: Mapping[str, bool],
) -> Request:
  arrays = named_arrays.flatten(loaded.variables)
  # The card of imported weights says whose they are.
  card_file = epath.Path(workdir) / 'card.json'
  card = None
  if card_file.exists():
    card = json_files.read_json(card_file, 'delete it to export without it')
  return Request(
    loaded,
    arrays,
    exported.describe(loaded, arrays, card),
    {name: options[name] for name in FORMATS[format].options},
  )


def _about(
  request: Request,
  format: str,
  path: epath.Path,
  contents: Mapping[str, bytes],
) -> dict[str, Any]:
  """What `check.json` says of the file beside what was found."""
  packages = ('inception_jax', 'jax', 'numpy', *FORMATS[format].packages)
  about = {
    'path': str(path),
    'format': format,
    'profile': request.description['profile'],
    'weights': request.loaded.weights,
    'step': request.loaded.step,
    'digest': request.description['digest'],
    'num_bytes': len(contents[FORMATS[format].ending]),
    'versions': {name: optional.version_of(name) for name in packages},
  }
  beside = [x for x in contents if x != FORMATS[format].ending]
  if beside:
    about['beside'] = [str(path.with_suffix(ending)) for ending in beside]
  return about
