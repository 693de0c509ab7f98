"""Images a second of the training input, beside other ways to write it.

From prepared records to batches on the devices, at 224 pixels:

- `ours`: every record at random, in an order that resumes exactly; crops with
  four interpolations. Colours are left to the devices, as in training.
- `ours_bilinear`: ours with one interpolation, as the others have.
- `tf_data`: a TFRecord file through `tf.data`, shuffled in a buffer,
  decode-and-crop and bilinear, with windows like ours.
- `tf_data_own_sampler`: the same with the windows of TensorFlow's
  `sample_distorted_bounding_box`, which are smaller, as most code does.
- `ours_host_colour`: ours, with mirror, brightness, contrast and saturation on
  the host.
- `pillow_floats`: PyTorch's loader with a process a core, and in it what
  torchvision's recipe for ImageNet does: decoded whole, cropped, resized and
  mirrored by Pillow, made float32 and normalised.
- `pillow`: the same without the floats.
- `pillow_colour`: `pillow_floats` with the brightness, contrast and saturation
  that ours leaves to the devices, as torchvision's `ColorJitter` has them.
- `grain`: Grain's random access and threads over the same records as ours, with
  simplejpeg and OpenCV.

And the floors: `decode_windows`, our windows decoded and nothing else, and
`decode_whole`, the same photographs decoded whole. All take turns, so that a
busy machine slows all of them; medians count. Prints one JSON object.

  pip install '.[data,benchmark]'
  python benchmarks/input_pipeline.py --data_dir=TFDS_DATA_DIR \\
      [--name=imagenet2012] [--split=train] [--output=FILE.json]
"""

import argparse
from collections.abc import Callable, Iterator
import io
import os
import pathlib
import statistics
import sys
import tempfile
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import grain  # noqa: E402
import jax  # noqa: E402
import machine  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image, ImageEnhance  # noqa: E402
import simplejpeg  # noqa: E402
import tensorflow as tf  # noqa: E402
import torch  # noqa: E402
import torch.utils.data  # noqa: E402

from configs import googlenet_imagenet  # noqa: E402
from inception_jax.data import (  # noqa: E402
  batch_decoding,
  crop_rules,
  cropping,
  decoding,
  device,
  order,
)
from inception_jax.data import dataset as dataset_lib  # noqa: E402

SIZE = 224
BATCH_SIZE = 100
PAPER = crop_rules.DistortedCrop(
  SIZE,
  crop_rules.AREA_RANGE,
  crop_rules.ASPECT_RATIO_RANGE,
  'log_uniform',
  ('bilinear',),
)
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
PACKAGES = ('array_record', 'grain', 'opencv-python-headless', 'pillow')
ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
PACKAGES += ('simplejpeg', 'tensorflow-datasets', 'torch')

Batches = Iterator[dict[str, np.ndarray]]


def ours(dataset: dataset_lib.Dataset, num_batches: int) -> Batches:
  """The input of this package."""
  return dataset.train_batches(
    seed=0,
    start_step=0,
    num_train_steps=num_batches,
    batch_size=BATCH_SIZE,
    slots=np.arange(BATCH_SIZE),
  )


def host_colour(image: tf.Tensor) -> tf.Tensor:
  """Mirror, brightness, contrast and saturation in random order."""
  image = tf.image.random_flip_left_right(image)
  image = tf.cast(image, tf.float32)

  def change(image, kind):
    factor = tf.random.uniform((), 0.5, 1.5)
    grey = tf.image.rgb_to_grayscale(image)
    other = tf.switch_case(
      kind,
      [
        lambda: tf.zeros_like(image),
        lambda: tf.fill(tf.shape(image), tf.reduce_mean(grey)),
        lambda: tf.tile(grey, [1, 1, 3]),
      ],
    )
    mixed = image * factor + other * (1 - factor)
    return tf.clip_by_value(mixed, 0, 255)

  order = tf.random.shuffle(tf.range(3))
  for i in range(3):
    image = change(image, order[i])
  return tf.cast(tf.round(image), tf.uint8)


def ours_host_colour(
  dataset: dataset_lib.Dataset, num_batches: int, num_threads: int
) -> Callable[[], Batches]:
  """Our batches, recoloured by TensorFlow's threads."""

  @tf.function(
    input_signature=(tf.TensorSpec((None, SIZE, SIZE, 3), tf.uint8),)
  )
  def recolour(images):
    images = tf.data.Dataset.from_tensor_slices(images)
    images = images.map(host_colour, num_parallel_calls=2 * num_threads)
    images = batch_decoding.one_thread_an_image(images.batch(BATCH_SIZE))
    return images.get_single_element()

  def take():
    for batch in ours(dataset, num_batches):
      yield {**batch, 'image': recolour(batch['image']).numpy()}

  return take


def tf_sampler(encoded: tf.Tensor) -> tf.Tensor:
  """A window as TensorFlow's own operation draws it.

  It draws the height uniformly, and so smaller areas than the paper's.
  """
  corner, side, _ = tf.image.sample_distorted_bounding_box(
    tf.image.extract_jpeg_shape(encoded),
    bounding_boxes=tf.zeros((1, 0, 4)),
    min_object_covered=0.0,
    aspect_ratio_range=(3 / 4, 4 / 3),
    area_range=(0.08, 1.0),
    max_attempts=10,
    use_image_if_no_bounding_boxes=True,
  )
  return tf.concat([corner[:2], side[:2]], 0)


def paper_sampler(encoded: tf.Tensor) -> tf.Tensor:
  """A window as ours are drawn: areas uniform."""
  shape = tf.image.extract_jpeg_shape(encoded)[:2]
  uniforms = tf.random.uniform((4 * cropping.NUM_TRIES,))
  return cropping.distorted_crop_window(shape, uniforms, PAPER)


def tf_data(
  files: list[str],
  num_batches: int,
  num_threads: int,
  sampler: Callable[[tf.Tensor], tf.Tensor],
) -> Callable[[], Batches]:
  """TFRecord through `tf.data`, bilinear; built once for all rounds."""

  def load(example):
    features = tf.io.parse_single_example(
      example,
      {
        'image': tf.io.FixedLenFeature((), tf.string),
        'label': tf.io.FixedLenFeature((), tf.int64),
      },
    )
    encoded = features['image']
    image = tf.image.decode_and_crop_jpeg(encoded, sampler(encoded), channels=3)
    image = tf.cast(tf.round(tf.image.resize(image, (SIZE, SIZE))), tf.uint8)
    return {'image': image, 'label': tf.cast(features['label'], tf.int32)}

  # As ours: TensorFlow's own pool, faster than another of as many threads, and
  # operations that are not divided over it. Tuning would begin anew in every
  # round.
  options = tf.data.Options()
  options.threading.max_intra_op_parallelism = 1
  options.autotune.enabled = False
  data = tf.data.TFRecordDataset(files).shuffle(10 * BATCH_SIZE)
  data = data.repeat().map(load, num_parallel_calls=2 * num_threads)
  data = data.batch(BATCH_SIZE, drop_remainder=True).take(num_batches)
  data = data.prefetch(2).with_options(options)
  return data.as_numpy_iterator


def random_window(
  rng: np.random.Generator, height: int, width: int
) -> tuple[int, int, int, int]:
  """Top, left, height and width as torchvision's RandomResizedCrop has them."""
  for _ in range(10):
    area = rng.uniform(0.08, 1.0) * height * width
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
    if 0 < w <= width and 0 < h <= height:
      top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
      return int(top), int(left), h, w
  side = min(height, width)
  return (height - side) // 2, (width - side) // 2, side, side


class PillowDataset(torch.utils.data.Dataset):
  """Photographs as torchvision's recipe for ImageNet reads them.

  `RandomResizedCrop(224)`, `RandomHorizontalFlip`, if `colour`
  `ColorJitter(0.5, 0.5, 0.5)`, and, if `floats`, `ToTensor` and `Normalize`, on
  pictures decoded whole by Pillow.
  """

  def __init__(
    self, encoded: list[bytes], num_images: int, floats: bool, colour: bool
  ):
    self._encoded = encoded
    self._num_images = num_images
    self._floats = floats
    self._colour = colour

  def __len__(self):
    return self._num_images

  def __getitem__(self, index):
    rng = np.random.default_rng(index)
    data = self._encoded[rng.integers(len(self._encoded))]
    image = Image.open(io.BytesIO(data)).convert('RGB')
    top, left, h, w = random_window(rng, image.height, image.width)
    box = (left, top, left + w, top + h)
    image = image.crop(box).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
      image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if self._colour:
      for i in rng.permutation(3):
        image = ENHANCERS[i](image).enhance(rng.uniform(0.5, 1.5))
    image = torch.from_numpy(np.array(image))
    if not self._floats:
      return image
    image = image.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
    return image.sub_(MEAN).div_(STD)


def pillow(
  encoded: list[bytes],
  num_images: int,
  num_workers: int,
  floats: bool = False,
  colour: bool = False,
) -> Callable[[], Batches]:
  """PyTorch's loader with a process a core, which live from round to round."""
  loader = torch.utils.data.DataLoader(
    PillowDataset(encoded, num_images, floats, colour),
    batch_size=BATCH_SIZE,
    num_workers=num_workers,
    persistent_workers=True,
    multiprocessing_context='spawn',
  )

  def take():
    for batch in loader:
      yield {'image': batch.numpy()}

  return take


class ParsedSource:
  """A random-access source of Grain over the encoded images of records."""

  def __init__(self, records):
    self._records = records

  def __len__(self):
    return len(self._records)

  def __getitem__(self, index):
    (example,) = self._records.read_examples(np.array([index]))
    return example['image']


def grain_threads(records, num_batches: int, num_threads: int) -> Batches:
  """Grain's own order and threads, with simplejpeg and OpenCV."""

  def load(data, rng):
    image = simplejpeg.decode_jpeg(data)
    top, left, h, w = random_window(rng, *image.shape[:2])
    image = image[top : top + h, left : left + w]
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)

  data = grain.MapDataset.source(ParsedSource(records)).seed(0).shuffle()
  # No more than are taken: its threads would go on while others are measured.
  data = data.repeat().random_map(load).batch(BATCH_SIZE)[:num_batches]
  # Threads fill whole batches; one more than cores is faster than as many.
  options = grain.ReadOptions(
    num_threads=num_threads + 1, prefetch_buffer_size=2 * (num_threads + 1)
  )
  for images in data.to_iter_dataset(options):
    yield {'image': images}


def decode_only(
  encoded: tf.Tensor, windows: tf.Tensor | None, num_threads: int
) -> Callable[[], None]:
  """Decodes every photograph once, its window only or whole."""

  def decode(data, window):
    if windows is None:
      image = tf.image.decode_jpeg(
        data, channels=3, dct_method='INTEGER_ACCURATE'
      )
    else:
      image = decoding.decode_window(data, window)
    return tf.shape(image)

  @tf.function
  def run():
    places = windows
    if places is None:
      places = tf.zeros((tf.size(encoded), 4), tf.int32)
    data = tf.data.Dataset.from_tensor_slices((encoded, places))
    data = data.map(decode, num_parallel_calls=2 * num_threads)
    return data.batch(tf.size(encoded, tf.int64)).get_single_element()

  return run


def training_windows(dataset: dataset_lib.Dataset, encoded: tf.Tensor):
  """A window of ours for each photograph."""
  draws = order.example_uniforms(
    0, np.arange(len(encoded)), cropping.UNIFORMS_PER_CROP
  )
  return tf.stack(
    [
      cropping.distorted_crop_window(
        decoding.header_shape(data), draw[:-1], dataset.train_crop
      )
      for data, draw in zip(encoded, draws, strict=True)
    ]
  )


def consume(batches: Batches) -> int:
  """Puts batches on the devices, as training does; returns the images."""
  num_images = 0
  for batch in device.prefetch({'image': b['image']} for b in batches):
    jax.block_until_ready(batch)
    num_images += BATCH_SIZE
  return num_images


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--data_dir', required=True)
  parser.add_argument('--name', default='imagenet2012')
  parser.add_argument('--split', default='train')
  parser.add_argument('--rounds', type=int, default=7)
  # Of which the workers of Pillow make whole ones: the same number each.
  parser.add_argument('--batches_per_core', type=int, default=16)
  parser.add_argument('--output')
  arguments = parser.parse_args()
  threads = len(os.sched_getaffinity(0))
  fields = {
    **googlenet_imagenet.get_config().data.to_dict(),
    'name': arguments.name,
    'train_split': arguments.split,
    'eval_split': arguments.split,
    'eval_crop': 'shorter_side',
    'data_dir': arguments.data_dir,
  }
  dataset = dataset_lib.open_dataset(**fields)
  bilinear = dataset_lib.open_dataset(
    **{**fields, 'interpolations': ('bilinear',)}
  )
  records, n = dataset.train, threads * arguments.batches_per_core
  examples = records.read_examples(np.arange(len(records)))
  encoded = [example['image'] for example in examples]
  constant = tf.constant(encoded)
  with tempfile.TemporaryDirectory() as folder:
    files = write_tfrecords(folder, examples)
    loaders = [
      pillow(encoded, n * BATCH_SIZE, threads, floats, colour)
      for floats, colour in ((True, False), (False, False), (True, True))
    ]
    batches = {
      'ours': lambda: ours(dataset, n),
      'ours_bilinear': lambda: ours(bilinear, n),
      'tf_data': tf_data(files, n, threads, paper_sampler),
      'tf_data_own_sampler': tf_data(files, n, threads, tf_sampler),
      'ours_host_colour': ours_host_colour(dataset, n, threads),
      'pillow_floats': loaders[0],
      'pillow': loaders[1],
      'pillow_colour': loaders[2],
      'grain': lambda: grain_threads(records, n, threads),
    }
    variants = {
      name: lambda take=take: consume(take()) for name, take in batches.items()
    }
    windows = training_windows(dataset, constant)
    for name, places in (('decode_windows', windows), ('decode_whole', None)):
      run = decode_only(constant, places, threads)
      variants[name] = lambda run=run: sum(
        len(run()) for _ in range(max(1, n * BATCH_SIZE // len(encoded)))
      )
    seconds = measure(variants, arguments.rounds)
  medians = {name: statistics.median(v) for name, v in seconds.items()}
  record = {
    **machine.environment(PACKAGES),
    'photographs': len(encoded),
    'mean_bytes': round(statistics.mean(map(len, encoded))),
    'batch_size': BATCH_SIZE,
    'threads': threads,
    'images_per_second': {k: round(1 / v, 1) for k, v in medians.items()},
    'ours_over': {
      name: round(
        statistics.median(
          theirs / own
          for theirs, own in zip(seconds[name], seconds['ours'], strict=True)
        ),
        3,
      )
      for name in variants
      if name != 'ours'
    },
    'rounds': {
      k: [round(1 / v, 1) for v in values] for k, values in seconds.items()
    },
  }
  record['versions']['tensorflow'] = tf.__version__
  machine.keep(record, arguments.output)


def write_tfrecords(folder: str, examples: list[dict]) -> list[str]:
  """The same photographs as one TFRecord file."""
  path = os.path.join(folder, 'photographs.tfrecord')
  with tf.io.TFRecordWriter(path) as writer:
    for example in examples:
      image = tf.train.BytesList(value=[example['image']])
      label = tf.train.Int64List(value=[int(example['label'])])
      features = {
        'image': tf.train.Feature(bytes_list=image),
        'label': tf.train.Feature(int64_list=label),
      }
      writer.write(
        tf.train.Example(
          features=tf.train.Features(feature=features)
        ).SerializeToString()
      )
  return [path]


def measure(variants: dict[str, Callable[[], int]], rounds: int):
  """Seconds an image of each variant, in turn, one list a variant."""
  seconds = {name: [] for name in variants}
  for turn in range(rounds + 1):
    for name, run in variants.items():
      start = time.perf_counter()
      num_images = run()
      if turn:  # The first warms up.
        seconds[name].append((time.perf_counter() - start) / num_images)
    print(f'round {turn} of {rounds}', file=sys.stderr)
  return seconds


if __name__ == '__main__':
  main()
