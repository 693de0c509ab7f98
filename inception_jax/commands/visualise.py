"""The visualise command: what a network has learnt, and where it looks."""

from collections.abc import Iterable, Mapping, Sequence
import pathlib
from typing import Any

from absl import logging
from etils import epath
import jax
import jax.numpy as jnp
from matplotlib import figure as mpl_figure
import numpy as np

from inception_jax.data import pictures as pictures_lib
from inception_jax.runs import run
from inception_jax.runtime import durable, errors, own_files, paths, words
from inception_jax.visualisation import activations as figures
from inception_jax.visualisation import drawn_names, plots
from inception_jax.visualisation import features as features_lib
from inception_jax.visualisation import look as look_lib

MAX_PICTURES = 16
_NUM_CLASSES = 3
# Letters of a picture's name; file systems end at 255 bytes.
_MAX_STEM = 50
# Of a class in a title, in characters.
_NAME_WIDTH = 60
# Gradient ascent on 160 pixels where the network is for 224 takes less time
# and gave larger, clearer things.
_FEATURE_SIZE = 5 / 7


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
    weights: see `runs.run.load_run`.
    output: folder; None is `WORKDIR/visualisation`.
    end_points: whose activations; None is `look.default_end_points`, and an
      empty one none.
    features: `END_POINT:CHANNEL` or `class:NAME`, see
      `visualisation.features.parse_feature`; None is the channel of
      `look.middle_module` that the first picture excites the most, and the
      class that is seen in it.

  Returns:
    `output`, `files`, those written, and `failed: [{file, reason}]`.

  Raises:
    InputError: if something given cannot be used; a picture that cannot be read
      is no error but one of `failed`, if there are others.
  """
  loaded = run.load_run(workdir, weights)
  shapes = end_point_shapes(loaded)
  if end_points is None:
    end_points = look_lib.default_end_points(loaded.model.architecture)
  _check_end_points(end_points, shapes)
  if features is not None:
    features = [
      features_lib.parse_feature(text, shapes, loaded.labels)
      for text in features
    ]
  pictures = _read(files, loaded)
  if output is None:
    output = epath.Path(workdir) / 'visualisation'
  folder = epath.Path(paths.expand(output, '--output'))
  try:
    durable.check_writable(folder)
    written = []
    files = own_files.OwnFiles(folder, '--output')
    for name, figure in _figures(loaded, pictures, end_points, features):
      files.write({name: plots.to_png(figure)})
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
        + (
          errors.suggestion(name, spatial) or f'; it has {words.join(spatial)}'
        )
      )


def _read(files: Sequence[str], loaded: run.Run) -> pictures_lib.Pictures:
  listed = pictures_lib.list_files(files)
  if not listed:
    raise errors.InputError('visualising needs pictures; name some files')
  if len(listed) > MAX_PICTURES:
    raise errors.InputError(
      f'{len(listed)} files are more than the {MAX_PICTURES} that are'
      ' visualised at a time; name fewer'
    )
  (pictures,) = pictures_lib.read_pictures(
    listed, loaded.eval_crop, len(listed)
  )
  if not pictures.files:
    first = pictures.failed[0]
    raise errors.InputError(
      f'none of the files is a picture that can be read, first {first["file"]}:'
      f' {first["reason"]}; give others'
    )
  return pictures


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
  arch = loaded.model.architecture
  look_fn = look_lib.create_look_fn(
    loaded.model,
    loaded.variables,
    loaded.preprocessing,
    (*end_points, look_lib.last_module(arch), look_lib.middle_module(arch)),
  )
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


def _features_of(
  look: look_lib.Look, loaded: run.Run
) -> list[features_lib.Feature]:
  """What a picture excites most: a channel and a class."""
  end_point = look_lib.middle_module(loaded.model.architecture)
  (channel,) = figures.strongest_channels(look.end_points[end_point], 1)
  return [
    features_lib.channel_feature(end_point, channel),
    features_lib.class_feature(int(look.logits.argmax()), loaded.labels),
  ]


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


def _draw_heatmap_of(loaded: run.Run, look: look_lib.Look) -> mpl_figure.Figure:
  classifier = loaded.variables['params']['classifier']
  best = np.argsort(-look.logits, kind='stable')[:_NUM_CLASSES]
  maps = look_lib.class_activation_maps(
    look.end_points[look_lib.last_module(loaded.model.architecture)],
    classifier['kernel'][:, best],
    classifier['bias'][best],
  )
  probabilities = jax.device_get(jax.nn.softmax(look.logits))[best]
  names = drawn_names.distinct(
    [label.name for label in loaded.labels.labels], _NAME_WIDTH
  )
  return figures.draw_heatmap(
    look.image, maps, [names[output] for output in best], probabilities
  )
