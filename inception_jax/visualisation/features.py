"""Pictures that excite one channel, or one class, as strongly as they can.

References:
  Olah et al. 2017, Feature Visualization, doi 10.23915/distill.00007: the
  parametrisation by frequencies and decorrelated colours, and the random
  transformations. github.com/tensorflow/lucid is their code.
"""

from collections.abc import Callable, Mapping, Sequence
import math
import re
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp
from jax.scipy import ndimage
import numpy as np
import optax

from inception_jax import models, preprocess
from inception_jax.data import labels
from inception_jax.runtime import errors, progress, words
from inception_jax.training import augment
from inception_jax.visualisation import drawn_names

_CLASS = 'class'
# Of a class in titles and in names of files, in characters; file systems end at
# 255 bytes.
_NAME_WIDTH = 60
_SLUG_LENGTH = 50
# Chosen by eye on the authors' weights. The frequencies' own scale makes the
# first image grey with faint noise.
_LEARNING_RATE = 0.04
_INITIAL_STD = 0.01
# Each step looks at the image turned, scaled and moved by up to this much, so
# that what it finds does not hang on single pixels.
_MAX_DEGREES = 10.0
_MAX_SCALE = 1.2
_MAX_SHIFT = 0.1  # Of the side.


class Feature(NamedTuple):
  """What is to be excited.

  Attributes:
    end_point: a key of the network's end points.
    channel: place on its last axis.
    title: for people.
    stem: for a file's name.
  """

  end_point: str
  channel: int
  title: str
  stem: str


class Ascent(NamedTuple):
  """Where a gradient ascent came to.

  Attributes:
    image: uint8 `[size, size, 3]`.
    values: float32 `[num_steps]`, the objective before each step.
  """

  image: np.ndarray
  values: np.ndarray


def parse_feature(
  text: str,
  shapes: Mapping[str, Sequence[int]],
  label_map: labels.LabelMap,
) -> Feature:
  """Reads `END_POINT:CHANNEL` or `class:NAME`.

  Args:
    text: such as 'inception_4c:17', 'class:kit fox' or 'class:n02119789'.
    shapes: of the network's end points, by name.
    label_map: of its outputs; NAME is what `LabelMap.find` takes.

  Raises:
    InputError: if it is neither, or the network has no such thing.
  """
  end_point, _, what = text.partition(':')
  if not what:
    raise errors.InputError(
      f'--features={text} is malformed; write END_POINT:CHANNEL, such as'
      ' inception_4c:17, or class:NAME'
    )
  if end_point == _CLASS:
    try:
      return class_feature(label_map.find(what), label_map)
    except ValueError as error:
      raise errors.InputError(
        f'--features={text}: {error}; give the name, the synset or the number'
        ' of one class'
      ) from error
  if end_point not in shapes:
    raise errors.InputError(
      f'--features={text}: the network has no end point {end_point!r}'
      + (
        errors.suggestion(end_point, shapes) or f'; it has {words.join(shapes)}'
      )
    )
  num_channels = shapes[end_point][-1]
  if not what.isdecimal() or int(what) >= num_channels:
    raise errors.InputError(
      f'--features={text}: {what!r} is no channel of {end_point}; give a number'
      f' from 0 to {num_channels - 1}'
    )
  return channel_feature(end_point, int(what))


def channel_feature(end_point: str, channel: int) -> Feature:
  """A channel, averaged over its places."""
  return Feature(
    end_point,
    channel,
    f'{end_point}, channel {channel}',
    f'{end_point}_{channel}',
  )


def class_feature(output: int, label_map: labels.LabelMap) -> Feature:
  """A class, by its logit: its probability also grows as others fall."""
  name = drawn_names.one_line(label_map[output].name, _NAME_WIDTH)
  slug = re.sub(r'\W+', '_', name.lower()).strip('_')[:_SLUG_LENGTH]
  return Feature('logits', output, name, f'{_CLASS}_{output}_{slug}')


def ascend(
  model: models.GoogLeNet,
  variables: Mapping[str, Any],
  preprocessing: preprocess.Preprocessing,
  feature: Feature,
  *,
  size: int,
  num_steps: int = 384,
  steps_per_call: int = 64,
  seed: int = 0,
) -> Ascent:
  """Finds an image that excites a feature, by Adam from faint noise.

  The objective is the feature's mean over the places of its end point. What
  is learnt are the image's frequencies, each divided by its height: so coarse
  structure comes first and noise last. Shows its progress.

  Args:
    model: the network.
    variables: its weights.
    preprocessing: from pixels to its input.
    feature: what is excited.
    size: height and width of the image, pixels.
    num_steps: of Adam, a multiple of `steps_per_call`.
    steps_per_call: steps between two reports of progress, all compiled as one.
    seed: of the noise and of the transformations; on a CPU the same seed gives
      the same image.

  Returns:
    The image and how it got there.

  Raises:
    ValueError: if `num_steps` is no multiple of `steps_per_call`.
  """
  if num_steps % steps_per_call:
    raise ValueError(f'{num_steps} is no multiple of {steps_per_call} steps')
  tx = optax.chain(optax.normalize_by_update_norm(), optax.adam(_LEARNING_RATE))
  ascend_fn = _create_ascend_fn(
    model, preprocessing, feature.end_point, size, tx
  )
  start_key, key = jax.random.split(jax.random.key(seed))
  spectrum = _INITIAL_STD * jax.random.normal(
    start_key, (2, size, size // 2 + 1, 3)
  )
  carry = spectrum, tx.init(spectrum), jnp.float32(1)
  variables, channel = jax.device_put((variables, jnp.int32(feature.channel)))
  values = []
  with progress.progress_bar(
    desc=f'feature {feature.title}', total=num_steps, unit='step'
  ) as bar:
    for keys in jax.random.split(
      key, (num_steps // steps_per_call, steps_per_call)
    ):
      carry, some_values = ascend_fn(variables, channel, carry, keys)
      values.append(jax.device_get(some_values))
      bar.update(steps_per_call)
  pixels = 255 * jax.device_get(spectrum_to_image(carry[0], size))
  return Ascent(pixels.round().astype(np.uint8), np.concatenate(values))


def _create_ascend_fn(
  model: models.GoogLeNet,
  preprocessing: preprocess.Preprocessing,
  end_point: str,
  size: int,
  tx: optax.GradientTransformation,
) -> Callable[..., Any]:
  """From (spectrum, state, last objective) to the same after some steps."""

  def objective(spectrum, variables, channel, leak, key):
    image = transform(spectrum_to_image(spectrum, size), key)
    with nn.intercept_methods(_leaky_gradient(leak)):
      _, end_points = model.apply(variables, preprocessing(255 * image[None]))
    return end_points[end_point][..., channel].astype(jnp.float32).mean()

  @jax.jit
  def ascend_fn(variables, channel, carry, keys):
    def step(carry, key):
      spectrum, opt_state, last_value = carry
      leak = (last_value == 0).astype(jnp.float32)
      value, grad = jax.value_and_grad(objective)(
        spectrum, variables, channel, leak, key
      )
      updates, opt_state = tx.update(-grad, opt_state)
      spectrum = optax.apply_updates(spectrum, updates)
      return (spectrum, opt_state, value), value

    return jax.lax.scan(step, carry, keys)

  return ascend_fn


def _leaky_gradient(leak: jax.Array) -> Callable[..., Any]:
  """Interceptor that lets gradients through ReLUs, which stay as they are.

  Noise leaves half of the channels of `inception_5b` at zero everywhere in the
  authors' network, where the true gradient shows no way out.

  Args:
    leak: float32 scalar, 1 to let them through and 0 not to.
  """

  def interceptor(next_fn, args, kwargs, context):
    y = next_fn(*args, **kwargs)
    if context.method_name == 'finish':
      x = args[0]
      y += leak.astype(x.dtype) * (x - jax.lax.stop_gradient(x))
    return y

  return interceptor


def spectrum_to_image(spectrum: jax.Array, size: int) -> jax.Array:
  """The image that has these frequencies.

  Args:
    spectrum: float32 `[2, size, size // 2 + 1, 3]`: real and imaginary parts,
      each to be divided by its frequency, of three colours that photographs
      show independently of one another: the principal components of ImageNet's.
    size: height and width.

  Returns:
    float32 `[size, size, 3]`, RGB in 0 to 1.
  """
  rows, columns = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)
  frequencies = np.maximum(np.hypot(rows, columns), 1 / size)
  scale = jnp.asarray(size / 4 / frequencies, jnp.float32)[..., None]
  colours = jnp.fft.irfft2(
    scale * jax.lax.complex(*spectrum), (size, size), (0, 1)
  )
  stds = np.sqrt(augment.PCA_VARIANCES)
  to_rgb = jnp.asarray(augment.PCA_DIRECTIONS * (stds / stds.max()))
  return jax.nn.sigmoid(colours @ to_rgb.T)


def transform(image: jax.Array, key: jax.Array) -> jax.Array:
  """Turns, scales and moves an image `[size, size, 3]` a little, at random.

  What comes in from beyond the edges is the mirror image: against a constant,
  the outermost pixels would become a fringe.
  """
  size = image.shape[0]
  keys = jax.random.split(key, 3)
  limit = math.radians(_MAX_DEGREES)
  angle = jax.random.uniform(keys[0], (), minval=-limit, maxval=limit)
  scale = jax.random.uniform(
    keys[1], (), minval=1 / _MAX_SCALE, maxval=_MAX_SCALE
  )
  limit = _MAX_SHIFT * size
  shift = jax.random.uniform(keys[2], (2,), minval=-limit, maxval=limit)
  middle = (size - 1) / 2
  y, x = jnp.meshgrid(*[jnp.arange(size) - middle] * 2, indexing='ij')
  cos, sin = scale * jnp.cos(angle), scale * jnp.sin(angle)
  places = [
    cos * y - sin * x + shift[0] + middle,
    sin * y + cos * x + shift[1] + middle,
  ]
  sample = lambda plane: ndimage.map_coordinates(
    plane, places, order=1, mode='mirror'
  )
  return jax.vmap(sample, -1, -1)(image)
