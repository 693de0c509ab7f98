"""The TensorFlow operations that crop and resize images on the host.

They apply the rules of `crop_rules`. All functions are plain TensorFlow, so
that they run eagerly in tests and in C++ threads inside `tf.data`. Windows are
int32 `[top, left, height, width]`, in the image's pixels. Only the window of a
JPEG is decoded.
"""

import math

import tensorflow as tf

from inception_jax.data import crop_rules, decoding

NUM_TRIES = 10
# Random numbers a training crop takes: area, aspect, top and left of a try,
# and the interpolation.
UNIFORMS_PER_CROP = 4 * NUM_TRIES + 1

# Side of the resized picture over the side of the crop (section 7), and the
# share of each side that the central crop of TF-slim keeps.
RESIZED_PER_CROP = 256 / 224
CENTRAL_FRACTION = 0.875


def crop_proposals(
  shape: tf.Tensor, draws: tf.Tensor, spec: crop_rules.DistortedCrop
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """The ten windows that a training crop may take, fitting or not.

  Args:
    shape: int32 `[2]`, height and width of the image.
    draws: float32 `[NUM_TRIES, 2]` in [0, 1), for area and ratio.
    spec: ranges and laws.

  Returns:
    Shares of the area and ratios of width to height, float32 `[NUM_TRIES]`;
    height and width in pixels, int32 `[NUM_TRIES, 2]`.
  """
  low, high = spec.area_range
  areas = low + draws[:, 0] * (high - low)
  low, high = spec.aspect_ratio_range
  if spec.aspect_ratio_law == 'log_uniform':
    low, high = math.log(low), math.log(high)
    ratios = tf.exp(low + draws[:, 1] * (high - low))
  else:
    ratios = low + draws[:, 1] * (high - low)
  pixels = areas * tf.reduce_prod(tf.cast(shape, tf.float32))
  sides = tf.sqrt(tf.stack([pixels / ratios, pixels * ratios], 1))
  return areas, ratios, tf.cast(tf.round(sides), tf.int32)


def distorted_crop_window(
  shape: tf.Tensor, uniforms: tf.Tensor, spec: crop_rules.DistortedCrop
) -> tf.Tensor:
  """The window of a training crop.

  The first of the ten proposals that fits is placed uniformly. If none does,
  the window is the largest centred one whose ratio is in the range.

  Args:
    shape: int32 `[2]`, height and width of the image.
    uniforms: float32 `[4 * NUM_TRIES]` in [0, 1).
    spec: ranges and laws.

  Returns:
    int32 `[4]`: top, left, height, width.
  """
  draws = tf.reshape(uniforms, (NUM_TRIES, 4))
  _, _, sides = crop_proposals(shape, draws[:, :2], spec)
  fits = tf.reduce_all((sides <= shape) & (sides > 0), axis=1)
  first = tf.argmax(tf.cast(fits, tf.int32), output_type=tf.int32)
  side = sides[first]
  room = tf.cast(shape - side, tf.float32)
  corner = tf.cast(draws[first, 2:] * (room + 1), tf.int32)
  # Rounding may bring the product up to what it must stay below.
  corner = tf.minimum(corner, shape - side)
  drawn = tf.concat([corner, side], 0)
  fallback = _largest_window(shape, spec.aspect_ratio_range)
  return tf.where(tf.reduce_any(fits), drawn, fallback)


def _largest_window(
  shape: tf.Tensor, aspect_ratio_range: tuple[float, float]
) -> tf.Tensor:
  low, high = aspect_ratio_range
  # The longest height for the width, and the longest width for the height.
  longest = tf.round(tf.cast(shape[::-1], tf.float32) * [1 / low, high])
  side = tf.clip_by_value(tf.cast(longest, tf.int32), 1, shape)
  return tf.concat([(shape - side) // 2, side], 0)


def resize(
  image: tf.Tensor, size: int, interpolation: str, is_large: bool
) -> tf.Tensor:
  """Resizes to a square.

  Args:
    image: uint8 `[height, width, 3]`.
    size: height and width of the result.
    interpolation: 'bilinear' and 'bicubic' look at 2 and 4 pixels in each
      direction, 'nearest' at one; 'area' is the mean over the area of a pixel.
    is_large: whether a side may be two or more times `size`. Of such a side,
      so that no pixels are passed over, 'bilinear' and 'bicubic' see the means
      of two or more, as many as leave no fewer than `size`. Not a filter as
      wide as Pillow's: TensorFlow's is slow.

  Returns:
    uint8 `[size, size, 3]`.
  """
  if interpolation == 'nearest':
    # In whole numbers: Pillow's choice, whatever fractions round to.
    height, width = tf.unstack(tf.shape(image)[:2])
    places = 2 * tf.range(size) + 1
    rows, columns = places * height // (2 * size), places * width // (2 * size)
    pixels = tf.reshape(image, (-1, 3))
    return tf.gather(pixels, rows[:, tf.newaxis] * width + columns)
  if is_large and interpolation in ('bilinear', 'bicubic'):
    shape = tf.shape(image)[:2]
    image = tf.image.resize(
      image, shape // tf.maximum(shape // size, 1), 'area'
    )
  image = tf.image.resize(image, (size, size), interpolation)
  if interpolation == 'bicubic':  # Some of its weights are negative.
    image = tf.raw_ops.ClipByValue(
      t=image, clip_value_min=0.0, clip_value_max=255.0
    )
  return rounded(image)


def rounded(image: tf.Tensor) -> tf.Tensor:
  """Floats in 0 to 255 as uint8; less work than `tf.round`."""
  return tf.cast(image + 0.5, tf.uint8)


def random_resize(
  image: tf.Tensor, uniform: tf.Tensor, spec: crop_rules.DistortedCrop
) -> tf.Tensor:
  """Resizes to a square with one of several interpolations, equally likely.

  Args:
    image: uint8 `[height, width, 3]`.
    uniform: float32 scalar in [0, 1) that decides.
    spec: size and interpolations.

  Returns:
    uint8 `[size, size, 3]`.
  """
  # One switch with a branch for each, since a branch costs as much as a small
  # operation: first the interpolations, then the same of large images.
  branches = [
    lambda name=name, is_large=is_large: resize(
      image, spec.size, name, is_large
    )
    for is_large in (False, True)
    for name in spec.interpolations
  ]
  count = len(spec.interpolations)
  chosen = tf.cast(uniform * count, tf.int32)
  is_large = tf.reduce_max(tf.shape(image)[:2]) >= 2 * spec.size
  return tf.switch_case(chosen + count * tf.cast(is_large, tf.int32), branches)


def distorted_crop(
  encoded: tf.Tensor,
  uniforms: tf.Tensor,
  spec: crop_rules.DistortedCrop,
  known_jpeg: bool = False,
) -> tf.Tensor:
  """Decodes the window of a training crop and resizes it.

  Args:
    encoded: string scalar.
    uniforms: float32 `[UNIFORMS_PER_CROP]` in [0, 1).
    spec: what is drawn from what.
    known_jpeg: see `decoding.header_shape`.

  Returns:
    uint8 `[size, size, 3]`.
  """
  shape = decoding.header_shape(encoded, known_jpeg)
  window = distorted_crop_window(shape, uniforms[:-1], spec)
  image = decoding.decode_window(encoded, window, known_jpeg)
  image = random_resize(image, uniforms[-1], spec)
  return tf.ensure_shape(image, (spec.size, spec.size, 3))


def evaluation_geometry(
  shape: tf.Tensor, spec: crop_rules.EvaluationCrop
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """What an evaluation crop shows: a part of the picture, resized and cut.

  Lengths are truncated and offsets rounded as in torchvision; the central
  fraction is rounded as `tf.image.central_crop` does.

  Args:
    shape: int32 `[2]`, height and width of the image.
    spec: which crop.

  Returns:
    The window of the picture that is resized, int32 `[4]`; height and width to
    which it is resized, int32 `[2]`; and top and left of the crop there,
    int32 `[2]`.
  """
  whole = tf.concat([[0, 0], shape], 0)
  square = tf.constant([spec.size, spec.size])
  none = tf.constant([0, 0])
  if spec.name == 'center_square':
    side = tf.repeat(tf.reduce_min(shape), 2)
    return tf.concat([(shape - side) // 2, side], 0), square, none
  if spec.name == 'central_fraction':
    margin = tf.cast(shape, tf.float64) * ((1 - CENTRAL_FRACTION) / 2)
    start = tf.cast(margin, tf.int32)
    return tf.concat([start, shape - 2 * start], 0), square, none
  side = round(spec.size * RESIZED_PER_CROP)
  if spec.name == 'warp':
    resized = tf.constant([side, side])
  else:
    resized = tf.cast(  # The product can be more than 32 bits hold.
      side
      * tf.cast(shape, tf.int64)
      // tf.cast(tf.reduce_min(shape), tf.int64),
      tf.int32,
    )
  room = tf.cast(resized - spec.size, tf.float64)
  return whole, resized, tf.cast(tf.round(room / 2), tf.int32)


def evaluation_crop(
  encoded: tf.Tensor,
  spec: crop_rules.EvaluationCrop,
  known_jpeg: bool = False,
) -> tf.Tensor:
  """Decodes what an evaluation crop needs and resizes it, bilinear.

  Filtered against aliasing as in Pillow; 'warp' and 'central_fraction' as in
  their sources, which do not filter. The result is that of resizing the source
  and cutting the crop out of it, but pixels that the crop does not show are
  neither decoded nor made.

  Args:
    encoded: string scalar.
    spec: which crop.
    known_jpeg: see `decoding.header_shape`.

  Returns:
    uint8 `[size, size, 3]`.
  """
  shape = decoding.header_shape(encoded, known_jpeg)
  source, resized, corner = evaluation_geometry(shape, spec)
  scale = tf.cast(resized, tf.float32) / tf.cast(source[2:], tf.float32)
  # The pixels of the source that the filter reaches.
  reach = tf.maximum(1 / scale, 1) + 1
  first = tf.cast(corner, tf.float32) / scale - reach
  last = tf.cast(corner + spec.size, tf.float32) / scale + reach
  first = tf.maximum(tf.cast(tf.floor(first), tf.int32), 0)
  last = tf.minimum(tf.cast(tf.math.ceil(last), tf.int32), source[2:])
  # Decoded with a margin: the colours of a JPEG's pixel are upsampled from its
  # neighbours', which the outermost pixels of a window lack.
  start = tf.maximum(source[:2] + first - 2, 0)
  end = tf.minimum(source[:2] + last + 2, shape)
  window = tf.concat([start, end - start], 0)
  image = decoding.decode_window(encoded, window, known_jpeg)
  image = tf.slice(
    image,
    tf.concat([source[:2] + first - start, [0]], 0),
    tf.concat([last - first, [3]], 0),
  )
  if spec.name == 'central_fraction':  # Of which no part is cut off.
    # TensorFlow's old resizing aligns the corners of pixels, not their centres.
    image = tf.raw_ops.ResizeBilinear(
      images=image[tf.newaxis], size=(spec.size, spec.size)
    )
  else:
    image = tf.raw_ops.ScaleAndTranslate(
      images=image[tf.newaxis],
      size=(spec.size, spec.size),
      scale=scale,
      translation=tf.cast(first, tf.float32) * scale
      - tf.cast(corner, tf.float32),
      kernel_type='triangle',
      antialias=spec.name != 'warp',
    )
  return tf.ensure_shape(rounded(image[0]), (spec.size, spec.size, 3))
