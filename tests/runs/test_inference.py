"""A run as a notebook uses it."""

import numpy as np
from PIL import Image
import pytest
import random_runs

from inception_jax.runtime import errors


@pytest.fixture(scope='module')
def loaded():
  return random_runs.random_run('inception_v1_bn_shallow', 32)


@pytest.fixture(scope='module')
def images():
  rng = np.random.default_rng(0)
  return rng.integers(256, size=(3, 32, 32, 3)).astype(np.uint8)


def test_predictions_are_those_of_the_network(tmp_path, loaded, images):
  logits, _ = loaded.model.apply(loaded.variables, loaded.preprocessing(images))
  best = np.argsort(-np.asarray(logits))
  several = loaded.predict(images)
  assert [[x['index'] for x in top] for top in several] == best[:, :5].tolist()
  assert several[0][0].keys() == {'index', 'synset', 'name', 'probability'}
  path = tmp_path / 'image.png'
  Image.fromarray(images[1]).save(path)
  one = loaded.predict(path, top_k=7)
  assert [x['index'] for x in one] == best[1].tolist()
  assert sum(x['probability'] for x in one) == pytest.approx(1)
  assert loaded.predict([path])[0][0]['name'] == one[0]['name']
  assert loaded.predict([]) == []


def test_features_are_the_end_points(loaded, images):
  logits, end_points = loaded.model.apply(
    loaded.variables, loaded.preprocessing(images)
  )
  found = loaded.features(images)
  assert found.shape == end_points['avg_pool'].shape
  np.testing.assert_allclose(found, end_points['avg_pool'], rtol=1e-5)
  one = loaded.features(images[0], 'logits')
  np.testing.assert_allclose(one, logits[:1], rtol=1e-4, atol=1e-4)


def test_wrong_requests_say_what_there_is(loaded, images):
  with pytest.raises(errors.InputError, match="did you mean 'avg_pool'"):
    loaded.features(images, 'avgpool')
  with pytest.raises(errors.InputError, match='from 1 to the 7 outputs'):
    loaded.predict(images, top_k=8)
  with pytest.raises(errors.InputError, match='no images'):
    loaded.features([])


def test_short_repr(loaded):
  assert repr(loaded) == (
    "Run('inception_v1_bn_shallow', weights='raw', step=3, outputs=7,"
    f' image_size=32, parameters={_count(loaded):,})'
  )


def _count(loaded):
  import jax

  return sum(x.size for x in jax.tree.leaves(loaded.variables['params']))
