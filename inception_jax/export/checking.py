"""Whether an exported file computes what the network computes.

Pictures that are drawn by chance, but the same every time, go through both.
"""

from collections.abc import Mapping
import functools
from typing import Any

from etils import epath
import jax
import jax.numpy as jnp
import numpy as np

from inception_jax import models, preprocess
from inception_jax.export import formats
from inception_jax.runtime import errors
from inception_jax.weights import imported

NUM_IMAGES = 16
# Largest difference where the largest logit is from 1 to `ORDINARY_LOGIT`, and
# else in proportion, since float32 rounds in proportion too.
LOGITS_ATOL = 1e-4
ORDINARY_LOGIT = 25.0
# Where softmax has been taken, logarithms of probabilities are compared, whose
# errors are those of logits; smaller ones than this are not looked at.
MIN_PROBABILITY = 1e-20
# Sides of the grids that are drawn, from smooth to fine.
_SCALES = (2, 4, 8, 16, 32)


class ExportError(errors.UserFacingError, RuntimeError):
  """An exported file is not what it should be; it was removed."""


def pictures(side: int, num_images: int = NUM_IMAGES) -> np.ndarray:
  """Clouds of several sizes, of many colours and contrasts, and noise.

  Args:
    side: height and width.
    num_images: how many.

  Returns:
    uint8 `[num_images, side, side, 3]`, the same for the same arguments.
  """
  # RandomState, whose stream NumPy keeps forever.
  rng = np.random.RandomState(0)
  total = rng.standard_normal((num_images, side, side, 3)) / 8
  for cells in _SCALES:
    grid = rng.standard_normal((num_images, cells, cells, 3))
    places = np.linspace(0, cells - 1, side)
    below = np.minimum(places.astype(int), cells - 2)
    share = (places - below)[:, None]
    # Linear interpolation, rows and then columns.
    near = np.eye(cells)[below] * (1 - share) + np.eye(cells)[below + 1] * share
    # One axis at a time, or it would take seconds.
    rows = np.einsum('yi,nijc->nyjc', near, grid, optimize=True)
    clouds = np.einsum('xj,nyjc->nyxc', near, rows, optimize=True)
    total += clouds / cells**0.5
  contrast = rng.uniform(20, 80, (num_images, 1, 1, 1))
  brightness = rng.uniform(80, 180, (num_images, 1, 1, 3))
  return np.clip(np.round(total * contrast + brightness), 0, 255).astype(
    np.uint8
  )


def logits_of(
  model: models.GoogLeNet,
  variables: Mapping[str, Any],
  preprocessing: preprocess.Preprocessing,
  pixels: np.ndarray,
) -> np.ndarray:
  """Logits of the network in float32, whatever it was trained in.

  Args:
    model: the network.
    variables: its weights.
    preprocessing: pixels to network input.
    pixels: uint8 `[batch, height, width, 3]`.

  Returns:
    float32 `[batch, num_classes]`.

  Raises:
    InputError: if some are not finite.
  """
  model = model.clone(dtype=jnp.float32)
  # GPUs and TPUs would multiply with fewer bits.
  with jax.default_matmul_precision('highest'):
    logits = np.asarray(_apply(model, preprocessing, variables, pixels))
  if not np.isfinite(logits).all():
    raise errors.InputError(
      'the network gives logits that are not finite, so it is not worth'
      ' exporting; give other --weights, or train it again'
    )
  return logits


@functools.partial(jax.jit, static_argnums=(0, 1))
def _apply(model, preprocessing, variables, pixels):
  return model.apply(variables, preprocessing(pixels))[0]


def outputs_of_network(
  network: imported.ImportedNetwork,
  request: formats.Request,
  pixels: np.ndarray,
) -> np.ndarray:
  """Logits of a network that was read back from a file, run as we run it.

  Args:
    network: as it was read.
    request: what was exported.
    pixels: uint8 `[batch, height, width, 3]`.

  Returns:
    float32 `[batch, num_classes]`.

  Raises:
    ValueError: if the file holds other weights than those exported.
  """
  check_weights(network, request)
  return logits_of(
    models.create_model(**network.model_arguments),
    network.variables,
    network.preprocessing,
    pixels,
  )


def check_weights(
  network: imported.ImportedNetwork, request: formats.Request
) -> None:
  """Raises ValueError if a file holds other weights than those exported."""
  if network.card['digest'] != request.description['digest']:
    raise ValueError('it holds other weights')


def check_files(
  format: formats.Format,
  request: formats.Request,
  files: Mapping[str, epath.Path],
  path: epath.Path,
) -> dict[str, Any]:
  """Compares what files compute with what the network computes.

  Args:
    format: what the files are.
    request: what was exported.
    files: where each lies, by its ending.
    path: what the file is to be called, for messages.

  Returns:
    See `compare`.

  Raises:
    ExportError: if the files cannot be used, or compute something else.
    OSError: if they cannot be read.
    InputError: if the network gives logits that are not finite.
  """
  loaded = request.loaded
  pixels = pictures(loaded.eval_crop.size)
  logits = logits_of(
    loaded.model, loaded.variables, loaded.preprocessing, pixels
  )
  try:
    outputs = format.import_module().outputs_of(request, files, pixels)
  except OSError:
    raise
  except Exception as error:  # Of as many kinds as there are runtimes.
    raise ExportError(
      f'{path} cannot be used ({errors.first_line(error)}) and was removed; the'
      ' disk, or what is installed, may be at fault'
    ) from error
  softmax = request.options.get('softmax', False)
  found = compare(logits, outputs, softmax, format.exact)
  check(found, str(path))
  return found


def compare(
  logits: np.ndarray, outputs: np.ndarray, softmax: bool, exact: bool
) -> dict[str, Any]:
  """How far a file's outputs are from the network's.

  Args:
    logits: of the network, float32 `[batch, num_classes]`.
    outputs: of the file, of the same shape.
    softmax: whether `outputs` are probabilities.
    exact: whether every bit must agree.

  Returns:
    `num_images, compared, max_abs_diff, mean_abs_diff, top1_agreement,
    tolerance`. Where several logits are equally large, any of them is the
    first.
  """
  ours, theirs = logits.astype(np.float64), outputs.astype(np.float64)
  difference = np.abs(theirs - ours)
  if softmax:
    shifted = ours - ours.max(-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    floor = np.finfo(np.float32).tiny
    difference = np.abs(np.log(np.maximum(theirs, floor)) - log_probs)
    difference = difference[log_probs > np.log(MIN_PROBABILITY)]
  winners = np.take_along_axis(ours, theirs.argmax(-1)[:, None], -1)[:, 0]
  largest = np.abs(ours).max()
  tolerance = LOGITS_ATOL * max(min(1.0, largest), largest / ORDINARY_LOGIT)
  return {
    'num_images': len(ours),
    'compared': 'log_probabilities' if softmax else 'logits',
    'max_abs_diff': float(difference.max()),
    'mean_abs_diff': float(difference.mean()),
    'top1_agreement': float((winners == ours.max(-1)).mean()),
    'tolerance': 0.0 if exact else float(tolerance),
  }


def check(found: Mapping[str, Any], path: str) -> None:
  """Raises ExportError unless the result of `compare` is good enough.

  Args:
    found: the result.
    path: of the file, for the message.
  """
  # Written so that it is raised for NaN as well.
  if (
    found['max_abs_diff'] <= found['tolerance'] and found['top1_agreement'] == 1
  ):
    return
  raise ExportError(
    f'{path} does not compute what the network does: {found["compared"]} differ'
    f' by up to {found["max_abs_diff"]:.2g} (allowed are'
    f' {found["tolerance"]:.2g}) and {found["top1_agreement"]:.0%} of the first'
    ' choices agree; the file was removed, and other versions of the packages'
    ' that write and run it may do better'
  )
