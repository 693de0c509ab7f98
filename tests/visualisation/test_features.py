"""Tests of gradient ascent on a tiny network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inception_jax import models, preprocess
from inception_jax.data import labels
from inception_jax.runtime import errors
from inception_jax.visualisation import features as features_lib

SIZE = 32
PREPROCESSING = preprocess.Preprocessing(1 / 64, (2.0, 2.0, 2.0))
LABELS = labels.from_class_names(('n02119789', 'owl', 'great owl', 'a.b/c'))
SHAPES = {'conv1': (1, 16, 16, 4), 'pool1': (1, 8, 8, 4), 'logits': (1, 4)}


CHANNEL = features_lib.channel_feature('inception_3b', 1)
CLASS = features_lib.class_feature(2, LABELS)


@pytest.fixture(scope='module')
def network():
  """Without biases, which would say more than the picture."""
  model = models.create_model(num_classes=4, use_aux=False, width=0.1)
  x = jnp.zeros((1, SIZE, SIZE, 3))
  variables = jax.jit(model.init)(jax.random.key(0), x)
  return model, jax.tree.map(
    lambda x: jnp.zeros_like(x) if x.ndim == 1 else x, variables
  )


def _ascend(network, feature, num_steps=192, **arguments):
  return features_lib.ascend(
    *network,
    PREPROCESSING,
    feature,
    size=SIZE,
    num_steps=num_steps,
    steps_per_call=32,
    **arguments,
  )


@pytest.mark.parametrize('feature', [CHANNEL, CLASS], ids=lambda x: x.stem)
def test_ascent_beats_random_images(network, feature, capsys):
  model, variables = network
  ascent = _ascend(network, feature)
  assert ascent.image.shape == (SIZE, SIZE, 3)
  assert ascent.image.dtype == np.uint8 and ascent.image.std() > 20
  assert ascent.values.shape == (192,)
  rng = np.random.default_rng(0)
  images = rng.integers(256, size=(128, SIZE, SIZE, 3)).astype(np.uint8)
  images[0] = ascent.image  # As it is, and not transformed.

  @jax.jit
  def excitation(images):
    _, ends = model.apply(variables, PREPROCESSING(images))
    end = ends[feature.end_point][..., feature.channel]
    return end.reshape(len(images), -1).mean(1)

  of_image, *of_others = np.asarray(excitation(images))
  assert np.std(of_others) > 0 and ascent.values[0] < max(of_others)
  much = max(of_others) + 4 * np.std(of_others)
  assert of_image > much and ascent.values[-16:].mean() > much
  assert '192/192' in capsys.readouterr().err


def test_the_seed_decides(network):
  first, again, other = (
    _ascend(network, CHANNEL, 64, seed=seed) for seed in (0, 0, 1)
  )
  np.testing.assert_array_equal(again.image, first.image)
  np.testing.assert_array_equal(again.values, first.values)
  assert (other.image != first.image).mean() > 0.5


def test_a_silent_channel_wakes(network):
  model, variables = network
  feature = features_lib.channel_feature('inception_4c', 1)
  block = variables['params']['inception_4c']
  conv = block['conv_1x1']
  conv = {**conv, 'bias': conv['bias'].at[1].set(-0.03)}
  block = {**block, 'conv_1x1': conv}
  params = {**variables['params'], 'inception_4c': block}
  woken = _ascend((model, {'params': params}), feature)
  assert woken.values[0] == 0
  # Slowed down by the large gradients of its sleep it would come to 0.03; one
  # that never slept comes to 0.3.
  assert woken.values[-16:].mean() > 0.15


def test_steps_that_cannot_be_divided(network):
  with pytest.raises(ValueError, match='100 is no multiple of 32'):
    _ascend(network, CHANNEL, 100)


def test_coarse_frequencies_are_the_larger():
  size, place = 16, np.arange(16)
  zeros = np.zeros((2, size, size // 2 + 1, 3), np.float32)
  image = lambda spectrum: np.asarray(
    features_lib.spectrum_to_image(spectrum, size)
  )
  np.testing.assert_allclose(image(zeros), 0.5)
  logit = lambda x: np.log(x / (1 - x))
  light = np.array([-0.5675, -0.5808, -0.5836])  # The first component.
  for frequency in (1, 2, 4):
    for axes in ((0, frequency), (frequency, 0)):
      spectrum = zeros.copy()
      spectrum[(0, *axes, 0)] = 1
      if axes[0]:  # The other half, which columns have by themselves.
        spectrum[0, -frequency, 0, 0] = 1
      wave = np.cos(2 * np.pi * frequency * place / size) / (2 * frequency)
      wave = wave[None] if axes[1] else wave[:, None]
      expected = np.broadcast_to(wave[..., None] * light, (size, size, 3))
      np.testing.assert_allclose(
        logit(image(spectrum)), expected, atol=1e-5, err_msg=str(axes)
      )
  spectrum = zeros.copy()
  spectrum[1, 0, 1, 1] = 1
  coloured = logit(image(spectrum))
  assert np.abs(coloured).max() < 0.3 * 0.5  # Colours differ less than light.
  assert np.abs(coloured.sum(-1)).max() < 0.1 * np.abs(coloured).max()


def test_transformations_are_small_and_have_no_edges():
  size = 61  # Large enough that the blobs stay inside.
  keys = jax.random.split(jax.random.key(0), 200)
  transformed = jax.jit(jax.vmap(features_lib.transform, (None, 0)))
  plain = jnp.full((size, size, 3), 0.3)
  np.testing.assert_allclose(transformed(plain, keys), 0.3, rtol=1e-5)

  y, x = np.mgrid[:size, :size] - 30.0

  def centres(row, column):
    blob = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8)
    images = transformed(jnp.repeat(jnp.asarray(blob)[..., None], 3, -1), keys)
    weights = np.asarray(images)[..., 0]
    total = weights.sum((1, 2))
    return np.stack(
      [(weights * y).sum((1, 2)) / total, (weights * x).sum((1, 2)) / total], 1
    )

  middle = centres(0, 0)
  assert 5 < np.abs(middle).max() <= 0.1 * size * 1.2 * 1.16 + 0.1
  assert middle.std(0).min() > 1 and np.abs(middle.mean(0)).max() < 0.9
  # Relative to the middle, a place turns and scales.
  arm = centres(0, 8) - middle
  lengths = np.hypot(*arm.T) / 8
  assert 0.8 < lengths.min() < 0.9 and 1.1 < lengths.max() < 1.25
  # What was a right angle stays one.
  other_arm = centres(-8, 0) - middle
  np.testing.assert_allclose(other_arm[:, 0], -arm[:, 1], atol=0.3)
  np.testing.assert_allclose(other_arm[:, 1], arm[:, 0], atol=0.3)
  degrees = np.rad2deg(np.arctan2(arm[:, 0], arm[:, 1]))
  assert -10.5 < degrees.min() < -8 and 8 < degrees.max() < 10.5


def test_parse_feature():
  parse = lambda text: features_lib.parse_feature(text, SHAPES, LABELS)
  assert parse('pool1:3') == ('pool1', 3, 'pool1, channel 3', 'pool1_3')
  fox = ('logits', 0, 'kit fox', 'class_0_kit_fox')
  for text in ('class:kit fox', 'class:n02119789', 'class:0', 'class:fox'):
    assert parse(text) == fox
  assert parse('class:owl')[1] == 1  # A whole name before a part of another.
  assert parse('class:a.b/c')[3] == 'class_3_a_b_c'


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('conv1', 'conv1 is malformed; write END_POINT:CHANNEL'),
    ('conv1:', 'conv1: is malformed'),
    ('', '--features= is malformed'),
    ('conv1:4', "'4' is no channel of conv1; give a number from 0 to 3"),
    ('conv1:-1', "'-1' is no channel"),
    ('conv1:²', "'²' is no channel"),
    ('conv1:one', "'one' is no channel"),
    ('conf1:0', "no end point 'conf1'; did you mean 'conv1'"),
    ('xyz:0', 'it has conv1, pool1 and logits'),
    (
      'class:unicorn',
      "class:unicorn: no class is called 'unicorn'; there are kit fox",
    ),
    ('class:o', 'fits several classes'),
    ('class:4', 'number 4 is none of the 4 outputs'),
  ],
)
def test_bad_features(text, message):
  with pytest.raises(errors.InputError, match='--features=') as raised:
    features_lib.parse_feature(text, SHAPES, LABELS)
  assert message in str(raised.value)
