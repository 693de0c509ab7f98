"""Encoded images to pixels: the shape from the header, then a window or all.

All functions are plain TensorFlow, so that they run eagerly in tests and in
C++ threads inside `tf.data`.
"""

import tensorflow as tf

# A record whose header promises more is refused before anything is decoded.
MAX_PIXELS = 2**27


def header_shape(encoded: tf.Tensor, known_jpeg: bool = False) -> tf.Tensor:
  """Height and width that an image's header gives, int32 `[2]`.

  Args:
    encoded: string scalar, JPEG, PNG, GIF or BMP.
    known_jpeg: whether it is certain to be a JPEG, which saves looking.

  Raises:
    tf.errors.InvalidArgumentError: if it is none of these, or has fewer than
      one or more than `MAX_PIXELS` pixels.
  """
  jpeg = lambda: tf.image.extract_jpeg_shape(encoded)[:2]
  if known_jpeg:
    shape = jpeg()
  else:
    shape = tf.cond(
      tf.io.is_jpeg(encoded), jpeg, lambda: _other_header_shape(encoded)
    )
  pixels = tf.reduce_prod(tf.cast(shape, tf.int64))
  # The bare operation: `tf.debugging.Assert` adds a branch to every image.
  within = tf.raw_ops.Assert(
    condition=tf.reduce_all(shape > 0) & (pixels <= MAX_PIXELS),
    data=['no JPEG, PNG, GIF or BMP, or an enormous one: height, width', shape],
  )
  with tf.control_dependencies([] if within is None else [within]):
    return tf.ensure_shape(tf.identity(shape), (2,))


def _other_header_shape(encoded: tf.Tensor) -> tf.Tensor:
  """As `header_shape`, of what is no JPEG."""
  # Padded, so that the numbers of a file that ends too early are zeros.
  head = tf.strings.substr(encoded, 0, 26) + b'\0' * 26

  def integers(start, dtype, little_endian):
    raw = tf.strings.substr(head, start, 2 * dtype.size)
    return tf.cast(tf.io.decode_raw(raw, dtype, little_endian), tf.int32)

  def starts(signature):
    return tf.equal(tf.strings.substr(head, 0, len(signature)), signature)

  return tf.case(
    [
      (starts(b'\x89PNG\r\n'), lambda: integers(16, tf.int32, False)[::-1]),
      (starts(b'GIF8'), lambda: integers(6, tf.uint16, True)[::-1]),
      # A negative height is that of a picture stored from the top.
      (starts(b'BM'), lambda: tf.abs(integers(18, tf.int32, True)[::-1])),
    ],
    default=lambda: tf.zeros((2,), tf.int32),  # Refused for having no pixels.
  )


def decode_window(
  encoded: tf.Tensor, window: tf.Tensor, known_jpeg: bool = False
) -> tf.Tensor:
  """Decodes a window of an image.

  Args:
    encoded: string scalar, JPEG, PNG, GIF (its first frame) or BMP.
    window: int32 `[4]`, inside the image.
    known_jpeg: see `header_shape`.

  Returns:
    uint8 `[window height, window width, 3]`, RGB.
  """

  def jpeg():
    return tf.image.decode_and_crop_jpeg(
      encoded,
      window,
      channels=3,
      # The default is up to 7/255 off what Pillow decodes.
      dct_method='INTEGER_ACCURATE',
    )

  def other():
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    shape = _other_header_shape(encoded)
    # The first frame of a GIF may have another size than its screen.
    as_said = tf.raw_ops.Assert(
      condition=tf.reduce_all(tf.shape(image)[:2] == shape),
      data=[
        'frames of another size than the header says: height, width',
        shape,
      ],
    )
    with tf.control_dependencies([] if as_said is None else [as_said]):
      return tf.slice(
        image,
        tf.stack([window[0], window[1], 0]),
        tf.stack([window[2], window[3], 3]),
      )

  if known_jpeg:
    return jpeg()
  # The window comes of the header: nothing is decoded until that is checked.
  with tf.control_dependencies([window]):
    encoded = tf.identity(encoded)
  image = tf.cond(tf.io.is_jpeg(encoded), jpeg, other)
  return tf.ensure_shape(image, (None, None, 3))


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
  """Decodes a whole image to uint8 `[height, width, 3]`, RGB.

  Raises:
    tf.errors.InvalidArgumentError: if it cannot be decoded or is enormous.
  """
  shape = header_shape(encoded)
  return decode_window(encoded, tf.concat([[0, 0], shape], 0))
