"""The run directory: everything that training leaves behind.

config.json          the resolved config
config_changes.jsonl fields that were changed when the run went on, and when
model.json           arguments of `models.create_model`
preprocessing.json   picture to pixels to network input
labels.json          what each output means: index, synset, name
training.json        the step at which training ends
last_layer.json      how a new classifier was fitted, if it was
last_layer/          in a run of two steps, the run of the first
used.json            and which of the two is used
features/            what runs that start from this one fit theirs to
data.json            what tells its data from other data (see `trained_data`)
checkpoints/STEP/    weights, optimizer, averages (see `checkpoint`)
metrics.jsonl        losses and accuracies; the same in every repetition
timing.jsonl         images a second; never the same
tensorboard/         the metrics as TensorBoard events
plots/               pictures of them
train.log            what it has logged
"""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import hashlib
from typing import Any

from absl import logging
from etils import epath
from flax import traverse_util
import jax
import numpy as np

from inception_jax import models, preprocess
from inception_jax.data import crop_rules, given_images, labels
from inception_jax.models import architectures
from inception_jax.runs import (
  checkpoint,
  choice,
  description,
  named_arrays,
  no_run,
)
from inception_jax.runs import inference as inference_lib
from inception_jax.runtime import (
  errors,
  json_files,
  paths,
  read_failures,
  words,
)
from inception_jax.training import averaging

# For a damaged file beside the checkpoints.
REMEDY = (
  "run the run's training command again, which writes that file anew, or import"
  ' the weights again'
)
_TOP_K = 5
_BATCH_SIZE = 32
# Where each kind of weights lies in a checkpoint.
_PREFIXES = {
  'raw': '',
  'ema': 'averages/ema/ema/variables/',
  'polyak': 'averages/polyak/mean/',
}
_EMA_WEIGHT = 'averages/ema/ema/weight'
_POLYAK_COUNT = 'averages/polyak/count'


@dataclasses.dataclass(frozen=True, repr=False)
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
    digest: SHA-256 of all that decides what the network makes of an image.
  """

  model: models.GoogLeNet
  variables: dict[str, Any]
  preprocessing: preprocess.Preprocessing
  eval_crop: crop_rules.EvaluationCrop
  labels: labels.LabelMap
  weights: str
  step: int
  digest: str = ''

  def __repr__(self) -> str:
    params = jax.tree.leaves(self.variables['params'])
    return (
      f'Run({architectures.name_of(self.model.architecture)!r},'
      f' weights={self.weights!r}, step={self.step},'
      f' outputs={self.model.num_classes}, image_size={self.eval_crop.size},'
      f' parameters={sum(x.size for x in params):,})'
    )

  def predict(
    self, images: Any, top_k: int | None = None
  ) -> list[dict[str, Any]] | list[list[dict[str, Any]]]:
    """The most probable classes of images.

    Args:
      images: the path of a picture, a PIL image, a uint8 array
        `[height, width, 3]` or `[n, height, width, 3]`, RGB from 0 to 255, or a
        list of these. Each is cut and scaled as this run says.
      top_k: number of classes; None is 5, or all where there are fewer.

    Returns:
      `[{index, synset, name, probability}]`, the most probable first; of
      several images a list of these.

    Raises:
      InputError: if an image or `top_k` cannot be used.
    """
    if top_k is None:
      top_k = min(_TOP_K, len(self.labels))
    given, is_one = given_images.split(images)
    found = [
      top
      for part in _parts(given)
      for top in self.inference.classify(
        given_images.cut(part, self.eval_crop), top_k
      )
    ]
    return found[0] if is_one else found

  def features(self, images: Any, end_point: str = 'avg_pool') -> np.ndarray:
    """What a layer makes of images.

    Args:
      images: see `predict`.
      end_point: its name, such as 'inception_4c', 'avg_pool' or 'logits'.

    Returns:
      `[n, ...]`; n is 1 for one image.

    Raises:
      InputError: if an image cannot be used, or there is no such end point.
    """
    given, _ = given_images.split(images)
    if not given:
      raise errors.InputError('there are no images; give one at least')
    return np.concatenate(
      [
        self.inference.end_point(
          given_images.cut(part, self.eval_crop), end_point
        )
        for part in _parts(given)
      ]
    )

  @functools.cached_property
  def inference(self) -> inference_lib.Inference:
    """The network, compiled for each shape of images that it is given."""
    return inference_lib.Inference(
      self.model, self.variables, self.preprocessing, self.labels
    )


def _parts(images: Sequence[Any]) -> list[Sequence[Any]]:
  """Images in batches that fit in any memory."""
  return [
    images[i : i + _BATCH_SIZE] for i in range(0, len(images), _BATCH_SIZE)
  ]


def load_run(
  workdir: epath.PathLike, weights: str | None = None, step: int | None = None
) -> Run:
  """Loads a run directory.

  Args:
    workdir: made by training.
    weights: 'raw', 'ema' or 'polyak'. None is what the run's config names as
      `averaging.inference_weights`, once that has begun, or else 'ema' where
      the run keeps it, or 'raw'; or those of the first step of two, if that
      is the better one (`two_steps`).
    step: which checkpoint; None is the newest.

  Returns:
    The network, its weights, preprocessing and class names.

  Raises:
    InputError: if `workdir` is no run directory, or has no such weights.
  """
  workdir = epath.Path(paths.expand(workdir, '--workdir'))
  if weights is None and step is None:
    workdir, given = choice.used(workdir), workdir
    if workdir != given:
      logging.info('using %s, which is the better step of the run', workdir)
  config = read_config(workdir)  # Says so if this is no run directory.
  checkpoints = checkpoint.Checkpoints(workdir / 'checkpoints', read_only=True)
  steps = checkpoints.steps()
  if not steps:
    raise errors.InputError(f'{workdir} has no checkpoint yet; train it first')
  if step is None:
    step = steps[-1]
  elif step not in steps:
    raise errors.InputError(
      f'{workdir} has no checkpoint {step}; it has {words.join(steps)}'
    )
  choice.say_if_unfinished(workdir, step)
  try:
    arrays, _ = checkpoints.restore(step)
  except checkpoint.CorruptCheckpointError as error:
    raise checkpoint.CorruptCheckpointError(
      f'{error}; '
      + (
        'delete that folder to use an older one'
        if step > steps[0]
        else 'train or import the run again'
      )
    ) from error
  checkpoints.close()
  if weights is None:
    wanted = (config.get('averaging') or {}).get('inference_weights')
    weights = averaging.default_kind(wanted, _kept(arrays))
  variables = _select(arrays, weights, workdir)
  parts = {
    name: json_files.read_json(workdir / f'{name}.json', REMEDY)
    for name in ('model', 'preprocessing', 'labels')
  }
  try:
    network = description.read(**parts, variables=variables)
  except description.WrongPartError as error:
    raise errors.InputError(
      f'{workdir / error.part}.json does not fit: {error}; {REMEDY}'
    ) from error
  return Run(
    model=network.model,
    preprocessing=network.preprocessing,
    eval_crop=network.eval_crop,
    labels=network.labels,
    variables=variables,
    weights=weights,
    step=step,
    digest=_digest(parts, weights, arrays),
  )


def digest_of(parts: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
  """The digest of a run of these weights: see `Run.digest`.

  Args:
    parts: 'model' and 'preprocessing' as JSON, as a run directory has them.
    variables: host arrays.
  """
  return _digest(parts, 'raw', traverse_util.flatten_dict(variables, sep='/'))


def _digest(
  parts: Mapping[str, Any], weights: str, arrays: Mapping[str, np.ndarray]
) -> str:
  # Of what is stored, not of what is computed from it, such as an average over
  # its weight: the same bits on every machine.
  prefix = _PREFIXES[weights]
  kept = {prefix + name for name in _collections(arrays, prefix)}
  # What is frozen has no average and is used as it is.
  kept |= {x for x in _collections(arrays, '') if prefix + x not in arrays}
  if weights == 'ema':
    kept.add(_EMA_WEIGHT)
  digests = {name: named_arrays.digest(arrays[name]) for name in kept}
  described = {name: parts[name] for name in ('model', 'preprocessing')}
  text = json_files.dumps([described, digests], sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _kept(arrays: Mapping[str, np.ndarray]) -> set[str]:
  """The kinds of weights that a checkpoint has."""
  kept = {'raw'}
  if _EMA_WEIGHT in arrays:
    kept.add('ema')
  if _POLYAK_COUNT in arrays and arrays[_POLYAK_COUNT]:
    kept.add('polyak')
  return kept


def _select(
  arrays: Mapping[str, np.ndarray], weights: str, workdir: epath.Path
) -> dict[str, Any]:
  """Variables of one kind out of a checkpoint's flat arrays."""
  if weights not in averaging.KINDS:
    raise errors.InputError(
      f'weights must be one of {words.join(averaging.KINDS, "or")}, not'
      f' {weights!r}{errors.suggestion(weights, averaging.KINDS)}'
    )
  prefix = _PREFIXES[weights]
  raw = _collections(arrays, '')
  flat = _collections(arrays, prefix)
  if not flat:
    raise errors.InputError(
      f'{workdir} keeps no {weights!r} weights, since its config has them off;'
      f' take {" or ".join(f"--weights={x}" for x in sorted(_kept(arrays)))}'
    )
  if weights == 'ema':
    flat = {name: value / arrays[_EMA_WEIGHT] for name, value in flat.items()}
  if weights == 'polyak' and not arrays[_POLYAK_COUNT]:
    raise errors.InputError(
      f"the 'polyak' average of {workdir} has not begun at this checkpoint;"
      ' take --weights=ema or --weights=raw, or train further'
    )
  # Of what training left alone no average is made.
  tree = traverse_util.unflatten_dict({**raw, **flat}, sep='/')
  return {'batch_stats': {}, **tree}


def _collections(
  arrays: Mapping[str, np.ndarray], prefix: str
) -> dict[str, np.ndarray]:
  """What lies under `prefix` of the params and batch_stats."""
  return {
    name.removeprefix(prefix): value
    for name, value in arrays.items()
    if name.startswith((f'{prefix}params/', f'{prefix}batch_stats/'))
  }


def read_config(workdir: epath.PathLike) -> dict[str, Any]:
  """The resolved config of a run.

  Raises:
    InputError: if `workdir` is no run directory.
  """
  path = epath.Path(workdir) / 'config.json'
  try:
    exists = read_failures.exists(path)
  except errors.InputError:
    raise
  except Exception as error:  # Of remote folders, of several kinds.
    raise errors.InputError(
      f'{workdir} cannot be reached ({errors.first_line(error)}); check'
      ' --workdir'
    ) from error
  if not exists:
    raise errors.InputError(no_run.describe(epath.Path(workdir)))
  config = json_files.read_json(path, REMEDY)
  if not isinstance(config, dict):
    raise errors.InputError(f'{path} is damaged (it is no config); {REMEDY}')
  return config
