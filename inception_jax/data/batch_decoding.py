"""Encoded images to batches of pixels, in threads."""

from collections.abc import Callable
from concurrent import futures
import functools

import numpy as np
import tensorflow as tf

from inception_jax.data import (
  allocator,
  crop_rules,
  cropping,
  crops_144,
  decoding,
  squares,
)

# The first bytes of a JPEG.
_JPEG = b'\xff\xd8\xff'
CropSpec = (
  crop_rules.DistortedCrop | crop_rules.EvaluationCrop | crops_144.MultiCrop
)


def decode_batch(
  encoded: tf.Tensor,
  uniforms: np.ndarray,
  crop: CropSpec,
  num_threads: int,
  num_waiting: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
  """Decodes and cuts a batch in C++ threads.

  Args:
    encoded: string `[n]`.
    uniforms: float32 `[n, count]`, random numbers of each.
    crop: how images are cut.
    num_threads: threads that decode.
    num_waiting: images that are handed to TensorFlow beside those that the
      threads decode, so that no thread waits for its next. For callers that
      together use all threads of TensorFlow's pool, one a core: else these
      images are decoded at once as well.

  Returns:
    uint8 `[n, *crop.shape]`, black where the image is bad; and whether each
    image is, bool `[n]`.
  """
  allocator.keep_freed_memory()
  if isinstance(crop, crops_144.MultiCrop):
    return _decode_squares(encoded, crop, num_threads)
  create = functools.partial(_create_decode_fn, crop, num_threads + num_waiting)
  jpegs = bool(tf.reduce_all(tf.strings.substr(encoded, 0, 3) == _JPEG))
  try:
    # Not `.numpy()`, which copies.
    images = np.asarray(create(known_jpegs=jpegs)(encoded, uniforms)[0])
    return images, np.zeros(len(images), bool)
  except tf.errors.InvalidArgumentError:
    # Once more, to see which. This takes time, so it is not the usual way.
    found, places = create(tolerant=True)(encoded, uniforms)
  bad = np.ones(len(uniforms), bool)
  bad[places.numpy()[:-1]] = False
  images = np.zeros((len(bad), *found.shape[1:]), np.uint8)
  images[~bad] = found.numpy()[:-1]
  return images, bad


def _decode_squares(
  encoded: tf.Tensor, crop: crops_144.MultiCrop, num_threads: int
) -> tuple[np.ndarray, np.ndarray]:
  """As `decode_batch`, of the squares of many crops."""
  images = np.zeros((len(encoded), *crop.shape), np.uint8)
  bad = np.zeros(len(encoded), bool)

  def decode(place):
    try:
      pixels = _decode_middle(encoded[place])
    except tf.errors.InvalidArgumentError:
      bad[place] = True
    else:
      squares.pack(pixels, crop, images[place])

  # Written in place: megabytes a picture.
  with futures.ThreadPoolExecutor(num_threads) as pool:
    list(pool.map(decode, range(len(encoded))))
  return images, bad


def _decode_middle(encoded: tf.Tensor) -> np.ndarray:
  """Decodes what is used of a picture, uint8 `[height, width, 3]`."""
  known_jpeg = encoded.numpy().startswith(_JPEG)
  shape = _create_shape_fn(known_jpeg)(encoded).numpy().tolist()
  window = tf.constant(squares.middle_window(*shape))
  # Not `.numpy()`, which copies.
  return np.asarray(decoding.decode_window(encoded, window, known_jpeg))


@functools.cache
def _create_shape_fn(known_jpeg: bool) -> Callable[[tf.Tensor], tf.Tensor]:
  """`decoding.header_shape`, traced: one call instead of one an operation."""
  return tf.function(
    lambda encoded: decoding.header_shape(encoded, known_jpeg),
    input_signature=(tf.TensorSpec((), tf.string),),
  ).get_concrete_function()


@functools.lru_cache(maxsize=16)
def _create_decode_fn(
  crop: crop_rules.DistortedCrop | crop_rules.EvaluationCrop,
  num_calls: int,
  *,
  known_jpegs: bool = False,
  tolerant: bool = False,
) -> Callable[[tf.Tensor, np.ndarray], tuple[tf.Tensor, tf.Tensor]]:
  """Decodes a batch in C++ threads; traced once for each kind of crop.

  Args:
    crop: how images are cut.
    num_calls: images at once.
    known_jpegs: whether all images are certain to be JPEGs, which saves
      looking at each.
    tolerant: whether to leave out images that cannot be decoded, rather than
      raise.

  Returns:
    A function from encoded images `[n]` and random numbers `[n, count]` to
    uint8 `[m, *crop.shape]` and the places of these in the batch, int64
    `[m]`. If it is tolerant, a black image at place -1 comes last.
  """

  def cut(place, encoded, uniforms):
    if isinstance(crop, crop_rules.DistortedCrop):
      image = cropping.distorted_crop(encoded, uniforms, crop, known_jpegs)
    else:
      image = cropping.evaluation_crop(encoded, crop, known_jpegs)
    return image, place

  @tf.function(
    input_signature=(
      tf.TensorSpec((None,), tf.string),
      tf.TensorSpec((None, None), tf.float32),
    )
  )
  def decode(encoded, uniforms):
    count = tf.size(encoded, tf.int64)
    dataset = tf.data.Dataset.from_tensor_slices(
      (tf.range(count), encoded, uniforms)
    )
    dataset = dataset.map(cut, num_parallel_calls=num_calls, deterministic=True)
    if tolerant:
      black = tf.zeros((1, *crop.shape), tf.uint8)
      dataset = dataset.ignore_errors().concatenate(
        tf.data.Dataset.from_tensor_slices((black, [tf.constant(-1, tf.int64)]))
      )
    return one_thread_an_image(dataset.batch(count + 1)).get_single_element()

  return decode.get_concrete_function()


def one_thread_an_image(dataset: tf.data.Dataset) -> tf.data.Dataset:
  """Keeps operations from being divided over threads, which costs time.

  As the option `max_intra_op_parallelism` does; but `get_single_element` takes
  no notice of options.
  """
  specs = dataset.element_spec
  variant = tf.raw_ops.MaxIntraOpParallelismDataset(
    input_dataset=tf.data.experimental.to_variant(dataset),
    max_intra_op_parallelism=1,
    output_types=[spec.dtype for spec in tf.nest.flatten(specs)],
    output_shapes=[spec.shape for spec in tf.nest.flatten(specs)],
  )
  return tf.data.experimental.from_variant(variant, specs)
