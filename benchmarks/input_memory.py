"""Memory of the training input over one epoch of 100,000 records.

Writes a folder of small JPEGs of noise, 90 to 110 pixels a side, prepares it,
and reads each once through the whole input, everything on, to device batches.
Prints one JSON object with the resident memory along the way.

  python benchmarks/input_memory.py [--records=100000] [--output=FILE.json]
"""

import argparse
import io
import os
import pathlib
import sys
import tempfile

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402
import machine  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
import psutil  # noqa: E402

from configs import googlenet_imagenet  # noqa: E402
from inception_jax.data import dataset as dataset_lib  # noqa: E402
from inception_jax.data import device  # noqa: E402
from inception_jax.data.preparation import prepare  # noqa: E402

BATCH_SIZE = 100
NUM_CLASSES = 10
NUM_SAMPLES = 50


def noise(index: int) -> bytes:
  """A JPEG that no other index has."""
  rng = np.random.default_rng(index)
  coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
  size = tuple(int(side) for side in rng.integers(90, 111, 2))
  buffer = io.BytesIO()
  Image.fromarray(coarse).resize(size).save(buffer, 'jpeg', quality=90)
  return buffer.getvalue()


def write_records(data_dir: str, count: int) -> None:
  """Prepares the set, with one further picture a class to validate."""
  with tempfile.TemporaryDirectory() as pictures:
    for i in range(count + NUM_CLASSES):
      part = 'train' if i < count else 'validation'
      place = pathlib.Path(pictures, part, f'class_{i % NUM_CLASSES}')
      place.mkdir(parents=True, exist_ok=True)
      (place / f'{i}.jpg').write_bytes(noise(i))
    prepare.prepare('noise', data_dir, pictures)


def measure(folder: str, count: int) -> tuple[list[int], list[float], int]:
  """Records read so far, memory then in MB, and how many labels were seen."""
  fields = googlenet_imagenet.get_config().data.to_dict()
  fields |= {'name': 'noise', 'data_dir': folder, 'eval_crop': 'shorter_side'}
  dataset = dataset_lib.open_dataset(**fields)
  num_steps = count // BATCH_SIZE
  batches = dataset.train_batches(
    seed=0,
    start_step=0,
    num_train_steps=num_steps,
    batch_size=BATCH_SIZE,
    slots=np.arange(BATCH_SIZE),
  )
  process = psutil.Process()
  read, memory, labels = [], [], 0
  for step, batch in enumerate(device.prefetch(batches), 1):
    jax.block_until_ready(batch)
    labels += batch['label'].size
    if step % max(1, num_steps // NUM_SAMPLES) == 0:
      read.append(step * BATCH_SIZE)
      memory.append(round(process.memory_info().rss / 1e6, 1))
      print(f'{read[-1]:,} of {count:,}', file=sys.stderr)
  return read, memory, labels


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--records', type=int, default=100_000)
  parser.add_argument('--output')
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    write_records(folder, arguments.records)
    read, memory, labels = measure(folder, arguments.records)
  # The first tenth fills buffers.
  steady = len(read) // 10
  slope = np.polyfit(read[steady:], memory[steady:], 1)[0]
  record = {
    **machine.environment(('array_record', 'tensorflow-datasets')),
    'records': arguments.records,
    'records_seen': labels,
    'megabytes': memory,
    'megabytes_after_a_tenth': memory[steady],
    'megabytes_at_the_end': memory[-1],
    'megabytes_per_10000_records': round(1e4 * slope, 3),
  }
  machine.keep(record, arguments.output)


if __name__ == '__main__':
  main()
