"""Constants of a frozen TensorFlow graph, read as data, without TensorFlow."""

import math

from google.protobuf import message
import numpy as np
from tensorboardX.proto import graph_pb2, types_pb2

from inception_jax.runtime import errors

# The released graph has 54 MB.
MAX_BYTES = 2**28


def float_constants(data: bytes, name: str) -> dict[str, np.ndarray]:
  """The float32 constants of a graph, by the names of their nodes.

  Integer constants, which are shapes and axes, are left out.

  Args:
    data: a serialised `GraphDef`.
    name: of the file, for messages.

  Raises:
    InputError: if it is no graph, or a constant is not of its own shape.
  """
  if len(data) > MAX_BYTES:
    raise errors.InputError(
      f'{name} has {len(data):,} bytes, more than the {MAX_BYTES:,} of any'
      ' graph of this network; give another file'
    )
  graph = graph_pb2.GraphDef()
  try:
    graph.ParseFromString(data)
  except message.DecodeError as error:
    raise errors.InputError(
      f'{name} is no TensorFlow graph, or is cut short; download it again'
    ) from error
  constants, room = {}, MAX_BYTES
  for node in graph.node:
    tensor = node.attr['value'].tensor
    if node.op == 'Const' and tensor.dtype == types_pb2.DT_FLOAT:
      constants[node.name] = _to_array(tensor, f'{name}: {node.name!r}')
      # One value may stand for many, in every constant.
      room -= constants[node.name].nbytes
      if room < 0:
        raise errors.InputError(
          f'{name} has constants of more than {MAX_BYTES:,} bytes, which no'
          ' graph of this network has; give another file'
        )
  if not constants:
    raise errors.InputError(
      f'{name} is a TensorFlow graph without float constants; give the frozen'
      ' graph, which holds the weights'
    )
  return constants


def _to_array(tensor, what: str) -> np.ndarray:
  shape = [dim.size for dim in tensor.tensor_shape.dim]
  size = math.prod(shape)
  if tensor.tensor_content:
    values = np.frombuffer(
      tensor.tensor_content[: len(tensor.tensor_content) // 4 * 4], '<f4'
    )
  else:
    values = np.array(tensor.float_val, np.float32)
    if len(values) == 1 and 0 < size <= MAX_BYTES // 4:
      values = np.repeat(
        values, size
      )  # How TensorFlow writes a constant tensor.
  if min(shape, default=1) < 0 or len(values) != size:
    raise errors.InputError(
      f'{what} has {len(values)} values where its shape is {shape}; download'
      ' the file again'
    )
  return values.reshape(shape).astype(np.float32)
