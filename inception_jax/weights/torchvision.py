"""torchvision's GoogLeNet: `googlenet-1378be20.pth`.

References:
  github.com/pytorch/vision, torchvision/models/googlenet.py.
"""

from collections.abc import Mapping
import json
import shlex
from typing import Any

from absl import logging
from etils import epath
import numpy as np

from inception_jax.runtime import errors
from inception_jax.weights import (
  conversion,
  download,
  exported,
  imported,
  state_dict,
  torch_layout,
  wrapped,
)

RELEASE = download.Release(
  url='https://download.pytorch.org/models/googlenet-1378be20.pth',
  file_name='googlenet-1378be20.pth',
  # By PyTorch's convention the name has the beginning of the hash.
  sha256='1378be20',
)

CARD = {
  'name': 'GoogLeNet, torchvision IMAGENET1K_V1',
  'repository': 'https://github.com/pytorch/vision',
  'licence': 'BSD-3-Clause',
  'paper': 'https://arxiv.org/abs/1409.4842',
  'trained_on': 'ImageNet (ILSVRC-2012); ported from TensorFlow',
  'differs_from_the_paper': [
    'batch norm instead of biases and response normalisation',
    '3x3 kernels in the 5x5 branch',
    'symmetric padding, pools rounded up, a 2x2 pool before 5a',
    'the published auxiliary heads are not trained, and pool to 4x4 by other'
    ' windows',
    'dropout 0.2 before the classifier',
  ],
  'literature': [
    {
      'network': 'these weights',
      'protocol': 'one centre crop, full validation set',
      'top1': 0.69778,
      'top5': 0.8953,
      'source': 'pytorch/vision, torchvision/models/googlenet.py',
    }
  ],
}

LAYOUT = conversion.Layout(
  profile='inception_v1_torchvision',
  title="torchvision's GoogLeNet",
  name_of=torch_layout.name_of,
  shape_of=torch_layout.shape_of,
  to_ours=torch_layout.to_ours,
  release=RELEASE,
  card=CARD,
  ignored=lambda name: name.endswith(torch_layout.COUNTER),
)
# In the metadata of files that `--mode=export --format=torchvision` writes.
EXPORTED_BY = 'exported_by'


def read(
  path: epath.PathLike, weights: str | None = None
) -> imported.ImportedNetwork:
  """Reads torchvision's network, or one that was exported in its form.

  Args:
    path: `googlenet-1378be20.pth` or any checkpoint with such a network in it
      (see `wrapped`), which needs PyTorch; or safetensors of the same keys,
      which needs nothing.
    weights: which of several in a file; see `wrapped.find`.

  Returns:
    The network. Of our own safetensors it is any profile's, bit for bit.

  Raises:
    InputError: if the file cannot be read, is another network's, or does not
      hold the whole main path in the right shapes.
  """
  path = epath.Path(path)
  arrays, metadata = state_dict.read(path)
  if metadata.get(EXPORTED_BY) == exported.FORMAT:
    exported.check_no_weights(weights, path)
    return read_ours(arrays, metadata, path)
  if metadata.get('format') == exported.FORMAT:
    raise errors.InputError(
      f'{path} is of --mode=export --format=safetensors; give'
      ' --source=safetensors'
    )
  wanted = [LAYOUT.name_of(x) for x in conversion.main_shapes(LAYOUT.profile)]
  found = wrapped.find(arrays, wanted, weights, str(path))
  _log_choice(found, path)
  card = {'weights': 'ema' if found.is_average else 'raw'}
  if found.prefix:
    card['weights_under'] = found.prefix
  return conversion.network_of(
    LAYOUT, found.arrays, path, card=card, where=found.where
  )


def _log_choice(found: wrapped.Network, path: epath.Path) -> None:
  """Says which of the networks in a file is taken."""
  kind = 'moving averages' if found.is_average else 'weights'
  if found.others:
    others = ' or '.join(
      shlex.quote(f'--weights={x or "raw"}') for x in found.others
    )
    logging.warning(
      'taking the %s%s of %s, which holds others; %s takes them',
      kind,
      found.where,
      path,
      others,
    )
  elif found.prefix or found.is_average:
    logging.info('taking the %s%s of %s', kind, found.where, path)


def read_ours(
  arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str], path: Any
) -> imported.ImportedNetwork:
  """The network of a file that `--format=torchvision` wrote, verified.

  Args:
    arrays: by torchvision's keys.
    metadata: of the file.
    path: the file.

  Raises:
    InputError: if it is damaged.
  """
  try:
    shapes = json.loads(metadata['shapes'])
    flat = {}
    for name, shape in shapes.items():
      array = arrays[torch_layout.name_of(name)]
      conv = name.replace('/dense/', '/conv/')
      channels = shapes.get(conv, shape)[-1]
      array = torch_layout.to_ours(name, array, shape, channels)
      flat[name] = np.ascontiguousarray(array).reshape(shape)
  except (
    AttributeError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    RecursionError,
  ) as error:
    raise errors.InputError(
      f'{path} is damaged ({type(error).__name__}:'
      f' {errors.first_line(error)}); export or copy it again'
    ) from error
  description = {**metadata, 'format': exported.FORMAT}
  network = exported.network_of(flat, description, str(path))
  network.card.update(
    file=path.name,
    sha256=download.sha256_of(path),
    labels=f'metadata of {path.name}',
  )
  return network
