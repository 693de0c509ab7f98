"""What an exported file says of itself, and the network read back from it.

Arrays have flat names, `params/inception_4a/conv_5x5/kernel`. The description
is a dictionary of strings, which is what the metadata of safetensors and ONNX
files can hold; values that are not strings are JSON.
"""

from collections.abc import Iterator, Mapping
import contextlib
import hashlib
import json
from typing import Any

from flax import traverse_util
import jax.numpy as jnp
import numpy as np

from inception_jax import models
from inception_jax.models import architectures
from inception_jax.runs import description as description_lib
from inception_jax.runs import named_arrays, run
from inception_jax.runtime import errors, json_files
from inception_jax.weights import imported

# How a file of ours is told from others, and from those of later versions.
FORMAT = 'inception_jax'
FORMAT_VERSION = '1.1'
# Without a scale for each channel and without mean images, which a program that
# reads this one only would not see; what has neither is still written so.
_EARLIER_VERSION = '1'


def describe(
  loaded: run.Run, arrays: Mapping[str, np.ndarray], card: Any = None
) -> dict[str, str]:
  """Everything beside the weights that is needed to use them.

  Args:
    loaded: the run.
    arrays: its variables by their flat names.
    card: origin and licence of imported weights; anything JSON can hold.

  Returns:
    `format, format_version, profile, model, preprocessing, labels, digest,
    weights, step` and, if there is one, `card`.
  """
  arguments = model_arguments(loaded.model)
  pixels = loaded.preprocessing
  is_plain = pixels.mean_image is None and not isinstance(pixels.scale, tuple)
  description = {
    'format': FORMAT,
    'format_version': _EARLIER_VERSION if is_plain else FORMAT_VERSION,
    'profile': arguments['name'],
    'model': _to_json(arguments),
    'preprocessing': _to_json(
      description_lib.pixels(loaded.preprocessing, loaded.eval_crop)
    ),
    'labels': _to_json(loaded.labels.to_json()),
    'digest': digest_of(arrays),
    'weights': loaded.weights,
    'step': str(loaded.step),
  }
  if card is not None:
    description['card'] = _to_json(card)
  return description


def model_arguments(model: models.GoogLeNet) -> dict[str, Any]:
  """Arguments of `models.create_model` that build `model` again.

  All of them, so that a file keeps its meaning when a default changes; but not
  the axis of a step that ran on many devices.
  """
  return {
    'name': architectures.name_of(model.architecture),
    'num_classes': model.num_classes,
    'use_aux': model.use_aux,
    'width': model.width,
    'module_form': model.module_form,
    'merge_1x1': model.merge_1x1,
    'batch_norm_momentum': model.batch_norm_momentum,
    'dtype': jnp.dtype(model.dtype).name,
  }


def digest_of(arrays: Mapping[str, np.ndarray]) -> str:
  """SHA-256 over the names and digests of all arrays, in order of names."""
  lines = [
    f'{name} {named_arrays.digest(value)}\n'
    for name, value in sorted(arrays.items())
  ]
  return hashlib.sha256(''.join(lines).encode()).hexdigest()


def network_of(
  arrays: Mapping[str, np.ndarray], description: Mapping[str, str], source: str
) -> imported.ImportedNetwork:
  """The network of a file, verified.

  Args:
    arrays: by flat names.
    description: what `describe` made.
    source: name of the file, for messages.

  Returns:
    The network; its card holds `digest, weights, step` and, if the file has
    one, the card of the run as `origin`.

  Raises:
    InputError: if the file is not one of ours, or is damaged.
  """
  check_is_ours(description, source)
  with _damage_explained(source):
    parts, card = _parse(description)
    _check_arrays(arrays, card['digest'], source)
    variables = {
      'batch_stats': {},
      **traverse_util.unflatten_dict(dict(arrays), sep='/'),
    }
    network = description_lib.read(**parts, variables=variables)
  return imported.ImportedNetwork(
    model_arguments=parts['model'],
    variables=variables,
    preprocessing=network.preprocessing,
    eval_crop=network.eval_crop,
    labels=network.labels,
    missing=(),
    unused=(),
    card=card,
  )


@contextlib.contextmanager
def _damage_explained(source: str) -> Iterator[None]:
  try:
    yield
  except errors.InputError:
    raise
  except description_lib.WrongPartError as error:
    raise errors.InputError(
      f'the metadata of {source} are damaged: {error.part}: {error}; export or'
      ' copy the file again'
    ) from error
  except (KeyError, TypeError, ValueError, RecursionError) as error:
    raise errors.InputError(
      f'the metadata of {source} are damaged'
      f' ({type(error).__name__}: {errors.first_line(error)}); export or copy'
      ' the file again'
    ) from error


def _parse(
  description: Mapping[str, str],
) -> tuple[dict[str, Any], dict[str, Any]]:
  """The parts that describe a run, and the card."""
  parts = {
    name: json.loads(description[name])
    for name in ('model', 'preprocessing', 'labels')
  }
  card = {
    'digest': description['digest'],
    'weights': description['weights'],
    'step': int(description['step']),
  }
  if 'card' in description:
    card['origin'] = json.loads(description['card'])
  return parts, card


def _check_arrays(
  arrays: Mapping[str, np.ndarray], digest: str, source: str
) -> None:
  if digest_of(arrays) != digest:
    raise errors.InputError(
      f'the arrays of {source} are not those that were exported (their digest'
      ' differs); export or copy the file again'
    )
  if bad := [x for x, value in arrays.items() if not np.isfinite(value).all()]:
    raise errors.InputError(
      f'{source}: {bad[0]!r} holds values that are not finite; export other'
      ' weights'
    )


def check_no_weights(weights: str | None, source: Any) -> None:
  """Raises InputError if `--weights` is given for a file of ours."""
  if weights is not None:
    raise errors.InputError(
      f'{source} was exported by inception_jax and holds one set of weights;'
      ' leave --weights out'
    )


def check_is_ours(description: Mapping[str, str], source: str) -> None:
  """Raises InputError unless the metadata say that we wrote the file."""
  if description.get('format') != FORMAT:
    raise errors.InputError(
      f'{source} was not exported by inception_jax: its metadata do not say so;'
      ' give a file that --mode=export wrote, or --source=torchvision for one'
      " with the keys of torchvision's GoogLeNet"
    )
  version = description.get('format_version')
  if version not in (FORMAT_VERSION, _EARLIER_VERSION):
    raise errors.InputError(
      f'{source} has the format version {version!r}, and this version of'
      f' inception_jax reads up to {FORMAT_VERSION!r}; export the file again,'
      ' or use the version of inception_jax that wrote it'
    )


def _to_json(value: Any) -> str:
  return json_files.dumps(value, sort_keys=True)
