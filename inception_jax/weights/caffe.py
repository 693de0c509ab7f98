"""BVLC Caffe's GoogLeNet: `bvlc_googlenet.caffemodel`.

References:
  github.com/BVLC/caffe, models/bvlc_googlenet.
"""

from etils import epath

from inception_jax.models import layer_names
from inception_jax.runtime import errors
from inception_jax.weights import (
  caffe_model,
  conversion,
  download,
  imported,
  torch_layout,
)

RELEASE = download.Release(
  url='http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel',
  file_name='bvlc_googlenet.caffemodel',
  sha1='405fc5acd08a3bb12de8ee5e23a96bec22f08204',
)
_STEM = {
  'conv1': 'conv1/7x7_s2',
  'conv2_reduce': 'conv2/3x3_reduce',
  'conv2': 'conv2/3x3',
}
_BRANCHES = {
  'conv_1x1': '1x1',
  'reduce_3x3': '3x3_reduce',
  'conv_3x3': '3x3',
  'reduce_5x5': '5x5_reduce',
  'conv_5x5': '5x5',
  'pool_proj': 'pool_proj',
}
_HEADS = {'4a': 'loss1', '4d': 'loss2'}
_HEAD_LAYERS = {'conv': 'conv', 'dense': 'fc', 'classifier': 'classifier'}

CARD = {
  'name': 'GoogLeNet, BVLC Caffe',
  'repository': 'https://github.com/BVLC/caffe',
  'licence': 'unrestricted use, as its readme says',
  'paper': 'https://arxiv.org/abs/1409.4842',
  'trained_on': 'ImageNet (ILSVRC-2012), by Sergio Guadarrama',
  'differs_from_the_paper': [
    'trained on crops of 256x256 warped pictures, without scale, aspect-ratio'
    ' or photometric distortion',
    'learning rate falls polynomially over 60 epochs',
    'symmetric padding, pools rounded up',
    'response normalisation over 5 channels',
  ],
  'literature': [
    {
      'network': 'these weights',
      'protocol': 'one centre crop, full validation set',
      'top1': 0.687,
      'top5': 0.889,
      'source': 'BVLC/caffe, models/bvlc_googlenet/readme.md',
    }
  ],
}


def name_of(path: str) -> str:
  """From 'params/inception_3a/conv_1x1/kernel' to 'inception_3a/1x1[0]'."""
  layer, variable = layer_names.split(path)
  return f'{_layer_name(layer)}[{int(variable == "bias")}]'


def _layer_name(layer: layer_names.Layer) -> str:
  if layer.part == 'stem':
    return _STEM[layer.kind]
  if layer.part == 'inception':
    return f'inception_{layer.block}/{_BRANCHES[layer.kind]}'
  if layer.part == 'aux':
    return f'{_HEADS[layer.block]}/{_HEAD_LAYERS[layer.kind]}'
  return 'loss3/classifier'


LAYOUT = conversion.Layout(
  profile='inception_v1_caffe',
  title="Caffe's GoogLeNet",
  name_of=name_of,
  shape_of=torch_layout.shape_of,
  to_ours=torch_layout.to_ours,
  release=RELEASE,
  card=CARD,
)


def read(path: epath.PathLike) -> imported.ImportedNetwork:
  """Reads Caffe's network; the file is parsed as data, without Caffe.

  Args:
    path: a caffemodel, of old (V1) or new layer messages.

  Returns:
    The network, which takes blue, green and red as its first layer does.

  Raises:
    InputError: if the file cannot be read, is another network's, or does not
      hold the whole main path in the right shapes.
  """
  path = epath.Path(path)
  data = download.read_bounded(path)
  try:
    arrays = caffe_model.parameters(data)
  except ValueError as error:
    raise errors.InputError(
      f'{path} is no caffemodel, or is damaged ({error}); download it again'
    ) from error
  return conversion.network_of(LAYOUT, arrays, path)
