"""Our train step and inference on one GPU, beside PyTorch's.

Both compute the network of Table 1 with the same layers, heads, dropout and
SGD with momentum, from bytes that lie on the device. JAX's side is the
product's own compiled step; PyTorch's is eager and `torch.compile`, channels
last, under autocast. All compile first: JAX's processes one after another,
PyTorch's, one a case, beside them. Then they take turns, and medians count.
Needs no TensorFlow. Prints one JSON object.

  python benchmarks/gpu.py --parts train inference [--baseline=CHECKOUT]
      [--output=FILE.json] [--small]
"""

import argparse
import dataclasses
import json
import os
import pathlib
import select
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import gpu_timing
import machine

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHILD = ROOT / 'benchmarks' / 'gpu_child.py'
IMAGE_SIZE, SMALL_IMAGE_SIZE = 224, 96
MAX_SECONDS_OF_ROUND = 60
# A process may go on so long with what it was compiling at the deadline.
MAX_SECONDS_LATE = 40


@dataclasses.dataclass(frozen=True)
class Part:
  """A size of a program.

  Attributes:
    work: see `gpu_timing.Case`.
    dtype: likewise.
    batch_size: likewise.
    our_forms: forms of JAX's side.
    torch_forms: forms of PyTorch's side.
    model: name of the network.
  """

  work: str
  dtype: str
  batch_size: int
  our_forms: tuple[str, ...] = ('same_work',)
  torch_forms: tuple[str, ...] = ('eager', 'compile')
  model: str = 'inception_v1'

  def cases(self, forms: tuple[str, ...], small: bool) -> list[gpu_timing.Case]:
    batch_size = 1 if small else self.batch_size
    side = SMALL_IMAGE_SIZE if small else IMAGE_SIZE
    return [
      gpu_timing.Case(self.work, form, self.model, self.dtype, batch_size, side)
      for form in forms
    ]


TORCH_FORMS = ('eager', 'compile', 'compile_tuned')
PARTS = {
  'train': Part('train', 'bfloat16', 128, torch_forms=TORCH_FORMS),
  'train_512': Part('train', 'bfloat16', 512),
  'train_tf32': Part('train', 'tf32', 128),
  'train_recipe': Part('train', 'bfloat16', 128, ('recipe',), ()),
  'train_bn': Part('train', 'bfloat16', 128, model='inception_v1_bn'),
  'inference': Part('inference', 'bfloat16', 128, torch_forms=TORCH_FORMS),
  'inference_512': Part('inference', 'bfloat16', 512),
  'inference_tf32': Part('inference', 'tf32', 128),
}


class Child:
  """A process that has compiled cases and times them when asked.

  Attributes:
    framework: 'jax' or 'torch'.
    cases: what it was given.
    is_baseline: whether it runs another checkout.
    details: of each case, once it is ready; None for what it left out.
    rates: images a second of each case, round by round.
  """

  def __init__(
    self,
    framework: str,
    cases: list[gpu_timing.Case],
    root: pathlib.Path,
    lock: str,
    deadline: float,
  ):
    self.framework, self.cases = framework, cases
    self.is_baseline = root != ROOT
    self.details = [None] * len(cases)
    self.rates = [[] for _ in cases]
    given = json.dumps([dataclasses.asdict(case) for case in cases])
    command = [framework, str(root), given, lock, str(deadline)]
    self._process = subprocess.Popen(
      [sys.executable, str(CHILD), *command],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      # JAX would take three quarters of the memory and hold them.
      env={**os.environ, 'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'},
    )

  def wait_until_ready(self, deadline: float) -> None:
    """Reads the details; a process that is late or fails is left out."""
    line = self._read(deadline)
    if line.startswith('['):
      self.details = json.loads(line)
    else:
      progress(f'{self.framework} is not ready: {self.cases}')
      self.close()

  def run(self, index: int) -> None:
    """One round of a case."""
    print(index, file=self._process.stdin, flush=True)
    rate = float(self._read(time.time() + MAX_SECONDS_OF_ROUND))
    self.rates[index].append(rate)
    case = self.cases[index]
    progress(
      f'{self.framework} {case.work} {case.form} {case.dtype}'
      f' {case.batch_size}{" baseline" if self.is_baseline else ""}:'
      f' {rate:.0f} images/s'
    )

  def _read(self, deadline: float) -> str:
    left = max(0.0, deadline - time.time())
    ready, _, _ = select.select([self._process.stdout], [], [], left)
    return self._process.stdout.readline() if ready else ''

  def close(self) -> None:
    self._process.kill()
    self._process.wait()


def start_children(
  parts: list[Part],
  small: bool,
  baseline: pathlib.Path | None,
  folder: str,
  deadline: float,
) -> list[Child]:
  """Ours, that of the other checkout, and one for each of PyTorch's cases."""
  ours = [case for p in parts for case in p.cases(p.our_forms, small)]
  theirs = [case for p in parts for case in p.cases(p.torch_forms, small)]
  arguments = f'{folder}/lock', deadline
  children = [Child('jax', ours, ROOT, *arguments)]
  if baseline:
    children.append(Child('jax', ours, baseline.resolve(), *arguments))
  children += [Child('torch', [case], ROOT, *arguments) for case in theirs]
  for child in children:
    child.wait_until_ready(deadline + MAX_SECONDS_LATE)
  return children


def progress(text: str) -> None:
  print(text, file=sys.stderr, flush=True)


def results_of(children: list[Child]) -> list[dict[str, Any]]:
  """What was measured of every case."""
  return [
    {
      'framework': child.framework,
      'is_baseline': child.is_baseline,
      **dataclasses.asdict(case),
      'images_per_second': statistics.median(rates),
      'rounds': rates,
      **details,
    }
    for child in children
    for case, details, rates in zip(
      child.cases, child.details, child.rates, strict=True
    )
    if rates
  ]


def summarize(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """Ours beside the others of the same work, network and size."""
  same = ('work', 'model', 'dtype', 'batch_size')
  rows = []
  for ours in results:
    if ours['framework'] != 'jax' or ours['is_baseline']:
      continue
    row = {key: ours[key] for key in (*same, 'form', 'images_per_second')}
    for other in results:
      if any(other[key] != ours[key] for key in same) or other is ours:
        continue
      ratio = ours['images_per_second'] / other['images_per_second']
      if other['framework'] == 'torch':
        row[f'ratio_to_torch_{other["form"]}'] = ratio
      elif other['is_baseline'] and other['form'] == ours['form']:
        row['ratio_to_baseline'] = ratio
    rows.append(row)
  return rows


def flops_per_image(work: str, model: str, image_size: int) -> float:
  """Of convolutions and matrices; training has no gradient of the pixels."""
  import jax
  import jax.numpy as jnp

  from inception_jax import models
  from inception_jax.paper import jaxpr_costs

  trains = work == 'train'
  model = models.create_model(model)
  images = jnp.zeros((1, image_size, image_size, 3))
  variables = jax.eval_shape(model.init, jax.random.key(0), images)
  _, _, counts = jaxpr_costs.trace(model, variables, images, trains)
  total = sum(counts.values())
  return 2.0 * (3 * total - counts['conv1'] if trains else total)


def add_shares(results: list[dict[str, Any]], device: str) -> None:
  """Adds arithmetic an image and the shares of the card's limits."""
  known = {}
  for result in results:
    key = result['work'], result['model'], result['image_size']
    if key not in known:
      known[key] = flops_per_image(*key)
    result['gflop_per_image'] = known[key] / 1e9
    result.update(gpu_timing.shares(result, known[key], device))


def parse_arguments() -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  add = parser.add_argument
  add('--parts', nargs='+', choices=list(PARTS), default=['train'])
  add('--rounds', type=int, default=7)
  add(
    '--torch_forms',
    nargs='+',
    choices=TORCH_FORMS,
    default=list(TORCH_FORMS),
    help='of those that a part has; default: all',
  )
  add('--small', action='store_true', help='sizes for a CPU, to try it')
  add(
    '--baseline',
    type=pathlib.Path,
    help='another checkout, whose step takes turns too',
  )
  add(
    '--patience',
    type=float,
    default=300.0,
    help='seconds after which nothing more is compiled',
  )
  add('--output', type=pathlib.Path, help='file for the JSON as well')
  return parser.parse_args()


def main() -> None:
  arguments = parse_arguments()
  start = time.time()
  sys.path.insert(0, str(ROOT))
  parts = [
    dataclasses.replace(
      PARTS[name],
      torch_forms=tuple(
        form
        for form in PARTS[name].torch_forms
        if form in arguments.torch_forms
      ),
    )
    for name in arguments.parts
  ]
  with tempfile.TemporaryDirectory() as folder:
    children = start_children(
      parts,
      arguments.small,
      arguments.baseline,
      folder,
      start + arguments.patience,
    )
  for _ in range(arguments.rounds):
    for child in children:
      for index, details in enumerate(child.details):
        if details:
          child.run(index)
    if arguments.output:  # In case that the machine is taken away.
      arguments.output.write_text(json.dumps(results_of(children)))
  for child in children:
    child.close()
  # Only now: JAX must not hold the card while the others run.
  os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'
  result = machine.environment(('torch',))
  results = results_of(children)
  add_shares(results, result['hardware']['devices'][0])
  result['seconds'] = time.time() - start
  result['summary'] = summarize(results)
  result['cases'] = results
  machine.keep(result, arguments.output)


if __name__ == '__main__':
  main()
