"""Tests of pickles of which no code runs; PyTorch's are in tests/parity."""

import argparse
import collections
import io
import os
import pathlib
import pickle

import pytest

from inception_jax.weights import inert_pickle


class Settings(dict):
  """With items and attributes."""


class Calls:
  """Calls something when it is unpickled."""

  def __init__(self, function, *arguments):
    self.reduced = function, arguments

  def __reduce__(self):
    return self.reduced


def load(value, protocol=2):
  data = value if isinstance(value, bytes) else pickle.dumps(value, protocol)
  return inert_pickle.load(io.BytesIO(data))


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_plain_values_are_as_they_were(protocol):
  value = {'a': [1, 2.5, 'x', None, True], 'b': (b'y' * 300, -(2**70))}
  value['c'] = collections.OrderedDict(k=value['a'])
  if protocol < 4:  # Whose bytes are a call.
    value['b'] = ()
  assert load(value, protocol) == value


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_objects_do_nothing(protocol):
  settings = Settings(rate=0.1)
  settings.more = [1]
  found = load(
    {
      'args': argparse.Namespace(lr=1),
      'settings': settings,
      'path': pathlib.PurePosixPath('x'),
      'set': {1, 2},
      'default': collections.defaultdict(list, a=[1]),
      pathlib.PurePosixPath('key'): 'of a key',
    },
    protocol,
  )
  for name in ('args', 'settings', 'path', 'default'):
    assert isinstance(found[name], inert_pickle.Inert), name
  assert found['args'].state == {'lr': 1} and not list(found['args'].parts())
  assert found['settings'] == found['settings'] and len(found) == 6


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_nothing_is_called(tmp_path, protocol):
  path = tmp_path / 'done'
  text = f'open({str(path)!r}, "w").close()'
  for made in (
    Calls(eval, text),
    Calls(exec, text),
    Calls(os.system, f'touch {path}'),
    Calls(pathlib.Path.touch, path),
    Calls(getattr, 'os', 'system'),
    Calls(__import__, 'os'),
  ):
    assert isinstance(load(made, protocol), inert_pickle.Inert)
    assert not path.exists()
  # Nor by what has no class: `builtins.eval` of protocol 0, called by `i`.
  data = b"(S'" + text.encode().replace(b"'", b'"') + b"'\nibuiltins\neval\n."
  assert isinstance(load(data), inert_pickle.Inert)
  assert not path.exists()


def test_functions_that_make_tensors_cannot_be_changed():
  pytest.importorskip('torch')
  from torch import _utils

  before = _utils._rebuild_tensor_v2.__defaults__
  load(
    b'\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}(X\x0c\0\0\0__defaults__'
    b'K\x01s\x86b.'.replace(b'}(', b'}')
  )
  assert _utils._rebuild_tensor_v2.__defaults__ == before


@pytest.mark.parametrize(
  'data',
  [
    b'\x80\x05\x96' + b'\xff' * 7 + b'\x7f.',  # A bytearray of exabytes.
    b'\x82\x01.',  # Of a registry.
    b'\x80\x02',
    b'',
    b'\x80\x02}q\xff',
  ],
)
def test_what_is_damaged_or_claims_much_is_an_error(data):
  with pytest.raises((KeyError, EOFError, pickle.UnpicklingError, IndexError)):
    load(data)
