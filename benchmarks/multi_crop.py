"""144 crops of each picture (section 7), three ways from a file to one answer.

- `ours`: a photograph of usual size crosses as bytes, the resized squares of a
  larger one; all crops and mirrors are made on the device.
- `naive`: Pillow decodes once, resizes once a size and cuts the 144 crops,
  which cross as bytes to the same compiled network.
- `torch`: the same crops through PyTorch, eager, channels last, same weights.

That all give the same probabilities is checked first. Host time is of one
thread, up to the array that crosses; the ways take turns, so that a busy
machine slows all of them, and medians count. Peak memory is of a process of its
own for each way, of which what it has before the first picture is told apart.
On the CPU nothing really crosses; the bytes are those that would. Prints one
JSON object.

  pip install '.[data,parity]'
  python benchmarks/multi_crop.py --workdir=RUN --pictures=FOLDER \
      [--output=FILE.json]
"""

import argparse
from collections.abc import Callable
import io
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time
from typing import Any, NamedTuple

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402
import machine  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from inception_jax.data import crops_144  # noqa: E402
from inception_jax.evaluation import crop_views  # noqa: E402
from inception_jax.runs import run as run_lib  # noqa: E402

WAYS = ('ours', 'naive', 'torch')
CROPS_AT_A_TIME = 12
# Of probabilities; the pixels are the same.
PROBABILITY_ATOL = 1e-5


class Way(NamedTuple):
  """One way: a file's bytes to an array, and that to probabilities."""

  prepare: Callable[[bytes], np.ndarray]
  answer: Callable[[np.ndarray], np.ndarray]


def crops_by_pillow(encoded: bytes, spec: crops_144.MultiCrop) -> np.ndarray:
  """All crops in order, uint8 `[len(spec), size, size, 3]`."""
  image = Image.open(io.BytesIO(encoded)).convert('RGB')
  bilinear = Image.Resampling.BILINEAR
  found = []
  for side in spec.shorter_sides:
    shorter = min(image.size)
    resized = image.resize([side * x // shorter for x in image.size], bilinear)
    for square in spec.squares:
      share = {'first': 0, 'center': 0.5, 'last': 1}[square]
      left, top = (round((x - side) * share) for x in resized.size)
      of_side = resized.crop((left, top, left + side, top + side))
      room = side - spec.size
      half = round(room / 2)
      for x, y in ((0, 0), (room, 0), (0, room), (room, room), (half, half)):
        crop = of_side.crop((x, y, x + spec.size, y + spec.size))
        found += [crop, crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
      crop = of_side.resize((spec.size, spec.size), bilinear)
      found += [crop, crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
  return np.stack([np.asarray(crop) for crop in found])


def create_way(name: str, loaded: run_lib.Run) -> Way:
  """Builds one of `WAYS`."""
  spec = crops_144.protocol('multi_crop_144', loaded.eval_crop.size)
  if name == 'ours':
    import tensorflow as tf

    from inception_jax.data import batch_decoding

    logits_fn = crop_views.create_crop_logits_fn(
      loaded.model, loaded.preprocessing, spec
    )
    answer = jax.jit(
      lambda variables, packed: jax.nn.softmax(
        logits_fn(variables, packed)
      ).mean(1)[0]
    )
    variables = jax.device_put(loaded.variables)
    uniforms = np.zeros((1, 1), np.float32)
    return Way(
      lambda encoded: batch_decoding.decode_batch(
        tf.constant([encoded]), uniforms, spec, 1
      )[0],
      lambda packed: np.asarray(answer(variables, packed)),
    )
  prepare = lambda encoded: crops_by_pillow(encoded, spec)
  if name == 'naive':
    network = jax.jit(
      lambda variables, crops: jax.nn.softmax(
        loaded.model.apply(variables, loaded.preprocessing(crops))[0]
      )
    )
    variables = jax.device_put(loaded.variables)
    return Way(
      prepare,
      lambda crops: np.concatenate(
        [np.asarray(network(variables, part)) for part in _parts(crops)]
      ).mean(0),
    )
  import serving
  import torch

  module = serving.torch_network(loaded).to(memory_format=torch.channels_last)

  def answer_by_torch(crops):
    found = []
    with torch.inference_mode():
      for part in _parts(crops):
        x = torch.from_numpy(np.array(loaded.preprocessing(part)))
        logits = module(x.permute(0, 3, 1, 2))
        found.append(torch.softmax(logits, 1).numpy())
    return np.concatenate(found).mean(0)

  return Way(prepare, answer_by_torch)


def _parts(crops: np.ndarray):
  for start in range(0, len(crops), CROPS_AT_A_TIME):
    yield crops[start : start + CROPS_AT_A_TIME]


def peak_megabytes() -> float:
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_memory(name: str, workdir: str, files: list[bytes]) -> dict:
  """Of this process: before the first picture, and at its peak."""
  way = create_way(name, run_lib.load_run(workdir))
  before = peak_megabytes()
  for encoded in files:
    way.answer(way.prepare(encoded))
  return {
    'before_first_picture_mb': round(before),
    'peak_mb': round(peak_megabytes()),
  }


def measure(loaded: run_lib.Run, files: list[bytes], rounds: int) -> dict:
  """Medians of each way, in turn."""
  ways = {name: create_way(name, loaded) for name in WAYS}
  answers = {
    name: way.answer(way.prepare(files[0])) for name, way in ways.items()
  }
  for name, found in answers.items():
    difference = float(np.abs(found - answers['naive']).max())
    if difference > PROBABILITY_ATOL:
      sys.exit(f'{name} differs from naive by {difference}')
  times: dict[str, dict[str, list[float]]] = {
    name: {'host': [], 'total': []} for name in WAYS
  }
  for encoded in files:  # Host alone, of many pictures.
    for name, way in ways.items():
      start = time.perf_counter()
      way.prepare(encoded)
      times[name]['host'].append(time.perf_counter() - start)
  for encoded in files[:rounds]:
    for name, way in ways.items():
      start = time.perf_counter()
      way.answer(way.prepare(encoded))
      times[name]['total'].append(time.perf_counter() - start)
  return {
    name: {
      'bytes_to_device': int(ways[name].prepare(files[0]).nbytes),
      'host_ms_an_image': round(1e3 * statistics.median(found['host']), 2),
      'mean_host_ms': round(1e3 * statistics.mean(found['host']), 2),
      'total_s_an_image': round(statistics.median(found['total']), 3),
      'images_per_second': round(1 / statistics.median(found['total']), 3),
      'largest_difference': float(
        np.abs(answers[name] - answers['naive']).max()
      ),
    }
    for name, found in times.items()
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--pictures', required=True, help='folder of JPEGs')
  parser.add_argument('--num_pictures', type=int, default=50)
  parser.add_argument('--rounds', type=int, default=7, help='of total time')
  parser.add_argument('--output')
  parser.add_argument('--memory_of', choices=WAYS, help=argparse.SUPPRESS)
  arguments = parser.parse_args()
  paths = sorted(pathlib.Path(arguments.pictures).rglob('*.JPEG'))
  files = [path.read_bytes() for path in paths[: arguments.num_pictures]]
  if not files:
    sys.exit(f'{arguments.pictures} holds no *.JPEG')
  if arguments.memory_of:
    found = measure_memory(arguments.memory_of, arguments.workdir, files[:2])
    print(json.dumps(found))
    return
  memory = {}
  for name in WAYS:
    output = subprocess.run(
      [sys.executable, *sys.argv, f'--memory_of={name}'],
      check=True,
      capture_output=True,
      text=True,
    ).stdout
    memory[name] = json.loads(output.splitlines()[-1])
  found = measure(run_lib.load_run(arguments.workdir), files, arguments.rounds)
  for name in WAYS:
    found[name].update(memory[name])
  ratios: dict[str, Any] = {
    f'{field}_of_{other}': round(found['ours'][field] / found[other][field], 3)
    for other in ('naive', 'torch')
    for field in (
      'bytes_to_device',
      'host_ms_an_image',
      'mean_host_ms',
      'total_s_an_image',
    )
  }
  record = {
    **machine.environment(('tensorflow-cpu', 'torch', 'pillow')),
    'num_pictures': {'host': len(files), 'total': arguments.rounds},
    'ways': found,
    'ours': ratios,
  }
  machine.keep(record, arguments.output)


if __name__ == '__main__':
  main()
