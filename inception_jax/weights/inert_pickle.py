"""Pickles of PyTorch with objects of any program, of which no code runs.

Training scripts keep more in a checkpoint than weights: `argparse.Namespace`,
configs, whole modules. Here an object is rebuilt only if it is a tensor or a
dictionary; every other class and function a file names is replaced by one
`Inert`, which does nothing. `torch.load` takes this module as its
`pickle_module`.
"""

from collections.abc import Iterator
import pickle
from typing import Any, BinaryIO

UnpicklingError = pickle.UnpicklingError

# What makes tensors; the library that reads the file adds its storages.
_KNOWN = {
  ('collections', 'OrderedDict'),
  ('torch._utils', '_rebuild_parameter'),
  ('torch._utils', '_rebuild_parameter_with_state'),
  ('torch._utils', '_rebuild_tensor'),
  ('torch._utils', '_rebuild_tensor_v2'),
  ('torch.nn.parameter', 'Parameter'),
}
# A module keeps its arrays in these, and its parts in the last.
_OF_MODULES = ('_parameters', '_buffers', '_modules')


class Inert(dict):
  """Stands for an object of another program, or a function of it.

  Attributes:
    state: what it was to become; a module's arrays are in it.
    dump_patches: of modules; PyTorch asks for it in files of its older form.
  """

  state: Any = None
  dump_patches = False

  def __new__(cls, *args: Any, **kwargs: Any):
    return super().__new__(cls)

  def __init__(self, *args: Any, **kwargs: Any):
    super().__init__()

  def __setstate__(self, state: Any) -> None:
    self.state = state

  def __call__(self, *args: Any, **kwargs: Any) -> 'Inert':
    return Inert()

  def append(self, item: Any) -> None:
    """As of a list or a set, without effect, like the next two."""

  def extend(self, items: Any) -> None:
    """See `append`."""

  def add(self, item: Any) -> None:
    """See `append`."""

  # A dictionary has none, but what it stands for may be a key.
  __hash__ = object.__hash__
  __eq__ = object.__eq__

  def parts(self) -> Iterator[tuple[str, Any]]:
    """Names and values of arrays and parts, if it stands for a module."""
    state = self.state if isinstance(self.state, dict) else {}
    for kind in _OF_MODULES:
      if isinstance(state.get(kind), dict):
        yield from state[kind].items()


class Unpickler(pickle._Unpickler):
  """Python's own, whose memory the file cannot claim, with inert objects."""

  dispatch = {
    code: function
    for code, function in pickle._Unpickler.dispatch.items()
    # They claim memory, or objects from elsewhere.
    if code
    not in {
      x[0]
      for x in (
        pickle.BYTEARRAY8,
        pickle.NEXT_BUFFER,
        pickle.EXT1,
        pickle.EXT2,
        pickle.EXT4,
        pickle.PERSID,
      )
    }
  }

  def load_build(self) -> None:
    """Gives an inert object its state; others have what they need."""
    state = self.stack.pop()
    if type(self.stack[-1]) is Inert:
      self.stack[-1].__setstate__(state)

  dispatch[pickle.BUILD[0]] = load_build

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) in _KNOWN:
      return super().find_class(module, name)
    return Inert


def load(file: BinaryIO, **arguments: Any) -> Any:
  """As `pickle.load`, for files of PyTorch's older form."""
  return Unpickler(file, **arguments).load()
