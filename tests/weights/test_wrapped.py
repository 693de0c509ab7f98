"""One network among the arrays of a checkpoint; PyTorch's are in parity."""

import numpy as np
import pytest

from inception_jax.runtime import errors
from inception_jax.weights import wrapped

WANTED = ('a.conv.weight', 'a.bn.bias', 'fc.weight', 'fc.bias')


def network(value=0.0, prefix='', names=WANTED):
  return {f'{prefix}{x}': np.full(2, value, np.float32) for x in names}


def find(arrays, weights=None):
  return wrapped.find(arrays, WANTED, weights, 'x.pth')


@pytest.mark.parametrize(
  'prefix',
  [
    '',
    'module.',
    '_orig_mod.module.',
    'state_dict.model.',
    'a.b.c._fsdp_wrapped_module.d.',
    'conv.',
  ],
)
def test_prefixes_of_any_depth(prefix):
  found = find({**network(prefix=prefix), 'optimizer.step': np.zeros(1)})
  others = {'optimizer.step'} if not found.prefix else set()
  assert found.arrays.keys() == {*WANTED, *others}
  assert not found.is_average and found.others == ()
  assert found.prefix == '.'.join(
    x
    for x in prefix.split('.')
    if x and x not in ('module', '_orig_mod', '_fsdp_wrapped_module')
  )


def test_wrappers_inside_names_and_what_the_network_lacks():
  arrays = network(prefix='net.')
  arrays['net.a._orig_mod.conv.weight'] = arrays.pop('net.a.conv.weight')
  arrays['net.more.weight'] = np.zeros(3)
  arrays['other.more.weight'] = np.zeros(3)
  found = find(arrays)
  assert found.arrays.keys() == {*WANTED, 'more.weight'}
  assert found.where == " under 'net'"


@pytest.mark.parametrize(
  'name',
  [
    'model_ema',
    'ema',
    'state_dict_ema',
    'ema_model',
    'modelEMA',
    'emaModel',
    'swa_model',
    'averaged',
    'a.ema.shadow',
  ],
)
def test_averages_by_their_names(name):
  arrays = {**network(1, 'model.'), **network(2, f'{name}.')}
  found = find(arrays)
  assert found.is_average and found.prefix == name
  assert found.others == ('model',)
  assert find(arrays, 'raw').prefix == find(arrays, 'model').prefix == 'model'
  assert find(arrays, 'ema').prefix == find(arrays, name).prefix == name


@pytest.mark.parametrize('name', ['model', 'schema', 'cinema', 'avgpool'])
def test_no_averages(name):
  assert not find(network(prefix=f'{name}.')).is_average


def test_averages_by_their_counter():
  arrays = network(prefix='module.')
  arrays['n_averaged'] = np.array(7)
  found = find(arrays)
  assert found.is_average and found.arrays.keys() == set(WANTED)
  with pytest.raises(
    errors.InputError, match='no raw weights, .* names none; '
  ):
    find(arrays, 'raw')


def test_the_same_bits_twice_are_one():
  found = find({**network(1, 'model.'), **network(1, 'net.')})
  assert found.prefix == 'model' and found.others == ()


def test_several_need_a_choice_unless_one_has_no_prefix():
  arrays = {**network(1, 'one.'), **network(2, 'two.')}
  with pytest.raises(errors.InputError, match='--weights=one or --weights=two'):
    find(arrays)
  found = find({**arrays, **network(3)})
  assert found.prefix == '' and found.arrays.keys() == set(WANTED)
  assert set(found.others) == {'one', 'two'}


def test_half_an_average_is_taken_only_if_asked():
  arrays = {**network(1, 'model.'), **network(2, 'ema.', WANTED[:3])}
  assert find(arrays).prefix == 'model'
  assert find(arrays, 'ema').arrays.keys() == set(WANTED[:3])


def test_what_fits_best_if_nothing_does():
  arrays = {**network(1, 'one.', WANTED[:1]), 'two.other': np.zeros(1)}
  assert find(arrays).prefix == 'one'
  assert find({'x': np.zeros(1)}).arrays.keys() == {'x'}
  assert find({}).arrays == {}
