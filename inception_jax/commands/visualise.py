"""The visualise mode: what a network has learnt, and where it looks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import pathlib
from typing import Any, NamedTuple

from absl import logging
from etils import epath
import jax
import jax.numpy as jnp
from matplotlib import figure as mpl_figure
import numpy as np

from inception_jax.data import pictures as pictures_lib
from inception_jax.runs import run
from inception_jax.runtime import errors
from inception_jax.visualisation import activations as figures
from inception_jax.visualisation import features as features_lib
from inception_jax.visualisation import plots

MAX_PICTURES = 16
DEFAULT_END_POINTS = (
  'conv1',
  'conv2',
  'inception_3b',
  'inception_4c',
  'inception_5b',
)
# What the average pooling and the classifier read.
_LAST = 'inception_5b'
# Half way up, channels stand for parts of things.
_FEATURE_END_POINT = 'inception_4c'
_NUM_CLASSES = 3
# Letters of a picture's name; file systems end at 255 bytes.
_MAX_STEM = 50
# Gradient ascent on 160 pixels where the network is for 224 takes less time
# and gave larger, clearer things.
_FEATURE_SIZE = 5 / 7


class Look(NamedTuple):
  """What a network makes of one picture.

  Attributes:
    image: uint8 `[size, size, 3]`.
    end_points: by name, float32 `[height, width, channels]`.
    logits: float32 `[num_classes]`.
  """

  image: np.ndarray
  end_points: dict[str, np.ndarray]
  logits: np.ndarray


def visualise(
  workdir: epath.PathLike,
  files: Sequence[str],
  *,
  weights: str | None = None,
  output: epath.PathLike | None = None,
  end_points: Sequence[str] | None = None,
  features: Sequence[str] | None = None,
) -> dict[str, Any]:
  """Draws filters, activations, class-activation maps and dreamt features.

  Writes `filters_conv1.png`; of each picture `NAME_activations.png` and
  `NAME_heatmap.png`; and `feature_….png` of each feature.

  Args:
    workdir: run directory, trained or imported.
    files: pictures, folders and patterns; see `pictures.list_files`.
    weights: see `run.load_run`.
    output: folder; None is `WORKDIR/visualisation`.
    end_points: whose activations; None is `DEFAULT_END_POINTS`, and an empty
      one none.
    features: `END_POINT:CHANNEL` or `class:NAME`, see
      `feature_visualisation.parse_feature`; None is the channel of
      `inception_4c` that answers the first picture the most, and the class
      that is seen in it.

  Returns:
    `output`, `files`, those written, and `failed: [{file, reason}]`.

  Raises:
    InputError: if something given cannot be used; a picture that cannot be read
      is no error but one of `failed`, if there are others.
  """
  loaded = run.load_run(workdir, weights)
  shapes = end_point_shapes(loaded)
  if end_points is None:
    end_points = DEFAULT_END_POINTS
  _check_end_points(end_points, shapes)
  if features is not None:
    features = [
      features_lib.parse_feature(text, shapes, loaded.labels)
      for text in features
    ]
  pictures = _read(files, loaded)
  folder = epath.Path(output or epath.Path(workdir) / 'visualisation')
  try:
    _make(folder)
    written = []
    for name, figure in _figures(loaded, pictures, end_points, features):
      plots.save_figure(figure, folder / name)
      written.append(str(folder / name))
      logging.info('wrote %s', written[-1])
  except OSError as error:
    raise errors.cannot_write(
      f'--output={folder}', error, 'give another folder'
    ) from error
  return {'output': str(folder), 'files': written, 'failed': pictures.failed}


def end_point_shapes(loaded: run.Run) -> dict[str, tuple[int, ...]]:
  """Shape of each end point for one picture, by name, computing nothing."""
  size = loaded.eval_crop.size
  image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  _, ends = jax.eval_shape(loaded.model.apply, loaded.variables, image)
  return {name: end.shape for name, end in ends.items()}


def _check_end_points(
  end_points: Iterable[str], shapes: Mapping[str, Sequence[int]]
) -> None:
  spatial = [name for name, shape in shapes.items() if len(shape) == 4]
  for name in end_points:
    if name not in spatial:
      raise errors.InputError(
        f'--end_points={name}: the network has no such activations'
        + (errors.suggestion(name, spatial) or f'; it has {", ".join(spatial)}')
      )


def _read(files: Sequence[str], loaded: run.Run) -> pictures_lib.Pictures:
  paths = pictures_lib.list_files(files)
  if not paths:
    raise errors.InputError('visualising needs pictures; name some files')
  if len(paths) > MAX_PICTURES:
    raise errors.InputError(
      f'{len(paths)} files are more than the {MAX_PICTURES} that are visualised'
      ' at a time; name fewer'
    )
  (pictures,) = pictures_lib.read_pictures(paths, loaded.eval_crop, len(paths))
  if not pictures.files:
    first = pictures.failed[0]
    raise errors.InputError(
      f'none of the files is a picture that can be read, first {first["file"]}:'
      f' {first["reason"]}; give others'
    )
  return pictures


def _make(folder: epath.Path) -> None:
  folder.mkdir(parents=True, exist_ok=True)
  probe = folder / '.probe'
  probe.write_text('')
  probe.unlink()


def _figures(
  loaded: run.Run,
  pictures: pictures_lib.Pictures,
  end_points: Sequence[str],
  features: Sequence[features_lib.Feature] | None,
) -> Iterable[tuple[str, mpl_figure.Figure]]:
  """Every figure with the name of its file."""
  kernel = loaded.variables['params']['conv1']['kernel']
  if loaded.preprocessing.bgr:
    kernel = kernel[:, :, ::-1]
  yield 'filters_conv1.png', figures.draw_filters(kernel)
  look_fn = create_look_fn(loaded, (*end_points, _LAST, _FEATURE_END_POINT))
  names = file_names(pictures.files)
  for name, image in zip(names, pictures.images, strict=True):
    look = look_fn(image)
    if not np.isfinite(look.logits).all():
      raise errors.InputError(
        'the network gives logits that are not finite; give other --weights, or'
        ' train or import it again'
      )
    if end_points:
      shown = {x: look.end_points[x] for x in end_points}
      yield f'{name}_activations.png', figures.draw_activations(image, shown)
    yield f'{name}_heatmap.png', _draw_heatmap_of(loaded, look)
    if features is None:
      features = _features_of(look, loaded)
  size = round(_FEATURE_SIZE * loaded.eval_crop.size)
  for feature in features:
    ascent = features_lib.ascend(
      loaded.model,
      loaded.variables,
      loaded.preprocessing,
      feature,
      size=max(loaded.model.architecture.min_size, size),
    )
    yield f'feature_{feature.stem}.png', figures.draw_feature(feature, ascent)


def _features_of(look: Look, loaded: run.Run) -> list[features_lib.Feature]:
  """What a picture excites most: a channel and a class."""
  activations = look.end_points[_FEATURE_END_POINT]
  (channel,) = figures.strongest_channels(activations, 1)
  return [
    features_lib.channel_feature(_FEATURE_END_POINT, channel),
    features_lib.class_feature(int(look.logits.argmax()), loaded.labels),
  ]


def create_look_fn(
  loaded: run.Run, end_points: Iterable[str]
) -> Callable[[np.ndarray], Look]:
  """From an image, uint8 `[size, size, 3]`, to what the network makes of it."""
  variables, names = jax.device_put(loaded.variables), set(end_points)

  @jax.jit
  def apply(variables, image):
    x = loaded.preprocessing(image[None])
    logits, ends = loaded.model.apply(variables, x)
    chosen = {name: ends[name][0].astype(jnp.float32) for name in names}
    return chosen, logits[0]

  return lambda image: Look(image, *jax.device_get(apply(variables, image)))


def class_activation_maps(
  activations: np.ndarray, kernel: np.ndarray, bias: np.ndarray
) -> np.ndarray:
  """What each place of the last activations says for each class.

  The head is the mean over the places, then a linear layer. Both are linear,
  so the layer may come first: `maps[..., c] = activations @ kernel[:, c] +
  bias[c]`, and the mean of a map over its places is the logit of its class.

  Args:
    activations: of the last module, `[height, width, channels]`.
    kernel: of the linear layer, `[channels, classes]`.
    bias: of the linear layer, `[classes]`.

  Returns:
    `[height, width, classes]`, logits.

  References:
    Zhou et al. 2016, Learning Deep Features for Discriminative Localization,
    arXiv 1512.04150.
  """
  return activations @ kernel + bias


def file_names(files: Sequence[str]) -> list[str]:
  """A name for each file, as its own but without ending, all different."""
  names = []
  for file in files:
    stem = pathlib.PurePath(file).stem[:_MAX_STEM]
    name, number = stem, 1
    while name in names:
      number += 1
      name = f'{stem}_{number}'
    names.append(name)
  return names


def _draw_heatmap_of(loaded: run.Run, look: Look) -> mpl_figure.Figure:
  classifier = loaded.variables['params']['classifier']
  best = np.argsort(-look.logits, kind='stable')[:_NUM_CLASSES]
  maps = class_activation_maps(
    look.end_points[_LAST],
    classifier['kernel'][:, best],
    classifier['bias'][best],
  )
  probabilities = jax.device_get(jax.nn.softmax(look.logits))[best]
  names = [loaded.labels[output].name.split(', ')[0] for output in best]
  return figures.draw_heatmap(look.image, maps, names, probabilities)
