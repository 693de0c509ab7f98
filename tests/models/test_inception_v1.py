"""Tests of the networks.

Shapes and counts are those of full size and cost no FLOP; arithmetic runs on
tiny members of the family.
"""

import dataclasses
import functools
import math

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax.models import (
  ARCHITECTURES,
  architectures,
  create_model,
  layers,
  modules,
)

# Szegedy et al. 2014, Table 1, 'output size'; LRN keeps the size.
END_POINTS = {
  'conv1': (112, 112, 64),
  'pool1': (56, 56, 64),
  'lrn1': (56, 56, 64),
  'conv2_reduce': (56, 56, 64),
  'conv2': (56, 56, 192),
  'lrn2': (56, 56, 192),
  'pool2': (28, 28, 192),
  'inception_3a': (28, 28, 256),
  'inception_3b': (28, 28, 480),
  'pool3': (14, 14, 480),
  'inception_4a': (14, 14, 512),
  'inception_4b': (14, 14, 512),
  'inception_4c': (14, 14, 512),
  'inception_4d': (14, 14, 528),
  'inception_4e': (14, 14, 832),
  'pool4': (7, 7, 832),
  'inception_5a': (7, 7, 832),
  'inception_5b': (7, 7, 1024),
  'avg_pool': (1024,),
  'logits': (1000,),
}
AUX_END_POINTS = {'aux_logits_4a': (1000,), 'aux_logits_4d': (1000,)}

# Parameters without and with the auxiliary heads, 1000 classes. The first is
# that of the OpenVINO model zoo (6.999 M), the fourth's second that of the
# published network; the others follow from the widths.
PARAMS = {
  'inception_v1': (6_998_552, 13_378_280),
  'inception_v1_google': (7_058_180, 13_437_396),
  'inception_v1_bn': (7_005_832, 13_385_816),
  'inception_v1_lucid': (7_013_112, 13_393_352),
  'inception_v1_caffe': (6_998_552, 13_378_280),
  # As torchvision states them.
  'inception_v1_torchvision': (6_624_904, 13_004_888),
  # 6,618,649 with the 1001 outputs of the published network; no heads.
  'inception_v1_tf_slim': (6_617_624, 6_617_624),
}


def images(size, batch=2):
  return jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32)


@functools.cache  # Models can be hashed, and many tests share one.
def shapes_of(model, size=224):
  """Variables of a model as shapes."""
  return jax.eval_shape(model.init, jax.random.key(0), images(size))


def num_params(variables):
  return sum(math.prod(p.shape) for p in jax.tree.leaves(variables['params']))


def run(model, variables, x, train, key):
  """Logits and end points, whatever the mode."""
  out = model.apply(
    variables,
    x,
    train,
    rngs={'dropout': key},
    mutable=['batch_stats'] if train else False,
  )
  return out[0] if train else out


@functools.cache
def program(model, size=224, train=False):
  """The jaxpr of a model's forward pass."""
  arguments = (shapes_of(model, size), images(size), jax.random.key(0))

  def apply(variables, x, key):
    return run(model, variables, x, train, key)

  return jax.make_jaxpr(apply)(*arguments)


def equations(jaxpr):
  """All equations of a program, those of inner programs among them.

  Of a layer's forms for different backends, those of the plain one.
  """
  for eqn in getattr(jaxpr, 'jaxpr', jaxpr).eqns:
    yield eqn
    for name, value in eqn.params.items():
      value = value[-1] if name == 'branches' else value
      if hasattr(getattr(value, 'jaxpr', value), 'eqns'):
        yield from equations(value)


def count_primitive(jaxpr, name):
  return sum(eqn.primitive.name == name for eqn in equations(jaxpr))


def random_variables(model, size, seed=0):
  """Variables of sensible scale; far faster than compiling `model.init`."""
  rng = np.random.default_rng(seed)

  def draw(path, leaf):
    name = path[-1].key
    if name == 'kernel':
      bound = math.sqrt(6 / math.prod(leaf.shape[:-1]))
      return rng.uniform(-bound, bound, leaf.shape).astype(np.float32)
    low = 0.5 if name in ('scale', 'var') else -0.1
    return rng.uniform(low, low + 1, leaf.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes_of(model, size))


def random_images(size, batch=2, seed=1):
  rng = np.random.default_rng(seed)
  return rng.standard_normal((batch, size, size, 3)).astype(np.float32)


# --- Table 1 -----------------------------------------------------------------


@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize('name', sorted(ARCHITECTURES))
def test_end_points_are_those_of_table_1(name, train):
  model = create_model(name)
  _, ends = jax.eval_shape(
    functools.partial(run, model, train=train),
    shapes_of(model),
    x=images(224, batch=3),
    key=jax.random.key(0),
  )
  expected = dict(END_POINTS)
  if architectures.architecture_of(name).lrn is None:
    del expected['lrn1'], expected['lrn2']
  if name == 'inception_v1_google':
    expected['inception_4a'] = (14, 14, 508)
  if train and architectures.architecture_of(name).head_taps:
    expected |= AUX_END_POINTS
  assert {k: v.shape for k, v in ends.items()} == {
    k: (3, *shape) for k, shape in expected.items()
  }


def test_count_of_parameters_is_known_for_every_model():
  assert set(PARAMS) == set(ARCHITECTURES), (
    'work out the parameters of a new model by hand and add them to PARAMS'
  )


@pytest.mark.parametrize('name', sorted(PARAMS))
def test_number_of_parameters(name):
  without, with_heads = PARAMS[name]
  assert num_params(shapes_of(create_model(name, use_aux=False))) == without
  assert num_params(shapes_of(create_model(name))) == with_heads


def test_number_of_parameters_of_the_released_network():
  make = functools.partial(create_model, 'inception_v1_google', 1008)
  assert num_params(shapes_of(make(use_aux=False))) == 7_066_380
  assert num_params(shapes_of(make())) == 13_461_996
  slim = shapes_of(create_model('inception_v1_tf_slim', 1001))
  assert num_params(slim) == 6_618_649
  # What tf_slim's own test asserts: without classifier, with statistics.
  backbone = num_params(slim) - 1025 * 1001
  statistics = sum(math.prod(x.shape) for x in jax.tree.leaves(slim)) - (
    num_params(slim)
  )
  assert backbone + statistics == 5_607_184


@pytest.mark.parametrize('name', sorted(ARCHITECTURES))
def test_kernels_have_the_sizes_that_their_names_say(name):
  params = shapes_of(create_model(name))['params']
  # Two well-known libraries have 3x3 there.
  side = 3 if name.endswith(('torchvision', 'tf_slim')) else 5
  assert params['conv1']['kernel'].shape == (7, 7, 3, 64)
  modules = [key for key in params if key.startswith('inception')]
  assert len(modules) == 9
  for module in modules:
    sides = {k: v['kernel'].shape[:2] for k, v in params[module].items()}
    assert sides == {
      'conv_1x1': (1, 1),
      'reduce_3x3': (1, 1),
      'conv_3x3': (3, 3),
      'reduce_5x5': (1, 1),
      'conv_5x5': (side, side),
      'pool_proj': (1, 1),
    }


def test_widths_of_the_released_network():
  paper = shapes_of(create_model('inception_v1'))['params']
  google = shapes_of(create_model('inception_v1_google'))['params']
  different = {
    (module, layer): params[layer]['kernel'].shape[-1]
    for module, params in google.items()
    for layer in params
    if module.startswith('inception')
    and params[layer]['kernel'].shape[-1]
    != paper[module][layer]['kernel'].shape[-1]
  }
  assert different == {
    ('inception_4a', 'conv_3x3'): 204,
    ('inception_5a', 'reduce_5x5'): 48,
  }


# --- Names -------------------------------------------------------------------


FOR_TESTS = ('inception_v1_shallow', 'inception_v1_bn_shallow')


@pytest.mark.parametrize('name', [*ARCHITECTURES, *FOR_TESTS])
def test_names_and_architectures_are_found_by_each_other(name):
  architecture = architectures.architecture_of(name)
  assert architectures.name_of(architecture) == name
  assert create_model(name).architecture == architecture


def test_no_member_but_those_known_has_a_name():
  architecture = architectures.architecture_of('inception_v1')
  with pytest.raises(ValueError, match='no known model'):
    architectures.name_of(dataclasses.replace(architecture, last_pool=4))


@pytest.mark.parametrize('name', FOR_TESTS)
def test_members_for_tests_are_full_ones_with_fewer_modules(name):
  assert name not in ARCHITECTURES
  shallow = create_model(name)
  full = create_model(name.removesuffix('_shallow'))
  assert shallow != full
  assert shallow == full.clone(architecture=shallow.architecture)
  left_out = {f'inception_{x}' for x in ('3b', '4b', '4c', '4e', '5a')}
  layers = shapes_of(shallow)['params'].keys()
  assert layers == shapes_of(full)['params'].keys() - left_out
  assert {'inception_5b', 'aux_4a', 'aux_4d'} < layers
  ends = training_ends(shallow)
  assert ends.keys() == training_ends(full).keys() - left_out
  assert {'pool3', 'pool4', *AUX_END_POINTS} < ends.keys()
  assert ends['inception_5b'].shape == (2, 7, 7, 1024)


def training_ends(model):
  """Shapes of the end points."""
  _, ends = jax.eval_shape(
    functools.partial(run, model, train=True),
    shapes_of(model),
    x=images(224),
    key=jax.random.key(0),
  )
  return ends


# --- Auxiliary heads ---------------------------------------------------------


@pytest.mark.parametrize(
  'name', sorted(k for k, arch in ARCHITECTURES.items() if arch.head_taps)
)
def test_heads_read_4a_and_4d(name):
  params = shapes_of(create_model(name, num_classes=7))['params']
  after_4a = 508 if name == 'inception_v1_google' else 512
  for head, channels in (('aux_4a', after_4a), ('aux_4d', 528)):
    assert params[head]['conv']['kernel'].shape == (1, 1, channels, 128)
    assert params[head]['dense']['kernel'].shape == (4 * 4 * 128, 1024)
    assert params[head]['classifier']['kernel'].shape == (1024, 7)


@pytest.mark.parametrize('name', ['inception_v1', 'inception_v1_bn'])
def test_heads_are_not_in_the_program_of_inference(name):
  inference = program(create_model(name))
  training = program(create_model(name), train=True)

  def scopes(jaxpr):
    return ' '.join(str(e.source_info.name_stack) for e in equations(jaxpr))

  assert 'aux_4a' in scopes(training) and 'aux_4d' in scopes(training)
  assert 'aux' not in scopes(inference)
  # The classifier; in training also a dense and a linear layer a head.
  assert count_primitive(inference, 'dot_general') == 1
  assert count_primitive(training, 'dot_general') == 5
  without = program(create_model(name, use_aux=False), train=True)
  assert 'aux' not in scopes(without)
  assert count_primitive(without, 'dot_general') == 1


@pytest.mark.parametrize('name', ['inception_v1', 'inception_v1_google'])
@pytest.mark.parametrize('train', [False, True])
def test_paper_heads_need_65_pixels(name, train):
  model = create_model(name)
  variables = shapes_of(model, 65)
  call = functools.partial(run, model, train=train, key=jax.random.key(0))
  jax.eval_shape(call, variables, x=images(65))
  if not train:
    jax.eval_shape(call, variables, x=images(32))
    return
  with pytest.raises(ValueError, match=r"64x64.*65x65.*'inception_v1_bn'"):
    jax.eval_shape(call, variables, x=images(64))
  with pytest.raises(ValueError, match="'inception_v1_bn'"):
    shapes_of(model, 64)


def test_the_shorter_side_counts():
  model = create_model()
  wide = jax.ShapeDtypeStruct((1, 64, 224, 3), jnp.float32)
  with pytest.raises(ValueError, match='64x224'):
    jax.eval_shape(model.init, jax.random.key(0), wide)


@pytest.mark.parametrize(
  'name, use_aux',
  [(name, False) for name in ARCHITECTURES]
  + [
    (k, True)
    for k, arch in ARCHITECTURES.items()
    if arch.head_pool == 'adaptive'
  ],
)
def test_smallest_image_without_the_paper_heads(name, use_aux):
  model = create_model(name, use_aux=use_aux)
  shapes_of(model, 32)
  with pytest.raises(ValueError, match='31x31.*at least 32x32') as error:
    shapes_of(model, 31)
  assert 'inception_v1_bn' not in str(error.value)


def test_dropout_rates_are_the_paper_s():
  """Section 5: 40 % before the classifier, 70 % in the heads."""
  assert architectures.architecture_of('inception_v1').dropout == 0.4
  assert modules.AUX_DROPOUT == 0.7
  rates = {}

  def record(next_fn, args, kwargs, context):
    if isinstance(context.module, layers.Dropout):
      rates['/'.join(context.module.path)] = context.module.rate
    return next_fn(*args, **kwargs)

  with nn.intercept_methods(record):
    program.__wrapped__(create_model(), train=True)
  assert rates == {
    'dropout': 0.4,
    'aux_4a/dropout': 0.7,
    'aux_4d/dropout': 0.7,
  }


# --- Initial values ----------------------------------------------------------


@pytest.mark.parametrize('name', ['inception_v1', 'inception_v1_bn'])
def test_initial_values_of_a_module_and_a_head(name):
  arch = architectures.architecture_of(name)
  conv = create_model(name)._conv_factory()
  x = jnp.zeros((1, 14, 14, 16))
  spec = architectures.InceptionSpec(4, (3, 5), (2, 6), 7)
  module = modules.InceptionModule(spec, conv)
  head = modules.AuxiliaryHead(
    10, 8, 32, conv, arch.conv_bias_value, arch.head_pool, jnp.float32
  )
  init = jax.jit(
    lambda key: (
      module.init(key, x, False)['params'],
      head.init(key, x, False, None)['params'],
    )
  )
  params = dict(zip(('module', 'head'), init(jax.random.key(0)), strict=True))
  kernels = biases = 0
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    path = [part.key for part in path]
    if path[-1] == 'kernel':
      bound = math.sqrt(3 / math.prod(leaf.shape[:-1]))
      assert 0.7 * bound < np.abs(leaf).max() <= bound, path
      kernels += 1
    elif path[-2] == 'bn':
      assert np.all(leaf == (1 if path[-1] == 'scale' else 0)), path
    else:
      expected = 0 if path[-2] == 'classifier' else np.float32(0.2)
      np.testing.assert_array_equal(leaf, np.full_like(leaf, expected))
      biases += 1
  assert kernels == 9
  assert biases == (9 if arch.conv_bias else 2)


def test_initial_values_of_the_classifier():
  layer = modules.classifier(50, jnp.float32)
  params = layer.init(jax.random.key(0), jnp.zeros((1, 300)))['params']
  assert 0.09 < np.abs(params['kernel']).max() <= 0.1  # sqrt(3 / 300)
  np.testing.assert_array_equal(params['bias'], np.zeros(50, np.float32))


# --- Merged 1x1 convolutions -------------------------------------------------


@pytest.mark.parametrize('name', ['inception_v1', 'inception_v1_bn'])
@pytest.mark.parametrize('train', [False, True])
def test_merging_changes_the_program_but_not_the_parameters(name, train):
  merged = create_model(name, merge_1x1=True)
  apart = create_model(name, merge_1x1=False)
  assert shapes_of(merged) == shapes_of(apart)
  convolutions = [
    count_primitive(program(model, train=train), 'conv_general_dilated')
    for model in (merged, apart)
  ]
  heads = 2 if train else 0
  # 3 of the stem, and 4 or 6 a module.
  assert convolutions == [3 + 9 * 4 + heads, 3 + 9 * 6 + heads]


def test_merged_network_equals_unmerged():
  results = []
  for merge in (True, False):
    model = create_model(
      'inception_v1_shallow', num_classes=5, width=0.1, merge_1x1=merge
    )
    variables, x = random_variables(model, 65), random_images(65)

    def loss(params, model=model, x=x):
      keys = jax.random.split(jax.random.key(0), 2)
      _, ends = model.apply({'params': params}, x, True, keys)
      total = sum(jnp.sum(v**2) for k, v in ends.items() if 'logits' in k)
      return total, ends

    step = jax.jit(jax.grad(loss, has_aux=True))
    grads, ends = step(variables['params'])
    assert set(AUX_END_POINTS) < set(ends)
    results.append({'ends': ends, 'grads': grads})
  assert_trees_close(*results, rtol=1e-4)


def test_merged_batch_norm_module_equals_unmerged():
  conv = create_model('inception_v1_bn')._conv_factory()
  spec = architectures.InceptionSpec(4, (3, 5), (2, 6), 7)
  x = random_images(8, batch=4)
  results = []
  for merge in (True, False):
    module = modules.InceptionModule(spec, conv, merge_1x1=merge)
    shapes = jax.eval_shape(
      functools.partial(module.init, train=False), jax.random.key(0), x
    )
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
      lambda p, rng=rng: rng.uniform(0.2, 1, p.shape).astype(np.float32),
      shapes,
    )

    def loss(params, module=module, stats=variables['batch_stats']):
      y, new = module.apply(
        {'params': params, 'batch_stats': stats},
        x,
        True,
        mutable=['batch_stats'],
      )
      return jnp.sum(y**3), (y, new)

    step = jax.jit(jax.grad(loss, has_aux=True))
    results.append(step(variables['params']))
  assert_trees_close(*results, rtol=1e-3)


def assert_trees_close(a, b, rtol):
  """Leaves agree to `rtol` of the largest value of each, and are not zero."""
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for (path, x), y in zip(
    jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True
  ):
    scale = float(np.abs(y).max())
    assert scale > 0, path
    np.testing.assert_allclose(
      x, y, rtol=0, atol=rtol * scale, err_msg=str(path)
    )


# --- Types, transformations, arguments ---------------------------------------


@pytest.mark.parametrize('name', ['inception_v1', 'inception_v1_bn'])
@pytest.mark.parametrize('train', [False, True])
def test_bfloat16_keeps_parameters_and_logits_in_float32(name, train):
  model = create_model(name, dtype='bfloat16')
  variables = shapes_of(model)
  assert {v.dtype for v in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
  logits, ends = jax.eval_shape(
    functools.partial(run, model, train=train),
    variables,
    x=images(224),
    key=jax.random.key(0),
  )
  assert logits.dtype == jnp.float32
  for end_point, value in ends.items():
    wide = 'logits' in end_point
    assert value.dtype == (jnp.float32 if wide else jnp.bfloat16), end_point
  multiplications = [
    eqn
    for eqn in equations(program(model, train=train))
    if eqn.primitive.name in ('conv_general_dilated', 'dot_general')
  ]
  assert multiplications
  for eqn in multiplications:
    assert {v.aval.dtype for v in eqn.invars} == {jnp.dtype('bfloat16')}


def test_bfloat16_network_normalises_in_float32():
  model = create_model(dtype='bfloat16')
  windows = [
    eqn
    for eqn in equations(program(model))
    if eqn.primitive.name == 'reduce_window_sum'
    and eqn.params['window_dimensions'][-1] == 11
  ]
  assert len(windows) == 2
  for eqn in windows:
    assert eqn.invars[0].aval.dtype == jnp.float32


def test_model_can_be_hashed_and_jitted():
  model = create_model(num_classes=5, width=0.05)
  assert hash(model) == hash(create_model(num_classes=5, width=0.05))
  assert model == create_model(num_classes=5, width=0.05)
  assert model != create_model(num_classes=6, width=0.05)
  variables, x = random_variables(model, 65), random_images(65)
  logits, ends = jax.jit(model.apply)(variables, x)
  assert logits.shape == (2, 5)
  np.testing.assert_array_equal(logits, ends['logits'])
  assert np.all(np.isfinite(logits)) and np.ptp(logits) > 0
  other = jax.jit(model.apply, static_argnums=2)
  np.testing.assert_allclose(other(variables, x, False)[0], logits, rtol=1e-5)


@pytest.mark.parametrize('width', [0.01, 0.25, 1.3, 2.0])
def test_width_multiplies_every_filter(width):
  full = shapes_of(create_model())['params']
  scaled = shapes_of(create_model(width=width))['params']
  for path, leaf in jax.tree_util.tree_leaves_with_path(scaled):
    keys = [part.key for part in path]
    original = functools.reduce(lambda tree, key: tree[key], keys, full)
    if 'classifier' in keys:
      assert leaf.shape[-1] == 1000
    else:
      expected = max(1, round(width * original.shape[-1]))
      assert leaf.shape[-1] == expected, keys


def test_naive_modules_as_drawn_grow():
  model = create_model(module_form='naive_as_drawn', use_aux=False)
  _, ends = jax.eval_shape(model.apply, shapes_of(model), images(224))
  # Every channel passes through the pooling: 192 + 64 + 128 + 32.
  assert ends['inception_3a'].shape[-1] == 192 + 64 + 128 + 32
  channels = [
    ends[f'inception_{b}'].shape[-1] for b in architectures.INCEPTION_SPECS
  ]
  assert channels == sorted(channels) and channels[-1] > 2 * 1024
  params = shapes_of(model)['params']['inception_3a']
  assert sorted(params) == ['conv_1x1', 'conv_3x3', 'conv_5x5']


def test_naive_modules_keep_the_widths_of_table_1():
  model = create_model(module_form='naive', use_aux=False)
  _, ends = jax.eval_shape(model.apply, shapes_of(model), images(224))
  assert {k: v.shape[1:] for k, v in ends.items()} == END_POINTS
  params = shapes_of(model)['params']['inception_3a']
  assert params['conv_5x5']['kernel'].shape == (5, 5, 192, 32)
  assert sorted(params) == ['conv_1x1', 'conv_3x3', 'conv_5x5', 'pool_proj']


@pytest.mark.parametrize(
  'arguments, words',
  [
    (
      {'name': 'inception_v9'},
      "name must be one of .*inception_v1_bn.*'inception_v9'",
    ),
    ({'num_classes': 0}, 'num_classes must be .* from 1 to .*, not 0'),
    ({'width': 0}, 'width must be .*, not 0'),
    ({'width': -1.0}, 'width must be .*, not -1'),
    ({'width': float('nan')}, 'width must be .*, not nan'),
    ({'module_form': 'wide'}, "module_form must .*naive_as_drawn, not 'wide'"),
    ({'width': 1e-9}, 'width must be .*, not 1e-09'),
    ({'width': math.inf}, 'width must be .*, not inf'),
    ({'dtype': 'float64'}, "dtype must be .*, not 'float64'"),
    ({'dtype': jnp.int8}, "dtype must be .*, not 'int8'"),
    ({'batch_norm_momentum': 1.0}, 'batch_norm_momentum must be .*, not 1.0'),
    ({'batch_norm_momentum': -0.1}, 'batch_norm_momentum must be .*, not -0.1'),
  ],
)
def test_bad_arguments_are_named(arguments, words):
  with pytest.raises(ValueError, match=words):
    create_model(**arguments)


def test_unknown_type_of_arithmetic_is_named():
  with pytest.raises((TypeError, ValueError), match='float8'):
    create_model(dtype='float8')
