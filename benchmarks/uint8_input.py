"""What the order of the first nodes of an ONNX file with `--uint8_input` costs.

- `cast_first`: as `--mode=export --uint8_input` writes it: bytes become floats,
  then NHWC becomes NCHW. TensorRT takes no other (NVIDIA/TensorRT #3985).
- `transpose_first`: the other way round, so that bytes are moved, not floats.

Each takes the same uint8 pictures, in ONNX Runtime on every core: the whole
network, and its preprocessing alone. That both give the same bits is checked
before anything is timed. They take turns; medians count. Weights are drawn by
chance. Prints one JSON object.

  pip install '.[export]'
  python benchmarks/uint8_input.py [--output=FILE.json]
"""

import argparse
from collections.abc import Callable
import math
import os
import pathlib
import statistics
import sys
import time
from typing import Any

os.environ['JAX_PLATFORMS'] = 'cpu'
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]

import machine  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import random_runs  # noqa: E402

from inception_jax.export import checking, onnx_graph  # noqa: E402
from inception_jax.runs import named_arrays  # noqa: E402
from inception_jax.weights import exported  # noqa: E402

SIZE = 224
MIN_SECONDS_PER_TURN = 0.5
VARIANTS = ('cast_first', 'transpose_first')

Runner = Callable[[np.ndarray], np.ndarray]


def create_graph(profile: str) -> onnx.ModelProto:
  """The whole network as it is exported."""
  loaded = random_runs.random_run(profile, SIZE, width=1.0, num_classes=1000)
  arrays = named_arrays.flatten(loaded.variables)
  about = exported.describe(loaded, arrays)
  return onnx_graph.create_model(loaded, arrays, about, uint8_input=True)


def transpose_first(proto: onnx.ModelProto) -> onnx.ModelProto:
  """The same with the first two nodes in the other order."""
  other = onnx.ModelProto()
  other.CopyFrom(proto)
  cast, transpose = other.graph.node[:2]
  assert (cast.op_type, transpose.op_type) == ('Cast', 'Transpose')
  cast.input[0], transpose.input[0] = 'moved', 'pixels'
  cast.output[0], transpose.output[0] = transpose.output[0], 'moved'
  first = onnx.NodeProto()
  first.CopyFrom(transpose)
  transpose.CopyFrom(cast)
  cast.CopyFrom(first)
  onnx.checker.check_model(other, full_check=True)
  return other


def preprocessing_alone(proto: onnx.ModelProto) -> onnx.ModelProto:
  """What comes before the network, with its input as the output."""
  names = [node.output[0] for node in proto.graph.node]
  nodes = proto.graph.node[: names.index('input') + 1]
  used = {name for node in nodes for name in node.input}
  output = onnx.helper.make_tensor_value_info(
    'input', onnx.TensorProto.FLOAT, ['batch', 3, SIZE, SIZE]
  )
  initializers = [x for x in proto.graph.initializer if x.name in used]
  graph = onnx.helper.make_graph(
    nodes, 'preprocessing', proto.graph.input, [output], initializers
  )
  return onnx.helper.make_model(
    graph, ir_version=proto.ir_version, opset_imports=proto.opset_import
  )


def runner(proto: onnx.ModelProto, threads: int) -> Runner:
  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = threads
  session = onnxruntime.InferenceSession(
    proto.SerializeToString(), options, providers=['CPUExecutionProvider']
  )
  return lambda x: session.run(None, {'pixels': x})[0]


def seconds_of(run: Runner, x: np.ndarray, num_calls: int) -> float:
  start = time.perf_counter()
  for _ in range(num_calls):
    run(x)
  return time.perf_counter() - start


def run_case(
  runners: dict[str, Runner], batch_size: int, rounds: int
) -> dict[str, Any]:
  """Compares and times one batch size."""
  pixels = checking.pictures(SIZE, batch_size)
  results = [run(pixels) for run in runners.values()]
  assert all(np.array_equal(x, results[0]) for x in results)
  slowest = max(seconds_of(run, pixels, 1) for run in runners.values())
  num_calls = max(1, math.ceil(MIN_SECONDS_PER_TURN / slowest))
  seconds = {name: [] for name in runners}
  for index in range(rounds):
    # Each begins in half of the rounds.
    for name in list(runners)[:: 1 if index % 2 else -1]:
      spent = seconds_of(runners[name], pixels, num_calls)
      seconds[name].append(spent / (num_calls * batch_size))
  first, other = (seconds[name] for name in VARIANTS)
  return {
    'batch_size': batch_size,
    'calls_per_turn': num_calls,
    'microseconds_per_image': {
      name: round(statistics.median(values) * 1e6, 1)
      for name, values in seconds.items()
    },
    # In the same round.
    'ratio_of_cast_first': round(
      statistics.median(x / y for x, y in zip(first, other, strict=True)), 3
    ),
    'rounds': {
      name: [round(value * 1e6, 1) for value in values]
      for name, values in seconds.items()
    },
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--profile', default='inception_v1_torchvision')
  parser.add_argument('--batch_sizes', type=int, nargs='+', default=[1, 8, 32])
  parser.add_argument(
    '--rounds', type=int, default=10, help='turns of each, even'
  )
  parser.add_argument('--output', type=pathlib.Path)
  arguments = parser.parse_args()
  # The first of a round is slower, so that an odd number would favour one.
  if (
    arguments.rounds < 2
    or arguments.rounds % 2
    or min(arguments.batch_sizes) < 1
  ):
    parser.error('--rounds must be even, and --batch_sizes positive')
  threads = len(os.sched_getaffinity(0))
  result = machine.environment(('onnx', 'onnxruntime'))
  proto = create_graph(arguments.profile)
  result |= {
    'threads': threads,
    'image_size': SIZE,
    'profile': arguments.profile,
  }
  for part, graph in {
    'network': proto,
    'preprocessing': preprocessing_alone(proto),
  }.items():
    graphs = (graph, transpose_first(graph))
    runners = {
      name: runner(x, threads) for name, x in zip(VARIANTS, graphs, strict=True)
    }
    result[part] = [
      run_case(runners, batch_size, arguments.rounds)
      for batch_size in arguments.batch_sizes
    ]
    print(part, file=sys.stderr)
  machine.keep(result, arguments.output)


if __name__ == '__main__':
  main()
