"""From the crops of an image to its predictions, on the device.

The crops that `data.crops_144` enumerates are cut on the device and go through
the network; `aggregate` makes one prediction of those of several crops. A view
is the prediction of some of the crops by one aggregation.

References:
  Szegedy et al. 2014, Going Deeper with Convolutions, section 7.
"""

from collections.abc import Callable
import functools
import itertools
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp

from inception_jax.data import crop_rules, crops_144, resampling
from inception_jax.models import GoogLeNet
from inception_jax.preprocess import Preprocessing

# The paper's is the mean of the probabilities; the others "lead to inferior
# performance", it says of the maximum.
AGGREGATIONS = ('mean_probability', 'max_probability', 'mean_logit')


class View(NamedTuple):
  """One prediction for an image, from some of its crops.

  Attributes:
    num_crops: how many crops.
    aggregation: how their predictions become one, one of `AGGREGATIONS`.
  """

  num_crops: int
  aggregation: str


def views(
  crop: crop_rules.EvaluationCrop | crops_144.MultiCrop,
) -> tuple[View, ...]:
  """The predictions that one pass over all crops of an image can give.

  Each part in `MultiCrop.nested()` has one for each aggregation; a single crop
  has one, since there is nothing to aggregate.
  """
  if isinstance(crop, crop_rules.EvaluationCrop):
    return (View(1, AGGREGATIONS[0]),)
  return tuple(
    View(len(part), how)
    for part in crop.nested()
    for how in (AGGREGATIONS if len(part) > 1 else AGGREGATIONS[:1])
  )


def unpack(packed: jax.Array, spec: crops_144.MultiCrop) -> list[jax.Array]:
  """The squares of pictures, `[batch, count, side, side, 3]` a part.

  Args:
    packed: uint8 `[batch, *spec.shape]`; see `data.squares.pack`.
    spec: what is in it.
  """
  lengths = [3 * count * side**2 for count, side in spec.parts]
  ends = list(itertools.accumulate(lengths))

  def squares_of(row):
    # A last byte, if there is one, belongs to none.
    parts = jnp.split(row[: ends[-1]], ends[:-1])
    return [
      part.reshape(count, side, side, 3)
      for part, (count, side) in zip(parts, spec.parts, strict=True)
    ]

  def either(row):
    if not spec.canvas:
      return squares_of(row)
    resized = functools.partial(_resized_squares, spec=spec)
    return lax.cond(row[-1] > 0, resized, squares_of, row)

  return lax.map(either, packed)


def _resized_squares(
  row: jax.Array, spec: crops_144.MultiCrop
) -> list[jax.Array]:
  """The squares of a picture that crossed as it is."""
  pixels, taps = jnp.split(row[: spec.picture_ends[1]], spec.picture_ends[:1])
  pixels = pixels.reshape(spec.canvas, spec.canvas, 3)
  taps = lax.bitcast_convert_type(taps.reshape(-1, 4), jnp.int32)
  taps = taps.reshape(-1, 1 + crops_144.CANVAS_TAPS)
  resize = jax.vmap(resampling.resize, (None, 0, 0))
  found, start = [], 0
  for count, side in spec.parts:
    stop = start + 2 * count * side
    rows, columns = taps[start:stop].reshape(2, count, side, -1)
    found.append(resize(pixels, rows, columns))
    start = stop
  return found


def cut(squares: jax.Array, spec: crops_144.MultiCrop) -> jax.Array:
  """The crops of one square of each picture.

  Args:
    squares: uint8 `[batch, side, side, 3]`.
    spec: which crops, and whether they are mirrored.

  Returns:
    uint8 `[batch, spec.crops_a_square, size, size, 3]`, in the order of
    `spec.list()`.
  """
  crops = [
    _shrunk(squares, spec.size)
    if name == 'whole'
    else _window(squares, spec.size, name)
    for name in spec.crops
  ]
  mirrored = [
    jnp.flip(crop, -2) if mirror else crop
    for crop in crops
    for mirror in spec.mirrors
  ]
  return jnp.stack(mirrored, 1)


def _shrunk(squares: jax.Array, size: int) -> jax.Array:
  """Whole squares, resized as the pictures are."""
  taps = jnp.asarray(resampling.bilinear_taps(squares.shape[1], size))
  return jax.vmap(resampling.resize, (0, None, None))(squares, taps, taps)


def _window(squares: jax.Array, size: int, name: str) -> jax.Array:
  room = squares.shape[1] - size
  top, left = {
    'top_left': (0, 0),
    'top_right': (0, room),
    'bottom_left': (room, 0),
    'bottom_right': (room, room),
    # Halves go to the even pixel, as they do for central squares.
    'center': (round(room / 2),) * 2,
  }[name]
  return squares[..., top : top + size, left : left + size, :]


def create_crop_logits_fn(
  model: GoogLeNet,
  preprocessing: Preprocessing,
  spec: crops_144.MultiCrop,
) -> Callable[[Any, jax.Array], jax.Array]:
  """The network on every crop, those of one square at a time.

  So the memory is that of `spec.crops_a_square` crops of each image, however
  many squares there are, and the network is compiled once.

  Args:
    model: network.
    preprocessing: pixels to network input.
    spec: which crops.

  Returns:
    `(variables, packed) -> logits`, float32 `[batch, len(spec), classes]`.
  """

  def crop_logits(variables, packed):
    parts = unpack(packed, spec)

    def apply(number):
      crops = _cut_square(parts, number, spec)
      images = crops.reshape(-1, *crops.shape[2:])
      logits, _ = model.apply(variables, preprocessing(images), train=False)
      return logits.reshape(*crops.shape[:2], -1)

    logits = lax.map(apply, jnp.arange(len(spec.squares) * len(parts)))
    # [squares, batch, crops of a square, classes]
    return logits.swapaxes(0, 1).reshape(len(packed), len(spec), -1)

  return crop_logits


def _cut_square(
  parts: list[jax.Array], number: jax.Array, spec: crops_144.MultiCrop
) -> jax.Array:
  """The crops of one square of each image, by the number of the square.

  Args:
    parts: the squares at each scale, from `unpack`.
    number: int32 scalar; squares are counted through one scale after the other.
    spec: which crops.
  """
  scale, place = number // len(spec.squares), number % len(spec.squares)
  # A branch for each scale: their squares differ in size.
  branches = [functools.partial(_cut_square_at, part, spec) for part in parts]
  return lax.switch(scale, branches, place)


def _cut_square_at(
  part: jax.Array, spec: crops_144.MultiCrop, place: jax.Array
) -> jax.Array:
  return cut(lax.dynamic_index_in_dim(part, place, 1, keepdims=False), spec)


def create_logits_fn(
  model: GoogLeNet, preprocessing: Preprocessing
) -> Callable[[Any, jax.Array], jax.Array]:
  """What a network makes of pictures, of one crop each.

  Returns:
    `(variables, images) -> logits`, float32 `[batch, classes]`; images are
    uint8 `[batch, size, size, 3]`.
  """
  return lambda variables, images: model.apply(
    variables, preprocessing(images), train=False
  )[0]


def create_views_fn(
  model: GoogLeNet,
  preprocessing: Preprocessing,
  crop: crop_rules.EvaluationCrop | crops_144.MultiCrop,
) -> Callable[[Any, jax.Array], jax.Array]:
  """All `views` of pictures, from one pass over their crops.

  Args:
    model: network.
    preprocessing: pixels to network input.
    crop: how pictures are cut.

  Returns:
    `(variables, images) -> answers`, float32 `[batch, len(views(crop)),
    classes]`, logarithms of probabilities; images are uint8
    `[batch, *crop.shape]`.
  """
  if isinstance(crop, crop_rules.EvaluationCrop):
    logits_fn = create_logits_fn(model, preprocessing)
    return lambda variables, images: jax.nn.log_softmax(
      logits_fn(variables, images)
    )[:, None]
  crop_logits_fn = create_crop_logits_fn(model, preprocessing, crop)
  parts = {len(part): crop.places_of(part) for part in crop.nested()}

  def views_fn(variables, images):
    logits = crop_logits_fn(variables, images)
    answers = [
      aggregate(logits[:, jnp.array(parts[view.num_crops])], view.aggregation)
      for view in views(crop)
    ]
    return jnp.stack(answers, 1)

  return views_fn


def aggregate(logits: jax.Array, how: str = 'mean_probability') -> jax.Array:
  """One answer from many.

  Args:
    logits: float32 `[batch, answers, classes]`, of crops or of networks.
    how: one of `AGGREGATIONS`. The maximum is taken over the answers, a class
      at a time, and scaled so that the classes sum to one.

  Returns:
    Logarithms of probabilities, float32 `[batch, classes]`.
  """
  if how == 'mean_logit':
    return jax.nn.log_softmax(logits.mean(1))
  log_probs = jax.nn.log_softmax(logits)
  if how == 'max_probability':
    return jax.nn.log_softmax(log_probs.max(1))
  crop_rules.check_choice('aggregation', how, AGGREGATIONS)
  return jax.nn.logsumexp(log_probs, 1) - jnp.log(logits.shape[1])
