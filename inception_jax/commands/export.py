"""The export mode: a run directory to a file for other programs."""

from collections.abc import Mapping
import contextlib
import dataclasses
import json
from typing import Any

from absl import logging
from etils import epath
import numpy as np

from inception_jax import models
from inception_jax.export import checking, npz_file
from inception_jax.runs import checkpoint, run
from inception_jax.runtime import errors, optional
from inception_jax.weights import exported
from inception_jax.weights import safetensors_file as safetensors_reader
from inception_jax.weights import torchvision as torchvision_reader

CHECK_FILE = 'check.json'


@dataclasses.dataclass(frozen=True)
class Format:
  """A target format.

  Attributes:
    packages: what it needs beyond ours.
    exact: whether the file is run as we run it, so that every bit must come
      back.
    ending: of the file.
  """

  packages: tuple[str, ...]
  exact: bool
  ending: str


FORMATS = {
  'safetensors': Format(('safetensors',), True, '.safetensors'),
  'onnx': Format(('onnx', 'onnxruntime'), False, '.onnx'),
  'npz': Format((), True, '.npz'),
  'torchvision': Format(('safetensors',), False, '.safetensors'),
}


def export(
  workdir: epath.PathLike,
  format: str,
  *,
  weights: str | None = None,
  output: epath.PathLike | None = None,
  uint8_input: bool = False,
  softmax: bool = False,
) -> dict[str, Any]:
  """Writes the network of a run as one file, and checks it.

  The same pictures go through the file, in its own runtime, and through the
  network. The result is also written to `check.json` beside the file, where
  `earlier` keeps those of other files in the folder.

  Args:
    workdir: run directory.
    format: one of `FORMATS`. 'safetensors' and 'npz' hold every parameter,
      'onnx' the inference network, without auxiliary heads, 'torchvision' a
      state dict of its keys, beside which `torchvision_file.companions` go.
    weights: 'raw', 'ema' or 'polyak'; see `run.load_run`.
    output: the file; None is `model` with the format's ending in
      `WORKDIR/export/FORMAT`.
    uint8_input: see `onnx_graph.create_model`.
    softmax: likewise.

  Returns:
    What `check.json` holds: `path, format, max_abs_diff, top1_agreement` and
    more; see `checking.compare`.

  Raises:
    InputError: if something given cannot be used, or the file not be written.
    ExportError: if the file does not compute what the network does. Either
      way nothing is left, and an earlier file stays as it was.
  """
  _check_request(format, uint8_input, softmax)
  path = _output_path(workdir, format, output)
  loaded = run.load_run(workdir, weights)
  arrays = checkpoint.flatten(loaded.variables)
  about = exported.describe(loaded, arrays, _read_card(workdir))
  data = _serialize(format, loaded, arrays, about, uint8_input, softmax)
  result = {
    'path': str(path),
    'format': format,
    'profile': about['profile'],
    'weights': loaded.weights,
    'step': loaded.step,
    'digest': about['digest'],
    'num_bytes': len(data),
    'versions': _versions(format),
  }
  beside = _companions(format, path, loaded, arrays)
  if beside:
    result['beside'] = [str(file) for file in beside]
  _write(path, data, beside, loaded, softmax, result)
  logging.info(
    'exported %s: %s differ by at most %.2g',
    path,
    result['compared'],
    result['max_abs_diff'],
  )
  return result


def _check_request(format: str, uint8_input: bool, softmax: bool) -> None:
  if format not in FORMATS:
    raise errors.InputError(
      f'--format must be one of {", ".join(FORMATS)}, not'
      f' {format!r}{errors.suggestion(format, FORMATS)}'
    )
  for flag, given in (('uint8_input', uint8_input), ('softmax', softmax)):
    if given and format != 'onnx':
      raise errors.InputError(
        f'--{flag} is of no use with --format={format}, which holds weights'
        ' and no program; leave it out, or give --format=onnx'
      )
  for package in FORMATS[format].packages:
    optional.import_package(package, f'--format={format}')


def _output_path(
  workdir: epath.PathLike, format: str, output: epath.PathLike | None
) -> epath.Path:
  if output is None:
    folder = epath.Path(workdir) / 'export' / format
    return folder / f'model{FORMATS[format].ending}'
  path = epath.Path(output)
  if path.suffix != FORMATS[format].ending or path.is_dir():
    raise errors.InputError(
      f'--output={output} does not name a file that ends in'
      f' {FORMATS[format].ending}; give one, or leave it out'
    )
  return path


def _read_card(workdir: epath.PathLike) -> Any:
  """The card of imported weights, which says whose they are; else None."""
  path = epath.Path(workdir) / 'card.json'
  if not path.exists():
    return None
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise errors.InputError(f'{path} cannot be read: {error}') from error


def _serialize(
  format: str,
  loaded: run.Run,
  arrays: Mapping[str, np.ndarray],
  about: Mapping[str, str],
  uint8_input: bool,
  softmax: bool,
) -> bytes:
  """Contents of the file."""
  if format == 'safetensors':
    from inception_jax.export import safetensors_file

    return safetensors_file.serialize(arrays, about)
  if format == 'npz':
    return npz_file.serialize(arrays, about)
  if format == 'torchvision':
    from inception_jax.export import torchvision_file

    return torchvision_file.serialize(arrays, about)
  from inception_jax.export import onnx_graph

  return onnx_graph.create_model(
    loaded, arrays, about, uint8_input, softmax
  ).SerializeToString(deterministic=True)


def _companions(
  format: str,
  path: epath.Path,
  loaded: run.Run,
  arrays: Mapping[str, np.ndarray],
) -> dict[epath.Path, bytes]:
  """Contents of the files that go beside `path`."""
  if format != 'torchvision':
    return {}
  from inception_jax.export import torchvision_file

  files = torchvision_file.companions(loaded, arrays)
  return {path.with_suffix(ending): data for ending, data in files.items()}


def _write(
  path: epath.Path,
  data: bytes,
  beside: Mapping[epath.Path, bytes],
  loaded: run.Run,
  softmax: bool,
  result: dict[str, Any],
) -> None:
  """Writes the files and `check.json`, all or none; completes `result`."""
  partial = path.with_name(f'.{path.name}.partial')
  check_file = path.with_name(CHECK_FILE)
  partial_check = path.with_name(f'.{CHECK_FILE}.partial')
  parts = {x: x.with_name(f'.{x.name}.partial') for x in beside}
  leftovers, made = [partial, partial_check, *parts.values()], []
  try:
    made = [p for p in (path.parent, *path.parent.parents) if not p.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    earlier = _earlier_checks(check_file, path)
    partial.write_bytes(data)
    for file, part in parts.items():
      part.write_bytes(beside[file])
    result |= _check(path, partial, loaded, result, softmax)
    checks = {**result, 'earlier': earlier} if earlier else result
    text = json.dumps(checks, indent=2, sort_keys=True)
    partial_check.write_text(text + '\n')
    # At no moment does it speak of another file.
    check_file.unlink(missing_ok=True)
    for file, part in {path: partial, **parts}.items():
      part.replace(file)
      leftovers.append(file)
    partial_check.replace(check_file)
    leftovers, made = [], []
  except OSError as error:
    raise errors.InputError(
      f'--output={path} cannot be written ({error.strerror or error}); make'
      ' room there, or give another'
    ) from error
  finally:
    for file in leftovers:
      with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)
    for folder in made:
      with contextlib.suppress(OSError):
        folder.rmdir()


def _earlier_checks(
  check_file: epath.Path, path: epath.Path
) -> list[dict[str, Any]]:
  """What was found of other files that were exported to the same folder."""
  if not check_file.exists():
    return []
  try:
    newest = json.loads(check_file.read_text())
    found = [newest, *newest.pop('earlier', ())]
    return [
      x for x in found if x['path'] != str(path) and x['max_abs_diff'] >= 0
    ]
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise errors.InputError(
      f'{check_file} is not of an export and would be lost; give --output in'
      ' another folder'
    ) from error


def _check(
  path: epath.Path,
  partial: epath.Path,
  loaded: run.Run,
  result: Mapping[str, Any],
  softmax: bool,
) -> dict[str, Any]:
  """Compares the file `partial`, which is to be `path`, with the network."""
  pixels = checking.pictures(loaded.eval_crop.size)
  logits = checking.logits_of(
    loaded.model, loaded.variables, loaded.preprocessing, pixels
  )
  try:
    outputs = _outputs_of(path, partial, loaded, result, pixels)
  except OSError:
    raise
  except Exception as error:  # Of as many kinds as there are runtimes.
    raise checking.ExportError(
      f'{path} cannot be used ({errors.first_line(error)}) and was removed; the'
      ' disk, or what is installed, may be at fault'
    ) from error
  exact = FORMATS[result['format']].exact
  found = checking.compare(logits, outputs, softmax, exact)
  checking.check(found, str(path))
  return found


def _outputs_of(
  path: epath.Path,
  file: epath.Path,
  loaded: run.Run,
  result: Mapping[str, Any],
  pixels: np.ndarray,
) -> np.ndarray:
  """What `file`, which is to be `path`, gives: logits or probabilities."""
  if result['format'] == 'onnx':
    from inception_jax.export import onnx_runtime

    return onnx_runtime.outputs_of(
      file.read_bytes(), loaded.preprocessing, pixels
    )
  if result['format'] == 'torchvision':
    network = torchvision_reader.read(file)
  elif result['format'] == 'safetensors':
    network = safetensors_reader.read(file)
  else:
    network = exported.network_of(
      *npz_file.deserialize(file.read_bytes()), str(file)
    )
  if network.card['digest'] != result['digest']:
    raise ValueError('it holds other weights')
  if result['format'] == 'torchvision':
    from inception_jax.export import torchvision_file

    files = {
      path.suffix: file,
      **{
        epath.Path(x).suffix: path.with_name(f'.{epath.Path(x).name}.partial')
        for x in result.get('beside', ())
      },
    }
    outputs = torchvision_file.outputs_of(
      loaded,
      checkpoint.flatten(network.variables),
      {ending: x.read_bytes() for ending, x in files.items()},
      pixels,
    )
    if outputs is not None:
      return outputs
  return checking.logits_of(
    models.create_model(**network.model_arguments),
    network.variables,
    network.preprocessing,
    pixels,
  )


def _versions(format: str) -> dict[str, str]:
  packages = ('inception_jax', 'jax', 'numpy', *FORMATS[format].packages)
  return {name: optional.version_of(name) for name in packages}
