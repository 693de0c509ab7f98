"""The export formats: where a new one goes.

A format is one module beside this one, named `*_file.py`, and one row of
`FORMATS`. The module has two functions:

```
def serialize(request: formats.Request) -> dict[str, bytes]
```

returns the contents of the files by the ending of their names: of the file
itself under `Format.ending`, and of the files that go beside it. It raises
InputError if the format cannot hold the network.

```
def outputs_of(
  request: formats.Request, files: Mapping[str, epath.Path], pixels: np.ndarray
) -> np.ndarray
```

runs the files as they were written, in their own runtime. `files` says where
each lies, by the endings that `serialize` returned; `pixels` are uint8 RGB
`[batch, height, width, 3]`. It returns float32 `[batch, num_classes]`: logits,
or probabilities if the option `softmax` is on. It may raise anything if the
files cannot be used. `checking.outputs_of_network` runs weights that were read
back and have no runtime of their own.

Nothing else names a format: `commands/export.py` imports the module of the row,
`writing` puts the files in place, all or none, and `checking` compares their
outputs with the network's. Only a flag that no format has yet must be added to
`commands/` as well.
"""

from collections.abc import Mapping
import dataclasses
import importlib
import types
from typing import Any

import numpy as np

from inception_jax.runs import run


@dataclasses.dataclass(frozen=True)
class Format:
  """A target format.

  Attributes:
    module: what writes and runs the files; imported when used, since some need
      packages that others do not.
    ending: of the file.
    exact: whether the file is run as we run it, so that every bit must come
      back.
    packages: what the format needs beyond ours.
    options: flags of the export mode that it takes.
  """

  module: str
  ending: str
  exact: bool
  packages: tuple[str, ...] = ()
  options: tuple[str, ...] = ()

  def import_module(self) -> types.ModuleType:
    """The module, with `serialize` and `outputs_of`."""
    return importlib.import_module(self.module)


FORMATS = {
  'safetensors': Format(
    'inception_jax.export.safetensors_file',
    '.safetensors',
    exact=True,
    packages=('safetensors',),
  ),
  'onnx': Format(
    'inception_jax.export.onnx_file',
    '.onnx',
    exact=False,
    packages=('onnx', 'onnxruntime'),
    options=('uint8_input', 'softmax'),
  ),
  'npz': Format('inception_jax.export.npz_file', '.npz', exact=True),
  'torchvision': Format(
    'inception_jax.export.torchvision_file',
    '.safetensors',
    exact=False,
    packages=('safetensors',),
  ),
}


@dataclasses.dataclass(frozen=True)
class Request:
  """What is exported.

  Attributes:
    loaded: the run.
    arrays: its variables by their flat names.
    description: what the files say of themselves; see `exported.describe`.
    options: value of each of `Format.options`, by its name.
  """

  loaded: run.Run
  arrays: Mapping[str, np.ndarray]
  description: Mapping[str, str]
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
