"""Checkpoints of PyTorch as training programs write them."""

import argparse
import collections
import functools
import logging
import os
import pathlib
import zipfile

import numpy as np
import pytest

from inception_jax.runtime import errors
from inception_jax.weights import pretrained, torchvision

torch = pytest.importorskip('torch')

import published_torch as peers  # noqa: E402


@functools.cache
def network(seed=0):
  """A network with other weights for each seed."""
  made = peers.Torchvision(num_classes=5).eval()
  peers.randomise(made, torch.Generator().manual_seed(seed))
  return made


@functools.cache
def state(seed=0):
  return dict(network(seed).state_dict())


@functools.cache
def expected(seed=0):
  """The classifier, which tells the networks apart."""
  return state(seed)['fc.weight'].numpy().T


def under(prefix, seed=0):
  return {f'{prefix}{name}': x for name, x in state(seed).items()}


def read(value, tmp_path, weights=None, name='x.pth'):
  torch.save(value, tmp_path / name)
  return torchvision.read(tmp_path / name, weights)


class Config:
  """Of a program that reads this file, and of no other."""

  def __init__(self):
    self.rate = 0.1
    self.path = pathlib.PurePosixPath('data')
    self.values = {1, 2}


def averaged(seed=0):
  model = torch.optim.swa_utils.AveragedModel(network(seed), use_buffers=True)
  return dict(model.state_dict())


WRAPPINGS = {
  'data parallel': lambda: under('module.'),
  'compiled': lambda: under('_orig_mod.'),
  'compiled and parallel': lambda: under('module._orig_mod.'),
  'parallel and compiled': lambda: under('_orig_mod.module.'),
  'parts compiled': lambda: {
    name.replace('conv1.', 'conv1._orig_mod.', 1): x
    for name, x in state().items()
  },
  'sharded': lambda: under('_fsdp_wrapped_module.'),
  'lightning': lambda: {
    'epoch': 3,
    'state_dict': {**under('model.'), 'loss.weight': torch.ones(5)},
    'optimizer_states': [{'state': {0: {'momentum': torch.ones(5)}}}],
  },
  'lightning, other attribute': lambda: {'state_dict': under('backbone.net.')},
  'model_state_dict': lambda: {'model_state_dict': state(), 'loss': 0.5},
  'net': lambda: {'net': under('module.'), 'acc': 91.2},
  'network': lambda: {'network': state()},
  'three deep': lambda: {'a': {'b': {'state_dict': under('module.model.')}}},
  'in a list': lambda: [state(), {'step': 3}],
  'second in a sequential': lambda: under('1.'),
  'only an average': lambda: {'model_ema': averaged()},
  'an average itself': averaged,
  'the same twice': lambda: {'model': state(), 'state_dict': under('module.')},
  'training script': lambda: {
    'model': state(),
    'optimizer': {'state': {}, 'param_groups': [{'lr': 0.5}]},
    'args': argparse.Namespace(model='googlenet', lr=0.5),
  },
  'objects of all kinds': lambda: {
    'hyper_parameters': Config(),
    'counts': collections.Counter('ab'),
    'defaults': collections.defaultdict(list, {'a': [1]}),
    'where': pathlib.PurePosixPath('a'),
    'type': torch.float32,
    np.float64(2): np.arange(3),
    'model': state(),
  },
  'a whole module': lambda: network(),
  'a whole module in a dictionary': lambda: {'net': network(), 'epoch': 1},
}


@pytest.mark.parametrize('wrapping', WRAPPINGS)
def test_networks_are_found(wrapping, tmp_path):
  found = read(WRAPPINGS[wrapping](), tmp_path)
  kernel = found.variables['params']['classifier']['kernel']
  np.testing.assert_array_equal(kernel, expected())
  assert found.missing == ()
  extra = ('loss.weight',) if wrapping == 'lightning' else ()
  assert found.unused in ((), extra)
  assert found.model_arguments['use_aux']


def test_old_files_are_found(tmp_path):
  value = {'args': argparse.Namespace(a=1), 'net': network()}
  torch.save(value, tmp_path / 'x', _use_new_zipfile_serialization=False)
  found = torchvision.read(tmp_path / 'x')
  kernel = found.variables['params']['classifier']['kernel']
  np.testing.assert_array_equal(kernel, expected())


@pytest.mark.parametrize('name', ['x.ckpt', 'x.pth.tar', 'x.bin', 'x.pt'])
def test_names_of_files(tmp_path, name):
  torch.save({'state_dict': under('model.')}, tmp_path / name)
  loaded = pretrained.load_pretrained(tmp_path / name)
  kernel = loaded.variables['params']['classifier']['kernel']
  np.testing.assert_array_equal(kernel, expected())


def test_averages_beside_the_weights(tmp_path, caplog):
  value = {
    'model': under('module.'),
    'model_ema': averaged(1),
    'args': argparse.Namespace(model_ema=True),
  }
  with caplog.at_level(logging.INFO):
    found = read(value, tmp_path)
  kernel = found.variables['params']['classifier']['kernel']
  np.testing.assert_array_equal(kernel, expected(1))
  assert found.card['weights'] == 'ema'
  assert "averages under 'model_ema'" in caplog.text
  assert '--weights=model takes' in caplog.text
  for weights, seed in (('raw', 0), ('ema', 1), ('model', 0), ('model_ema', 1)):
    found = read(value, tmp_path, weights)
    kernel = found.variables['params']['classifier']['kernel']
    np.testing.assert_array_equal(kernel, expected(seed))
  with pytest.raises(
    errors.InputError, match="the names 'model', 'model_ema'; g"
  ):
    read(value, tmp_path, 'best')
  with pytest.raises(errors.InputError, match="no ema weights, only .*'model'"):
    read({'model': state()}, tmp_path, 'ema')


def test_averages_without_statistics_are_taken_only_if_asked(tmp_path):
  shadow = {k: x for k, x in state(1).items() if 'running' not in k}
  value = {'model': state(), 'ema': {'shadow': shadow}}
  found = read(value, tmp_path)
  kernel = found.variables['params']['classifier']['kernel']
  np.testing.assert_array_equal(kernel, expected(0))
  with pytest.raises(errors.InputError, match="'ema.shadow' is not .* lacks"):
    read(value, tmp_path, 'ema')


def test_two_networks_have_to_be_chosen_between(tmp_path):
  value = {**under('student.'), **under('teacher.', 1)}
  flags = '--weights=student or --weights=teacher'
  with pytest.raises(
    errors.InputError, match=f'holds 2 networks; give {flags}'
  ):
    read(value, tmp_path)
  found = read(value, tmp_path, 'teacher')
  kernel = found.variables['params']['classifier']['kernel']
  np.testing.assert_array_equal(kernel, expected(1))


def test_what_does_not_match_says_how_far(tmp_path):
  part = {k: x for k, x in under('encoder.').items() if 'inception5' not in k}
  with pytest.raises(
    errors.InputError,
    match=r"encoder' is not .*lacks 60 of its 287 arrays .*inception5a\S*; giv",
  ):
    read({'state_dict': part}, tmp_path)
  other = {f'layer{i}.weight': torch.ones(3) for i in range(7)}
  with pytest.raises(
    errors.InputError, match="287 of its 287 .* 7 of other n.*first 'layer0"
  ):
    read(other, tmp_path)


class Evil:
  """Calls what it names when it is unpickled."""

  def __init__(self, path, how):
    self.path, self.how = path, how

  def __reduce__(self):
    if self.how == 'eval':
      return eval, (f"open({str(self.path)!r}, 'w').close()",)
    if self.how == 'system':
      return os.system, (f'touch {self.path}',)
    return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize('old', [False, True])
@pytest.mark.parametrize('how', ['eval', 'system', 'touch'])
def test_no_code_of_a_file_runs(tmp_path, how, old):
  value = {'model': state(), 'args': Evil(tmp_path / 'done', how)}
  torch.save(value, tmp_path / 'x.pth', _use_new_zipfile_serialization=not old)
  torchvision.read(tmp_path / 'x.pth')
  assert not (tmp_path / 'done').exists()
  torch.load(tmp_path / 'x.pth', weights_only=False)
  assert (tmp_path / 'done').exists()  # It would have.


def test_programs_are_refused(tmp_path):
  with zipfile.ZipFile(tmp_path / 'x.pt', 'w') as archive:
    for name in ('data.pkl', 'constants.pkl', 'code/__torch__.py'):
      archive.writestr(f'x/{name}', b'\x80\x02}q\x00.')
  with pytest.raises(errors.InputError, match='TorchScript; save the state_d'):
    torchvision.read(tmp_path / 'x.pt')


def test_no_colours_in_sentences(tmp_path):
  (tmp_path / 'x.pth').write_bytes(b'\x80\x02cx\ny\n(tR.')
  with pytest.raises(errors.InputError) as error:
    torchvision.read(tmp_path / 'x.pth')
  assert '\x1b' not in str(error.value) and '\n' not in str(error.value)


def head(*widths):
  layers = []
  for inputs, outputs in zip(widths, widths[1:], strict=False):
    layers += [torch.nn.Dropout(), torch.nn.Linear(inputs, outputs)]
  return {
    f'fc.{name}': x
    for name, x in torch.nn.Sequential(*layers).state_dict().items()
  }


def test_a_last_layer_inside_others(tmp_path, caplog):
  body = {k: x for k, x in state().items() if not k.startswith(('fc', 'aux'))}
  value = {**body, **head(1024, 3)}
  with caplog.at_level(logging.INFO):
    found = read({'model': value}, tmp_path)
  assert found.model_arguments['num_classes'] == 3
  np.testing.assert_array_equal(
    found.variables['params']['classifier']['kernel'],
    value['fc.1.weight'].numpy().T,
  )
  assert "taking 'fc.1.weight'" in caplog.text
  assert 'unless --labels=FILE' in caplog.text
  with pytest.raises(errors.InputError, match='several layers .*fc.1.*fc.3'):
    read({**body, **head(1024, 64, 3)}, tmp_path)


def test_heads_for_other_classes_are_left_out(tmp_path, caplog):
  value = {
    **state(),
    'fc.weight': torch.ones(3, 1024),
    'fc.bias': torch.ones(3),
  }
  found = read(value, tmp_path)
  assert found.model_arguments['num_classes'] == 3
  assert not found.model_arguments['use_aux'] and found.unused
  assert 'has 3 outputs, but aux1.fc2.bias has the shape [5]' in caplog.text
