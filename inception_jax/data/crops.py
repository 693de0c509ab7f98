"""Host geometry: which window of a photograph becomes the network's input.

All functions are plain TensorFlow, so that they run eagerly in tests and in
C++ threads inside `tf.data`. Windows are int32 `[top, left, height, width]`.
"""

import math

import tensorflow as tf

NUM_TRIES = 10
# Random numbers a distorted crop takes: area, aspect, top and left of a try.
UNIFORMS_PER_CROP = 4 * NUM_TRIES


def distorted_crop_window(
  height: tf.Tensor,
  width: tf.Tensor,
  uniforms: tf.Tensor,
  area_range: tuple[float, float],
  aspect_ratio_range: tuple[float, float],
) -> tf.Tensor:
  """The paper's training crop (section 6).

  Each of ten tries draws an area, uniform in `area_range` of the image's, and
  a ratio of width to height, log-uniform in `aspect_ratio_range`; the first
  window that fits is placed uniformly. If none fits, the window is the largest
  centred one whose ratio is in the range.

  Args:
    height: int32 scalar, of the image.
    width: int32 scalar, of the image.
    uniforms: float32 `[UNIFORMS_PER_CROP]` in [0, 1).
    area_range: smallest and largest share of the area.
    aspect_ratio_range: smallest and largest ratio of width to height.

  Returns:
    int32 `[4]`: top, left, height, width.
  """
  draws = tf.reshape(uniforms, (NUM_TRIES, 4))
  full_height = tf.cast(height, tf.float32)
  full_width = tf.cast(width, tf.float32)
  low, high = area_range
  area = full_height * full_width * (low + draws[:, 0] * (high - low))
  log_low, log_high = (math.log(ratio) for ratio in aspect_ratio_range)
  ratio = tf.exp(log_low + draws[:, 1] * (log_high - log_low))
  widths = tf.cast(tf.round(tf.sqrt(area * ratio)), tf.int32)
  heights = tf.cast(tf.round(tf.sqrt(area / ratio)), tf.int32)
  fits = (widths <= width) & (heights <= height)
  fits &= (widths > 0) & (heights > 0)
  chosen = tf.argmax(tf.cast(fits, tf.int32), output_type=tf.int32)
  crop_height, crop_width = heights[chosen], widths[chosen]
  top = _place(draws[chosen, 2], height - crop_height)
  left = _place(draws[chosen, 3], width - crop_width)
  drawn = tf.stack([top, left, crop_height, crop_width])
  fallback = _largest_window(height, width, aspect_ratio_range)
  return tf.where(tf.reduce_any(fits), drawn, fallback)


def _place(uniform: tf.Tensor, room: tf.Tensor) -> tf.Tensor:
  """An offset uniform in 0 to `room`, both included."""
  offset = tf.cast(uniform * tf.cast(room + 1, tf.float32), tf.int32)
  return tf.minimum(offset, room)


def _largest_window(
  height: tf.Tensor,
  width: tf.Tensor,
  aspect_ratio_range: tuple[float, float],
) -> tf.Tensor:
  low, high = aspect_ratio_range
  as_float = lambda x: tf.cast(x, tf.float32)
  round_to_int = lambda x: tf.maximum(tf.cast(tf.round(x), tf.int32), 1)
  crop_width = tf.minimum(width, round_to_int(as_float(height) * high))
  crop_height = tf.minimum(height, round_to_int(as_float(width) / low))
  return tf.stack(
    [
      (height - crop_height) // 2,
      (width - crop_width) // 2,
      crop_height,
      crop_width,
    ]
  )


def central_square_window(
  height: tf.Tensor, width: tf.Tensor, crop_fraction: float
) -> tf.Tensor:
  """The central square of the evaluation crop, in the photograph's pixels.

  Its side is `crop_fraction` of the shorter side. Cropping it and resizing to
  `size` is resizing the shorter side to `size / crop_fraction` and cropping
  the centre, to rounding, but decodes only the pixels it needs.

  Args:
    height: int32 scalar, of the image.
    width: int32 scalar, of the image.
    crop_fraction: in (0, 1]; 0.875 is 224 of 256.

  Returns:
    int32 `[4]`: top, left, height, width.
  """
  shorter = tf.cast(tf.minimum(height, width), tf.float32)
  side = tf.cast(tf.round(shorter * crop_fraction), tf.int32)
  side = tf.maximum(side, 1)
  return tf.stack([(height - side) // 2, (width - side) // 2, side, side])


def decode_window(
  encoded: tf.Tensor, window_fn, encoding: str | None
) -> tf.Tensor:
  """Decodes the window that `window_fn(height, width)` names.

  Of a JPEG only the window is decoded; other formats are decoded whole.

  Args:
    encoded: string scalar.
    window_fn: from int32 scalars height and width to a window.
    encoding: 'jpeg', 'png', or None to look at each record.

  Returns:
    uint8 `[window height, window width, 3]`, RGB.
  """

  def jpeg():
    shape = tf.image.extract_jpeg_shape(encoded)
    return tf.image.decode_and_crop_jpeg(
      encoded,
      window_fn(shape[0], shape[1]),
      channels=3,
      # The default is up to 7/255 off what Pillow decodes.
      dct_method='INTEGER_ACCURATE',
    )

  def other():
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    top, left, height, width = tf.unstack(
      window_fn(tf.shape(image)[0], tf.shape(image)[1])
    )
    return tf.image.crop_to_bounding_box(image, top, left, height, width)

  if encoding == 'jpeg':
    return jpeg()
  if encoding == 'png':
    return other()
  return tf.cond(tf.io.is_jpeg(encoded), jpeg, other)


def resize(image: tf.Tensor, size: int) -> tf.Tensor:
  """Resizes to `[size, size, 3]` uint8, bilinear with anti-aliasing."""
  image = tf.image.resize(
    tf.cast(image, tf.float32), (size, size), 'bilinear', antialias=True
  )
  return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
