"""Files of the kinds that others publish, written for tests.

The messages of Caffe are defined here by themselves, so that the reader of ours
is compared with the library of protocol buffers.
"""

import functools

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
import numpy as np

from inception_jax.weights import conversion

_FIELD = descriptor_pb2.FieldDescriptorProto
# From src/caffe/proto/caffe.proto: number, label, type, packed.
_MESSAGES = {
  'BlobShape': {'dim': (1, 'repeated', 'int64', True)},
  'BlobProto': {
    'num': (1, 'optional', 'int32', None),
    'channels': (2, 'optional', 'int32', None),
    'height': (3, 'optional', 'int32', None),
    'width': (4, 'optional', 'int32', None),
    'data': (5, 'repeated', 'float', True),
    'diff': (6, 'repeated', 'float', True),
    'shape': (7, 'optional', 'BlobShape', None),
    'double_data': (8, 'repeated', 'double', True),
  },
  'LayerParameter': {
    'name': (1, 'optional', 'string', None),
    'type': (2, 'optional', 'string', None),
    'bottom': (3, 'repeated', 'string', None),
    'top': (4, 'repeated', 'string', None),
    'loss_weight': (5, 'repeated', 'float', None),
    'blobs': (7, 'repeated', 'BlobProto', None),
    'phase': (10, 'optional', 'int32', None),
  },
  'V1LayerParameter': {
    'bottom': (2, 'repeated', 'string', None),
    'top': (3, 'repeated', 'string', None),
    'name': (4, 'optional', 'string', None),
    'type': (5, 'optional', 'int32', None),
    'blobs': (6, 'repeated', 'BlobProto', None),
    'blobs_lr': (7, 'repeated', 'float', None),
  },
  'NetParameter': {
    'name': (1, 'optional', 'string', None),
    'layers': (2, 'repeated', 'V1LayerParameter', None),
    'input': (3, 'repeated', 'string', None),
    'force_backward': (5, 'optional', 'bool', None),
    'layer': (100, 'repeated', 'LayerParameter', None),
  },
}
_CONVOLUTION, _INNER_PRODUCT = 4, 14  # Of V1LayerParameter.LayerType.


@functools.cache
def caffe_net():
  """The class of `NetParameter`."""
  file = descriptor_pb2.FileDescriptorProto(
    name='caffe_for_tests.proto', package='caffe_for_tests', syntax='proto2'
  )
  for name, fields in _MESSAGES.items():
    message = file.message_type.add(name=name)
    for field, (number, label, kind, packed) in fields.items():
      made = message.field.add(
        name=field,
        number=number,
        label=getattr(_FIELD, f'LABEL_{label.upper()}'),
      )
      if kind in _MESSAGES:
        made.type = _FIELD.TYPE_MESSAGE
        made.type_name = f'.caffe_for_tests.{kind}'
      else:
        made.type = getattr(_FIELD, f'TYPE_{kind.upper()}')
      if packed:
        made.options.packed = True
  pool = descriptor_pool.DescriptorPool()
  pool.Add(file)
  return message_factory.GetMessageClass(
    pool.FindMessageTypeByName('caffe_for_tests.NetParameter')
  )


def caffemodel(layers, old=False):
  """A caffemodel.

  Args:
    layers: (weights, biases) by layer, the former [out, in(, height, width)].
    old: with V1 messages, whose blobs have four axes always.

  Returns:
    Its bytes.
  """
  net = caffe_net()(name='GoogleNet', input=['data'])
  for name, blobs in layers.items():
    entry = (net.layers if old else net.layer).add(name=name, bottom=['x'])
    is_convolution = blobs[0].ndim == 4
    if old:
      entry.type = _CONVOLUTION if is_convolution else _INNER_PRODUCT
      entry.blobs_lr.extend([1, 2])
    else:
      entry.type = 'Convolution' if is_convolution else 'InnerProduct'
    for array in blobs:
      blob = entry.blobs.add()
      blob.data.extend(array.ravel())
      if old:
        axes = (1,) * (4 - array.ndim) + array.shape
        blob.num, blob.channels, blob.height, blob.width = axes
      else:
        blob.shape.dim.extend(array.shape)
    relu = (net.layers if old else net.layer).add(name=f'relu/{name}')
    relu.type = 18 if old else 'ReLU'
  return net.SerializeToString()


def caffe_layers(arrays):
  """Blobs by layer, of arrays by names such as 'conv1/7x7_s2[0]'."""
  layers = {}
  for name, array in sorted(arrays.items()):
    layers.setdefault(name[:-3], []).append(array)
  return layers


def random_arrays(layout, num_outputs, seed=0):
  """Arrays of a published network, under its names and in its shapes."""
  rng = np.random.default_rng(seed)
  shapes = conversion.shapes_of(layout.profile, num_outputs)
  return {
    layout.name_of(path): rng.random(layout.shape_of(path, shape), np.float32)
    for path, shape in shapes.items()
  }
