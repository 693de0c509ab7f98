"""Images a second of inference on the CPU: JAX, ONNX Runtime and PyTorch.

- `jax`: the network of a run, under `jax.jit`.
- `onnxruntime`: the same, exported with `--mode=export --format=onnx`.
- `torch`, `torch_channels_last`: a plain PyTorch module with the same weights,
  eager, in inference mode.

Each takes a batch of preprocessed float32 images in the memory of NumPy, in the
layout it likes, and gives logits there; each may use every core. That all give
the same logits is checked before anything is timed. They take turns, so that a
busy machine slows all of them; medians count. Prints one JSON object.

  pip install '.[export,parity]'
  python benchmarks/serving.py --workdir=RUN [--output=FILE.json]
"""

import argparse
from collections.abc import Callable
import math
import os
import pathlib
import statistics
import sys
import tempfile
import time
from typing import Any

# Before JAX begins: another backend than the others' would not compare.
os.environ['JAX_PLATFORMS'] = 'cpu'
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402
import machine  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from inception_jax.commands import export as exporting  # noqa: E402
from inception_jax.export import checking  # noqa: E402
from inception_jax.runs import named_arrays  # noqa: E402
from inception_jax.runs import run as run_lib  # noqa: E402
from inception_jax.runtime import errors  # noqa: E402

LOGITS_ATOL = 1e-3
MIN_SECONDS_PER_TURN = 0.5
# Sides at which every strided window of SAME ends at or beyond the edge, so
# that PyTorch's `ceil_mode` is the same.
SIDE_MULTIPLE = 32

Runner = Callable[[np.ndarray], np.ndarray]


class Conv(torch.nn.Module):
  """Convolution, batch norm if the run has it, and ReLU."""

  def __init__(
    self, arrays: dict[str, np.ndarray], path: str, epsilon: float | None
  ):
    super().__init__()
    kernel = torch.from_numpy(
      arrays[f'params/{path}/kernel'].transpose(3, 2, 0, 1).copy()
    )
    features, channels, window, _ = kernel.shape
    self.is_stem = window == 7
    self.conv = torch.nn.Conv2d(
      channels,
      features,
      window,
      2 if self.is_stem else 1,
      padding=0 if self.is_stem else window // 2,
      bias=f'params/{path}/bias' in arrays,
    )
    tensors = {'weight': kernel}
    if self.conv.bias is not None:
      tensors['bias'] = torch.tensor(arrays[f'params/{path}/bias'])
    self.conv.load_state_dict(tensors)
    self.bn = None
    if epsilon is not None:
      self.bn = torch.nn.BatchNorm2d(features, eps=epsilon)
      names = {
        'weight': f'params/{path}/bn/scale',
        'bias': f'params/{path}/bn/bias',
        'running_mean': f'batch_stats/{path}/bn/mean',
        'running_var': f'batch_stats/{path}/bn/var',
      }
      self.bn.load_state_dict(
        {k: torch.tensor(arrays[v]) for k, v in names.items()}, strict=False
      )

  def forward(self, x):
    if self.is_stem:
      x = F.pad(x, (2, 3, 2, 3))  # SAME at an even size.
    x = self.conv(x)
    if self.bn is not None:
      x = self.bn(x)
    return F.relu(x, inplace=True)


class Module(torch.nn.Module):
  """Figure 2 (b)."""

  def __init__(self, conv: Callable[[str], Conv], path: str):
    super().__init__()
    self.conv_1x1 = conv(f'{path}/conv_1x1')
    self.conv_3x3 = torch.nn.Sequential(
      conv(f'{path}/reduce_3x3'), conv(f'{path}/conv_3x3')
    )
    self.conv_5x5 = torch.nn.Sequential(
      conv(f'{path}/reduce_5x5'), conv(f'{path}/conv_5x5')
    )
    self.pool_proj = torch.nn.Sequential(
      torch.nn.MaxPool2d(3, 1, 1), conv(f'{path}/pool_proj')
    )

  def forward(self, x):
    branches = (self.conv_1x1, self.conv_3x3, self.conv_5x5, self.pool_proj)
    return torch.cat([branch(x) for branch in branches], 1)


def torch_network(loaded: run_lib.Run) -> torch.nn.Module:
  """The network of a run in PyTorch."""
  arch = loaded.model.architecture
  arrays = named_arrays.flatten(loaded.variables)
  conv = lambda path: Conv(arrays, path, arch.batch_norm_epsilon)
  pool = lambda: torch.nn.MaxPool2d(3, 2, ceil_mode=True)
  norm = lambda: (
    # PyTorch divides alpha by the depth.
    torch.nn.LocalResponseNorm(
      arch.lrn.depth, arch.lrn.alpha * arch.lrn.depth, arch.lrn.beta, arch.lrn.k
    )
    if arch.lrn
    else torch.nn.Identity()
  )
  layers = [conv('conv1'), pool(), norm(), conv('conv2_reduce'), conv('conv2')]
  layers += [norm(), pool()]
  stage = '3'
  for block, _ in arch.specs:
    if block[0] != stage:
      layers.append(pool())
      stage = block[0]
    layers.append(Module(conv, f'inception_{block}'))
  kernel = arrays['params/classifier/kernel']
  classifier = torch.nn.Linear(*kernel.shape)
  classifier.load_state_dict(
    {
      'weight': torch.tensor(kernel.T.copy()),
      'bias': torch.tensor(arrays['params/classifier/bias']),
    }
  )
  layers += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(1), classifier]
  return torch.nn.Sequential(*layers).eval()


def jax_runner(loaded: run_lib.Run) -> Runner:
  model = loaded.model.clone(dtype=np.float32)  # As the others compute.
  apply = jax.jit(lambda variables, x: model.apply(variables, x)[0])
  variables = jax.device_put(loaded.variables)
  return lambda x: np.asarray(apply(variables, x))


def onnx_runner(workdir: str, weights: str | None, threads: int) -> Runner:
  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = threads
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'model.onnx'
    exporting.export(workdir, 'onnx', weights=weights, output=path)
    session = onnxruntime.InferenceSession(
      str(path), options, providers=['CPUExecutionProvider']
    )
  return lambda x: session.run(None, {'input': x})[0]


def torch_runner(
  loaded: run_lib.Run, memory_format: torch.memory_format
) -> Runner:
  network = torch_network(loaded).to(memory_format=memory_format)

  @torch.inference_mode()
  def run(x):
    return network(torch.from_numpy(x)).numpy()

  return run


def create_runners(
  workdir: str, weights: str | None, threads: int
) -> tuple[dict[str, tuple[Runner, Callable]], run_lib.Run]:
  """Runner and layout of its input, from NHWC, by name; and the run."""
  loaded = run_lib.load_run(workdir, weights)
  model = loaded.model
  if (
    model.architecture.padding != 'same'
    or model.module_form != 'reduced'
    or loaded.eval_crop.size % SIDE_MULTIPLE
  ):
    raise errors.InputError(
      f'{workdir} is not of the form that this compares: padding as in the'
      f' paper, reduced modules, and images of a multiple of {SIDE_MULTIPLE}'
      ' pixels'
    )
  nchw = lambda x: np.ascontiguousarray(x.transpose(0, 3, 1, 2))
  # NCHW in shape and NHWC in memory: what PyTorch calls channels last.
  strided = lambda x: x.transpose(0, 3, 1, 2)
  return {
    'jax': (jax_runner(loaded), lambda x: x),
    'onnxruntime': (onnx_runner(workdir, weights, threads), nchw),
    'torch': (torch_runner(loaded, torch.contiguous_format), nchw),
    'torch_channels_last': (
      torch_runner(loaded, torch.channels_last),
      strided,
    ),
  }, loaded


def run_case(
  runners: dict[str, tuple[Runner, Callable]],
  loaded: run_lib.Run,
  batch_size: int,
  rounds: int,
) -> dict[str, Any]:
  """Compares and times one batch size."""
  pixels = checking.pictures(loaded.eval_crop.size, batch_size)
  x = np.asarray(loaded.preprocessing(pixels))
  inputs = {name: layout(x) for name, (_, layout) in runners.items()}
  expected = runners['jax'][0](x)
  differences = {}
  for name, (run, _) in runners.items():
    found = float(np.abs(run(inputs[name]) - expected).max())
    assert found <= LOGITS_ATOL, f'logits of {name} differ by {found:.1e}'
    differences[name] = found
  # Also the second call of each, which is as fast as those that follow.
  slowest = max(seconds_of(runners[k][0], inputs[k], 1) for k in runners)
  num_calls = max(1, math.ceil(MIN_SECONDS_PER_TURN / slowest))
  seconds = {name: [] for name in runners}
  names = list(runners)
  for index in range(rounds):
    first = index % len(names)  # Each comes after each in some round.
    for name in names[first:] + names[:first]:
      spent = seconds_of(runners[name][0], inputs[name], num_calls)
      seconds[name].append(spent / (num_calls * batch_size))
    rates = ', '.join(f'{k} {1 / v[-1]:.1f}' for k, v in seconds.items())
    print(f'batch {batch_size}, {index + 1}/{rounds}: {rates}', file=sys.stderr)
  return {
    'batch_size': batch_size,
    'calls_per_turn': num_calls,
    'images_per_second': {
      name: round(1 / statistics.median(values), 1)
      for name, values in seconds.items()
    },
    # Against JAX's turn of the same round.
    'ratio_to_jax': {
      name: round(
        statistics.median(
          ours / theirs
          for ours, theirs in zip(seconds['jax'], values, strict=True)
        ),
        3,
      )
      for name, values in seconds.items()
    },
    'rounds': {
      name: [round(1 / value, 1) for value in values]
      for name, values in seconds.items()
    },
    'logit_differences_from_jax': differences,
  }


def seconds_of(run: Runner, x: np.ndarray, num_calls: int) -> float:
  start = time.perf_counter()
  for _ in range(num_calls):
    run(x)
  return time.perf_counter() - start


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--workdir', required=True, help='run directory')
  parser.add_argument('--weights', choices=run_lib.WEIGHTS)
  parser.add_argument('--batch_sizes', type=int, nargs='+', default=[1, 8, 32])
  parser.add_argument('--rounds', type=int, default=8, help='turns of each')
  parser.add_argument('--output', type=pathlib.Path)
  arguments = parser.parse_args()
  if arguments.rounds < 1 or min(arguments.batch_sizes) < 1:
    parser.error('--rounds and --batch_sizes must be positive')
  threads = len(os.sched_getaffinity(0))
  torch.set_num_threads(threads)
  result = machine.environment(('onnx', 'onnxruntime', 'torch'))
  try:
    runners, loaded = create_runners(
      arguments.workdir, arguments.weights, threads
    )
  except errors.UserFacingError as error:
    sys.exit(f'error: {error}')
  result |= {
    'threads': threads,
    'image_size': loaded.eval_crop.size,
    'width': loaded.model.width,
    'cases': [
      run_case(runners, loaded, batch_size, arguments.rounds)
      for batch_size in arguments.batch_sizes
    ],
  }
  machine.keep(result, arguments.output)


if __name__ == '__main__':
  main()
