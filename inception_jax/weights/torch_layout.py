"""Names and axes of torchvision's GoogLeNet, and the axes of Caffe's.

Both keep kernels as [out, in, height, width], matrices as [out, in], and
flatten channels before places, where ours are HWIO, [in, out] and channels
last.

References:
  pytorch/vision, torchvision/models/googlenet.py.
"""

import numpy as np

from inception_jax.models import layer_names

_STEM = {'conv1': 'conv1', 'conv2_reduce': 'conv2', 'conv2': 'conv3'}
_BRANCHES = {
  'conv_1x1': 'branch1',
  'reduce_3x3': 'branch2.0',
  'conv_3x3': 'branch2.1',
  'reduce_5x5': 'branch3.0',
  'conv_5x5': 'branch3.1',
  'pool_proj': 'branch4.1',
}
# `aux1` reads 4a and `aux2` 4d; torchvision's outputs were in the other order
# until its pull request 8743.
_HEADS = {'4a': 'aux1', '4d': 'aux2'}
_HEAD_LAYERS = {'conv': 'conv', 'dense': 'fc1', 'classifier': 'fc2'}
_DENSE_VARIABLES = {'kernel': 'weight', 'bias': 'bias'}
_CONV_VARIABLES = {
  'kernel': 'conv.weight',
  'bias': 'conv.bias',
  'bn/scale': 'bn.weight',
  'bn/bias': 'bn.bias',
  'bn/mean': 'bn.running_mean',
  'bn/var': 'bn.running_var',
}
COUNTER = 'num_batches_tracked'


def name_of(path: str) -> str:
  """From 'params/inception_3a/conv_1x1/kernel' to torchvision's key."""
  layer, variable = layer_names.split(path)
  is_dense = layer.kind in ('dense', 'classifier')
  variables = _DENSE_VARIABLES if is_dense else _CONV_VARIABLES
  return f'{_layer_name(layer)}.{variables[variable]}'


def _layer_name(layer: layer_names.Layer) -> str:
  if layer.part == 'stem':
    return _STEM[layer.kind]
  if layer.part == 'inception':
    return f'inception{layer.block}.{_BRANCHES[layer.kind]}'
  if layer.part == 'aux':
    return f'{_HEADS[layer.block]}.{_HEAD_LAYERS[layer.kind]}'
  return 'fc'


def shape_of(path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
  """The other's shape of a variable whose shape is ours."""
  if not path.endswith('/kernel'):
    return shape
  if len(shape) == 2:
    return shape[::-1]
  return (shape[3], shape[2], shape[0], shape[1])


def to_ours(
  path: str, array: np.ndarray, shape: tuple[int, ...], channels: int = 128
) -> np.ndarray:
  """An array of theirs as a variable of ours, of `shape`.

  `channels` are those that the dense layer of a head reads.
  """
  if not path.endswith('/kernel'):
    return array
  if array.ndim == 4:
    return array.transpose(2, 3, 1, 0)
  if path.endswith('/dense/kernel'):
    side = head_side(shape, channels)
    maps = array.reshape(len(array), -1, side, side)
    array = maps.transpose(0, 2, 3, 1).reshape(len(array), -1)
  return array.T


def to_theirs(path: str, array: np.ndarray, side: int = 4) -> np.ndarray:
  """The inverse of `to_ours`.

  Args:
    path: of the variable.
    array: the variable.
    side: of what a head's dense layer reads, after pooling.
  """
  if not path.endswith('/kernel'):
    return array
  if array.ndim == 4:
    return array.transpose(3, 2, 0, 1)
  array = array.T
  if path.endswith('/dense/kernel'):
    maps = array.reshape(len(array), side, side, -1)
    array = maps.transpose(0, 3, 1, 2).reshape(len(array), -1)
  return array


def head_side(shape: tuple[int, ...], channels: int) -> int:
  """Side of what the dense layer of a head, of shape `[in, out]`, reads."""
  return round((shape[0] / channels) ** 0.5)
