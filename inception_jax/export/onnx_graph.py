"""The inference network as an ONNX graph, written node by node.

Batch norm is folded into the convolutions, and the auxiliary heads, which run
in training only, are left out. Tensors have the names of our end points
(`inception_4a`) and layers (`inception_4a/conv_5x5`), initialisers those of our
parameters (`inception_4a/conv_5x5/kernel`). Arrays are NCHW and OIHW, as ONNX
has them.

References:
  github.com/onnx/onnx/blob/main/docs/Operators.md
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from inception_jax import preprocess
from inception_jax.models import architectures, layer_names, pooling
from inception_jax.runs import run
from inception_jax.runtime import optional

# Of 2021 and older than most runtimes in use; every operator below has had its
# present form since 13. The version of the format is the one of that release.
OPSET = 17
IR_VERSION = 8


class Tensor(NamedTuple):
  """A tensor of the graph: its name, and height and width in pixels."""

  name: str
  size: tuple[int, int]


@dataclasses.dataclass
class Graph:
  """A graph while it grows.

  Attributes:
    architecture: what the network's constants are.
    arrays: the variables by their flat names.
    nodes: so far, in order.
    initializers: so far.
  """

  architecture: architectures.Architecture
  arrays: Mapping[str, np.ndarray]
  nodes: list[onnx.NodeProto] = dataclasses.field(default_factory=list)
  initializers: list[onnx.TensorProto] = dataclasses.field(default_factory=list)


def create_model(
  loaded: run.Run,
  arrays: Mapping[str, np.ndarray],
  description: Mapping[str, str],
  uint8_input: bool = False,
  softmax: bool = False,
) -> onnx.ModelProto:
  """The ONNX model of a run.

  Args:
    loaded: the run.
    arrays: its variables by their flat names.
    description: goes into the model's metadata.
    uint8_input: the input is `pixels`, uint8 `[batch, height, width, 3]` RGB,
      which a cast alone reads, and preprocessing is part of the graph; else it
      is `input`, float32 `[batch, 3, height, width]`, preprocessed.
    softmax: the output is `probabilities` and not `logits`, both float32
      `[batch, num_classes]`.

  Returns:
    A model of the run's image size and any batch size; it passes the full
    check of `onnx.checker`.
  """
  model, side = loaded.model, loaded.eval_crop.size
  graph = Graph(model.architecture, arrays)
  x = Tensor('input', (side, side))
  given = helper.make_tensor_value_info(
    'input', onnx.TensorProto.FLOAT, ['batch', 3, side, side]
  )
  if uint8_input:
    given = helper.make_tensor_value_info(
      'pixels', onnx.TensorProto.UINT8, ['batch', side, side, 3]
    )
    _preprocess(graph, loaded.preprocessing, side)
  _network(graph, x, model.module_form)
  output = 'logits'
  if softmax:
    output = _add(graph, 'Softmax', ['logits'], 'probabilities', axis=1)
  result = helper.make_tensor_value_info(
    output, onnx.TensorProto.FLOAT, ['batch', model.num_classes]
  )
  proto = helper.make_model(
    helper.make_graph(
      graph.nodes, description['profile'], [given], [result], graph.initializers
    ),
    producer_name='inception_jax',
    producer_version=optional.version_of('inception_jax'),
    ir_version=IR_VERSION,
    opset_imports=[helper.make_opsetid('', OPSET)],
  )
  helper.set_model_props(
    proto, {**description, 'input': given.name, 'output': output}
  )
  onnx.checker.check_model(proto, full_check=True)
  return proto


def _network(graph: Graph, x: Tensor, module_form: str) -> None:
  """From `x` to 'logits'; follows `GoogLeNet.__call__`."""
  arch = graph.architecture
  x = _convolution(graph, x, 'conv1', stride=2)
  x = _max_pool(graph, x, 'pool1', arch.pool_padding)
  if arch.lrn:
    x = _local_response_norm(graph, x, 'lrn1')
  x = _convolution(graph, x, 'conv2_reduce')
  x = _convolution(graph, x, 'conv2')
  if arch.lrn:
    x = _local_response_norm(graph, x, 'lrn2')
  x = _max_pool(graph, x, 'pool2', arch.pool_padding)
  stage = '3'
  for block, module in layer_names.module_names(arch).items():
    if block[0] != stage:
      window = arch.last_pool if block[0] == '5' else 3
      x = _max_pool(graph, x, f'pool{stage}', arch.pool_padding, window)
      stage = block[0]
    x = _inception_module(graph, x, module, module_form)
  mean = _add(graph, 'GlobalAveragePool', [x.name], 'global_pool')
  flat = _add(graph, 'Flatten', [mean], 'avg_pool', axis=1)
  weights = [
    _initializer(
      graph, f'classifier/{kind}', graph.arrays[f'params/classifier/{kind}']
    )
    for kind in ('kernel', 'bias')
  ]
  _add(graph, 'Gemm', [flat, *weights], 'logits', name='classifier')


def _inception_module(graph: Graph, x: Tensor, path: str, form: str) -> Tensor:
  """One of the forms of `InceptionModule`."""
  to_3x3 = to_5x5 = x
  branch_1x1 = _convolution(graph, x, f'{path}/conv_1x1')
  if form == 'reduced':
    to_3x3 = _convolution(graph, x, f'{path}/reduce_3x3')
    to_5x5 = _convolution(graph, x, f'{path}/reduce_5x5')
  branch_3x3 = _convolution(graph, to_3x3, f'{path}/conv_3x3')
  branch_5x5 = _convolution(graph, to_5x5, f'{path}/conv_5x5')
  pooled = _max_pool(
    graph, x, f'{path}/pool', graph.architecture.padding, stride=1
  )
  if form != 'naive_as_drawn':
    pooled = _convolution(graph, pooled, f'{path}/pool_proj')
  branches = [branch_1x1, branch_3x3, branch_5x5, pooled]
  _add(graph, 'Concat', [branch.name for branch in branches], path, axis=1)
  return Tensor(path, x.size)


def _convolution(graph: Graph, x: Tensor, path: str, stride: int = 1) -> Tensor:
  """Convolution, batch norm folded in, and ReLU."""
  kernel, bias = fold_batch_norm(
    graph.arrays, path, graph.architecture.batch_norm_epsilon
  )
  window = kernel.shape[0]
  padding = graph.architecture.padding
  pads, size = _window(x, window, stride, padding)
  summed = _add(
    graph,
    'Conv',
    [
      x.name,
      # ONNX has OIHW.
      _initializer(graph, f'{path}/kernel', kernel.transpose(3, 2, 0, 1)),
      _initializer(graph, f'{path}/bias', bias),
    ],
    f'{path}/sum',
    name=path,
    kernel_shape=[window, window],
    strides=[stride, stride],
    pads=pads,
  )
  return Tensor(_add(graph, 'Relu', [summed], path, name=f'{path}/relu'), size)


def fold_batch_norm(
  arrays: Mapping[str, np.ndarray], path: str, epsilon: float | None
) -> tuple[np.ndarray, np.ndarray]:
  """Kernel and bias of a convolution that does its batch norm's work too.

  With m = scale / sqrt(var + epsilon), kernel * m and
  (bias - mean) * m + shift, in float64.

  Args:
    arrays: variables by their flat names.
    path: of the layer, such as 'inception_4a/conv_5x5'.
    epsilon: of the batch norm; None if there is none.

  Returns:
    float32 kernel `[k, k, in, out]` and bias `[out]`.
  """
  wide = lambda name: arrays[name].astype(np.float64)
  kernel = wide(f'params/{path}/kernel')
  bias = np.zeros(kernel.shape[-1])
  if f'params/{path}/bias' in arrays:
    bias = wide(f'params/{path}/bias')
  if epsilon is not None:
    var = wide(f'batch_stats/{path}/bn/var')
    factor = 1 / np.sqrt(var + epsilon)
    if f'params/{path}/bn/scale' in arrays:  # Not in TF-slim's.
      factor = factor * wide(f'params/{path}/bn/scale')
    kernel = kernel * factor
    bias = (bias - wide(f'batch_stats/{path}/bn/mean')) * factor
    bias = bias + wide(f'params/{path}/bn/bias')
  return kernel.astype(np.float32), bias.astype(np.float32)


def _max_pool(
  graph: Graph,
  x: Tensor,
  name: str,
  padding: str,
  window: int = 3,
  stride: int = 2,
) -> Tensor:
  pads, size = _window(x, window, stride, padding)
  _add(
    graph,
    'MaxPool',
    [x.name],
    name,
    kernel_shape=[window, window],
    strides=[stride, stride],
    pads=pads,
  )
  return Tensor(name, size)


def _local_response_norm(graph: Graph, x: Tensor, name: str) -> Tensor:
  lrn = graph.architecture.lrn
  _add(
    graph,
    'LRN',
    [x.name],
    name,
    size=lrn.depth,
    alpha=lrn.alpha * lrn.depth,  # ONNX divides it by the depth.
    beta=lrn.beta,
    bias=lrn.k,
  )
  return Tensor(name, x.size)


def _preprocess(
  graph: Graph, preprocessing: preprocess.Preprocessing, side: int
) -> None:
  """From 'pixels', uint8 NHWC, to 'input'."""
  path = 'preprocessing'
  # TensorRT takes bytes into a cast only (NVIDIA/TensorRT #3985), so pixels
  # become floats first, though moving bytes would be cheaper.
  x = _add(graph, 'Cast', ['pixels'], f'{path}/cast', to=onnx.TensorProto.FLOAT)
  x = _add(graph, 'Transpose', [x], f'{path}/transpose', perm=[0, 3, 1, 2])
  scale = np.array(preprocessing.scale, np.float32).reshape(1, -1, 1, 1)
  mean = preprocessing.mean_of(side, side).transpose(2, 0, 1)[None]
  if preprocessing.bgr:
    order = _initializer(graph, f'{path}/order', np.array([2, 1, 0]))
    x = _add(graph, 'Gather', [x, order], f'{path}/bgr', axis=1)
    scale, mean = scale[:, ::-1], mean[:, ::-1]
  scale = _initializer(graph, f'{path}/scale', scale)
  mean = _initializer(graph, f'{path}/mean', mean)
  x = _add(graph, 'Mul', [x, scale], f'{path}/scaled')
  _add(graph, 'Sub', [x, mean], 'input', name=path)


def _window(
  x: Tensor, window: int, stride: int, kind: str
) -> tuple[list[int], tuple[int, int]]:
  """ONNX's pads (top, left, bottom, right) of a window, and the size after."""
  padding = pooling.explicit_padding(kind, x.size, window, stride)
  height, width = (
    (length + sum(pad) - window) // stride + 1
    for length, pad in zip(x.size, padding, strict=True)
  )
  (top, bottom), (left, right) = padding
  return [top, left, bottom, right], (height, width)


def _add(
  graph: Graph,
  operator: str,
  inputs: Sequence[str],
  output: str,
  name: str | None = None,
  **attributes: Any,
) -> str:
  """Appends a node of one output, whose name it returns."""
  graph.nodes.append(
    helper.make_node(operator, inputs, [output], name or output, **attributes)
  )
  return output


def _initializer(graph: Graph, name: str, value: np.ndarray) -> str:
  graph.initializers.append(
    numpy_helper.from_array(np.ascontiguousarray(value), name)
  )
  return name
