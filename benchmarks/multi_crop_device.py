"""144 crops of each picture on an accelerator, beside sending all crops.

From what the host has ready to the probabilities on the host again, a batch of
pictures at a time:

- `ours`: pictures cross as bytes; resized, cut and mirrored on the device.
- `crops_sent`: the 144 crops cross as bytes.
- `network_alone`: the 144 crops are on the device already.

The first two are checked to have the same pixels as Pillow, bit for bit, for
pictures of many shapes. The ways take turns; medians count. Needs no
TensorFlow. Weights and pictures are random: what is measured does not depend on
them. Prints one JSON object.

  python benchmarks/multi_crop_device.py [--output=FILE.json]
"""

import argparse
import io
import os
import pathlib
import statistics
import sys
import time

os.environ.setdefault('JAX_PLATFORMS', '')  # What there is.
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import machine  # noqa: E402
import multi_crop as of_cpu  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from inception_jax import models, profiles  # noqa: E402
from inception_jax.data import crops_144, squares  # noqa: E402
from inception_jax.evaluation import crop_views  # noqa: E402

MODEL = 'inception_v1_google'
SIZE = 224
# Height and width: usual ones, tiny, extreme, and too large to cross whole.
SHAPES = [(375, 500), (500, 375), (512, 512), (333, 500), (100, 100)]
SHAPES += [(60, 500), (500, 31), (1, 1), (7, 120), (600, 800), (1377, 1836)]
MAX_LOGIT_DIFFERENCE = {'float32': 5e-2, 'bfloat16': 0.5}


def picture(shape: tuple[int, int], seed: int) -> np.ndarray:
  """Noise on a ramp, uint8 `[*shape, 3]`."""
  rng = np.random.default_rng(seed)
  noise = rng.integers(0, 100, (*shape, 3))
  ramp = np.linspace(0, 155, shape[1])[:, None]
  return (noise + ramp).astype(np.uint8)


def crops_by_pillow(pixels: np.ndarray, spec) -> np.ndarray:
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, 'PNG', compress_level=0)
  return of_cpu.crops_by_pillow(buffer.getvalue(), spec)


def pack(pixels: np.ndarray, spec) -> np.ndarray:
  packed = np.zeros(spec.shape, np.uint8)
  squares.pack(pixels, spec, packed)
  return packed


def check_pixels(spec) -> int:
  """Compares all crops of all shapes with Pillow's; returns how many."""

  @jax.jit
  def crops_of(packed):
    parts = crop_views.unpack(packed[None], spec)
    found = [
      crop_views.cut(part[:, place], spec)
      for part in parts
      for place in range(len(spec.squares))
    ]
    return jnp.concatenate(found, 1)[0]

  count = 0
  for number, shape in enumerate(SHAPES):
    pixels = picture(shape, number)
    top, left, height, width = squares.middle_window(*shape)
    pixels = pixels[top : top + height, left : left + width]
    found = np.asarray(crops_of(pack(pixels, spec)))
    expected = crops_by_pillow(pixels, spec)
    if not np.array_equal(found, expected):
      sys.exit(f'crops of {shape} differ from those of Pillow')
    count += len(found)
  return count


def measure(dtype: str, batch_size: int, rounds: int, spec) -> dict:
  """Seconds a picture of each way, in turn."""
  model = models.create_model(MODEL, num_classes=1000, dtype=dtype)
  preprocessing = profiles.profile_of(MODEL).preprocessing
  zeros = np.zeros((1, SIZE, SIZE, 3), np.float32)
  variables = jax.jit(model.init)(jax.random.key(0), zeros)
  logits_fn = crop_views.create_crop_logits_fn(model, preprocessing, spec)

  @jax.jit
  def answer_ours(variables, packed):
    return jax.nn.softmax(logits_fn(variables, packed)).mean(1)

  @jax.jit
  def answer_crops(variables, crops):
    def apply(part):
      return model.apply(variables, preprocessing(part), train=False)[0]

    # As many at a time as ours has.
    parts = crops.reshape(-1, batch_size * spec.crops_a_square, SIZE, SIZE, 3)
    logits = jax.lax.map(apply, parts).reshape(batch_size, len(spec), -1)
    return jax.nn.softmax(logits).mean(1)

  pictures = [picture(SHAPES[i % 4], i) for i in range(batch_size)]
  start = time.perf_counter()
  packed = np.stack([pack(pixels, spec) for pixels in pictures])
  pack_seconds = time.perf_counter() - start
  start = time.perf_counter()
  crops = np.stack([crops_by_pillow(pixels, spec) for pixels in pictures])
  crop_seconds = time.perf_counter() - start
  on_device = jax.device_put(crops)
  ways = {
    'ours': lambda: answer_ours(variables, jax.device_put(packed)),
    'crops_sent': lambda: answer_crops(variables, jax.device_put(crops)),
    'network_alone': lambda: answer_crops(variables, on_device),
  }
  answers = {name: np.asarray(way()) for name, way in ways.items()}
  difference = float(
    np.abs(np.log(answers['ours']) - np.log(answers['crops_sent'])).max()
  )
  if difference > MAX_LOGIT_DIFFERENCE[dtype]:
    sys.exit(f'answers in {dtype} differ by {difference}')
  times: dict[str, list[float]] = {name: [] for name in ways}
  for _ in range(rounds):
    for name, way in ways.items():
      start = time.perf_counter()
      np.asarray(way())
      times[name].append(time.perf_counter() - start)
  seconds = {
    name: statistics.median(x) / batch_size for name, x in times.items()
  }
  return {
    'images_per_second': {x: round(1 / seconds[x], 1) for x in ways},
    'ours_of_crops_sent': round(seconds['ours'] / seconds['crops_sent'], 3),
    'ours_of_network_alone': round(
      seconds['ours'] / seconds['network_alone'], 3
    ),
    'largest_difference_of_log_probabilities': difference,
    'bytes_an_image': {
      'ours': packed.nbytes // batch_size,
      'crops_sent': crops.nbytes // batch_size,
    },
    'host_ms_an_image_without_decoding': {
      'ours': round(1e3 * pack_seconds / batch_size, 2),
      'crops_sent': round(1e3 * crop_seconds / batch_size, 2),
    },
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--batch_size', type=int, default=16)
  parser.add_argument('--rounds', type=int, default=9)
  parser.add_argument('--output')
  arguments = parser.parse_args()
  spec = crops_144.protocol('multi_crop_144', SIZE)
  record = {
    **machine.environment(('pillow',)),
    'batch_size': arguments.batch_size,
    'crops_equal_to_pillows': check_pixels(spec),
    'shapes': SHAPES,
    **{
      dtype: measure(dtype, arguments.batch_size, arguments.rounds, spec)
      for dtype in MAX_LOGIT_DIFFERENCE
    },
  }
  machine.keep(record, arguments.output)


if __name__ == '__main__':
  main()
