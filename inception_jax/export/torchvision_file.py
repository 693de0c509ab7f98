"""The format torchvision: its keys, and a PyTorch module for them."""

from collections.abc import Mapping
import importlib
import importlib.resources
import io
import pprint
import types
from typing import Any

from etils import epath
import numpy as np
from safetensors import numpy as safetensors_numpy

from inception_jax.export import checking, formats
from inception_jax.models import layer_names
from inception_jax.runs import description, named_arrays, run
from inception_jax.runtime import errors, json_files
from inception_jax.weights import exported, torch_layout, torchvision

_START, _END = '# --- settings of this network ---', '# --- end of settings ---'


def state_dict(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """A network's variables under torchvision's keys and in its layout.

  Batch norm gets what `torch.nn.BatchNorm2d` has and ours lacks: a factor of
  one where there is none, and a counter of batches.
  """
  state = {}
  for path, array in arrays.items():
    side = 4
    if path.endswith('/dense/kernel'):
      head = path.removesuffix('/dense/kernel')
      side = torch_layout.head_side(
        array.shape, arrays[f'{head}/conv/kernel'].shape[-1]
      )
    name = torch_layout.name_of(path)
    state[name] = np.ascontiguousarray(
      torch_layout.to_theirs(path, array, side)
    )
    if name.endswith('running_var'):
      norm = name.removesuffix('running_var')
      state[norm + torch_layout.COUNTER] = np.array(0, np.int64)
      if (
        path.replace('/var', '/scale').replace('batch_stats', 'params', 1)
        not in arrays
      ):
        state[f'{norm}weight'] = np.ones_like(array)
  return dict(sorted(state.items()))


def serialize(request: formats.Request) -> dict[str, bytes]:
  """Safetensors of `state_dict`, which `weights.torchvision` reads back.

  Beside it go the same state dict as `.pt`, if PyTorch is installed; and, but
  for torchvision's own network, a module as `.py`.

  Raises:
    InputError: if the network's modules are not of the reduced form.
  """
  loaded, arrays = request.loaded, request.arrays
  shapes = {path: array.shape for path, array in arrays.items()}
  metadata = {
    **request.description,
    'format': 'pt',  # By the convention of safetensors.
    torchvision.EXPORTED_BY: exported.FORMAT,
    'shapes': json_files.dumps(shapes, sort_keys=True),
  }
  state = state_dict(arrays)
  files = {'.safetensors': safetensors_numpy.save(state, metadata)}
  if _has_pytorch():
    files['.pt'] = _pickled(state)
  if exported.model_arguments(loaded.model)['name'] != (
    torchvision.LAYOUT.profile
  ):
    files['.py'] = module_source(loaded, arrays).encode()
  return files


def _pickled(state: Mapping[str, np.ndarray]) -> bytes:
  """A state dict as PyTorch saves it."""
  import torch

  data = io.BytesIO()
  torch.save({name: torch.tensor(x) for name, x in state.items()}, data)
  return data.getvalue()


def module_source(loaded: run.Run, arrays: Mapping[str, np.ndarray]) -> str:
  """Text of a PyTorch module of a network, of this very width.

  Raises:
    InputError: if its modules are not of the reduced form.
  """
  model = loaded.model
  if model.module_form != 'reduced':
    raise errors.InputError(
      f'--format=torchvision has no modules of the form {model.module_form!r};'
      ' give another --format'
    )
  settings = pprint.pformat(_settings(loaded, arrays), sort_dicts=False)
  source = importlib.resources.files('inception_jax.export')
  text = source.joinpath('pytorch_network.py').read_text()
  before, rest = text.split(_START)
  _, after = rest.split(_END)
  return f'{before}{_START}\nSETTINGS = {settings}\n{_END}{after}'


def _settings(
  loaded: run.Run, arrays: Mapping[str, np.ndarray]
) -> dict[str, Any]:
  """`SETTINGS` of `pytorch_network`."""
  arch = loaded.model.architecture
  # Shapes of the kernels by part of the network and block.
  shapes = {'stem': {}, 'inception': {}, 'classifier': {}, 'aux': {}}
  for layer in layer_names.layers(arch):
    kernel = arrays.get(f'params/{layer.path}/kernel')
    if kernel is not None:  # A network can do without its heads.
      shapes[layer.part].setdefault(layer.block, []).append(kernel.shape)
  widths = lambda kernels: tuple(shape[-1] for shape in kernels)
  return {
    'num_classes': loaded.model.num_classes,
    'stem': widths(shapes['stem']['']),
    'blocks': {x: widths(found) for x, found in shapes['inception'].items()},
    'heads': {
      block: (conv[-1], *dense)
      for block, (conv, dense, _) in shapes['aux'].items()
    },
    'head_pool': arch.head_pool,
    'lrn': None if arch.lrn is None else tuple(arch.lrn),
    'batch_norm_epsilon': arch.batch_norm_epsilon,
    'conv_bias': arch.conv_bias,
    'padding': arch.padding,
    'pool_padding': arch.pool_padding,
    'last_pool': arch.last_pool,
    'window_5x5': arch.window_5x5,
    'dropout': arch.dropout,
    'image_size': loaded.eval_crop.size,
    # One scale, or one of each channel; a mean image in hexadecimal digits.
    **description.values(loaded.preprocessing),
  }


def outputs_of(
  request: formats.Request, files: Mapping[str, epath.Path], pixels: np.ndarray
) -> np.ndarray:
  """Logits of the files in PyTorch, or of ours if it is not installed.

  See `formats`. The weights are read back in either case.

  Raises:
    ValueError: if the files hold different weights.
  """
  network = torchvision.read(files['.safetensors'])
  if not _has_pytorch():
    return checking.outputs_of_network(network, request, pixels)
  checking.check_weights(network, request)
  contents = {ending: file.read_bytes() for ending, file in files.items()}
  if '.py' not in contents:
    arrays = named_arrays.flatten(network.variables)
    contents['.py'] = module_source(request.loaded, arrays).encode()
  return _outputs_in_pytorch(contents, pixels)


def _outputs_in_pytorch(
  contents: Mapping[str, bytes], pixels: np.ndarray
) -> np.ndarray:
  """Logits by the contents of `.safetensors`, `.pt` and `.py` alone."""
  from safetensors import torch as safetensors_torch
  import torch

  state = safetensors_torch.load(contents['.safetensors'])
  pickled = torch.load(io.BytesIO(contents['.pt']), weights_only=True)
  if state.keys() != pickled.keys() or not all(
    torch.equal(value, pickled[name]) for name, value in state.items()
  ):
    raise ValueError('.pt and .safetensors hold different weights')
  module = types.ModuleType('exported_network')
  exec(compile(contents['.py'], 'model.py', 'exec'), module.__dict__)
  network = module.GoogLeNet()
  network.load_state_dict(pickled)
  with torch.no_grad():
    return network.eval()(module.preprocess(torch.tensor(pixels))).numpy()


def _has_pytorch() -> bool:
  try:
    importlib.import_module('torch')
  except ImportError:
    return False
  return True
