"""The last layer against scikit-learn, and at its edges."""

import dataclasses

import numpy as np
import pytest
from sklearn import linear_model, model_selection, pipeline, preprocessing

from inception_jax.runtime import errors
from inception_jax.training import last_layer

OPTIONS = last_layer.LastLayerOptions(folds=3)


def draw(num_images=60, num_classes=3, size=8, views=1, seed=0):
  """Features `[n, views, size]` that tell the classes, and labels."""
  rng = np.random.RandomState(seed)
  labels = np.arange(num_images) % num_classes
  centers = 2 * rng.randn(num_classes, size)
  scales = 10.0 ** rng.uniform(-3, 3, size)  # Far from standardised.
  features = centers[labels][:, None] + rng.randn(num_images, views, size)
  return features * scales + 5 * scales, labels


def probabilities(layer, features):
  logits = features @ layer.kernel.astype(np.float64) + layer.bias
  values = np.exp(logits - logits.max(-1, keepdims=True))
  return values / values.sum(-1, keepdims=True)


@pytest.mark.parametrize('num_classes', [2, 3])
@pytest.mark.parametrize('class_weights', last_layer.CLASS_WEIGHTS)
def test_it_is_what_scikit_learn_fits(num_classes, class_weights):
  features, labels = draw(num_classes=num_classes)
  features, labels = features[:-7], labels[:-7]
  options = dataclasses.replace(OPTIONS, class_weights=class_weights)
  layer = last_layer.fit(features, labels, num_classes, options)
  peer = pipeline.make_pipeline(
    preprocessing.StandardScaler(),
    linear_model.LogisticRegression(
      C=layer.report['strength'],
      max_iter=10_000,
      tol=1e-8,
      class_weight=None if class_weights == 'equal' else 'balanced',
    ),
  ).fit(features[:, 0], labels)
  np.testing.assert_allclose(
    probabilities(layer, features[:, 0]),
    peer.predict_proba(features[:, 0]),
    atol=2e-3,
  )


def test_the_penalty_is_chosen_by_what_was_left_out():
  features, labels = draw(seed=1)
  noise = np.random.RandomState(0).permutation(labels)
  told, random = (
    last_layer.fit(features, x, 3, OPTIONS).report for x in (labels, noise)
  )
  # With nothing to learn, the less the better.
  assert random['strength'] < told['strength']
  assert told['top1'] > 0.9 and random['top1'] < 0.6
  for report in (told, random):
    results = report['cross_validation']
    best = min(results, key=lambda x: x['loss'])
    chosen = next(x for x in results if x['strength'] == report['strength'])
    assert chosen['loss'] <= best['loss'] + best['standard_error']
    assert chosen['top1'] == report['top1']
    assert report['folds'] == 3 and report['num_images'] == 60


def test_it_is_the_same_every_time():
  features, labels = draw()
  first, again = (last_layer.fit(features, labels, 3, OPTIONS) for _ in '12')
  assert first.kernel.tobytes() == again.kernel.tobytes()
  assert first.bias.tobytes() == again.bias.tobytes()
  assert first.report == again.report


def test_a_second_view_counts_as_half_an_image():
  features, labels = draw()
  one = last_layer.fit(features, labels, 3, OPTIONS)
  two = last_layer.fit(
    np.repeat(features, 2, 1),
    labels,
    3,
    dataclasses.replace(OPTIONS, views=2),
  )
  assert one.report['strength'] == two.report['strength']
  np.testing.assert_allclose(
    *(probabilities(x, features[:, 0]) for x in (one, two)), atol=1e-3
  )


def test_outputs_without_an_image_are_never_predicted():
  features, labels = draw()
  layer = last_layer.fit(features, np.array([1, 4, 5])[labels], 7, OPTIONS)
  assert layer.kernel.shape == (8, 7) and layer.bias.shape == (7,)
  found = probabilities(layer, features[:, 0])
  assert found[:, [0, 2, 3, 6]].max() < 1e-6
  assert set(found.argmax(1)) == {1, 4, 5}


def test_classes_of_one_image_and_features_that_tell_nothing():
  features, labels = draw(20, 2)
  features[..., 3] = 7.0
  labels[0] = 2  # The only one.
  layer = last_layer.fit(features, labels, 3, OPTIONS)
  assert np.isfinite(layer.kernel).all() and not layer.kernel[3].any()
  assert layer.report['folds'] == 3
  alone = last_layer.fit(features[:2], np.array([0, 1]), 2, OPTIONS)
  assert alone.report['folds'] == 0 and alone.report['top1'] is None
  found = probabilities(alone, features[:2, 0])
  assert found.argmax(1).tolist() == [0, 1]


@pytest.mark.parametrize(
  'name, value', [('views', 3), ('folds', 1), ('class_weights', 'x')]
)
def test_options_are_checked(name, value):
  with pytest.raises((ValueError, errors.InputError), match=name):
    last_layer.LastLayerOptions(**{name: value})


def test_an_image_is_predicted_without_itself():
  rng = np.random.RandomState(0)
  features, labels = rng.randn(60, 1, 200), rng.permutation(60) % 2
  layer = last_layer.fit(features, labels, 2, OPTIONS)
  fitted = (features[:, 0] @ layer.kernel + layer.bias).argmax(1)
  assert (fitted == labels).mean() > 0.9  # It knows these by heart,
  found = last_layer.predict_left_out(features, labels, 2, OPTIONS, 5)
  assert 0.3 < (found.argmax(1) == labels).mean() < 0.7  # and no others.


def test_predictions_by_folds_are_what_scikit_learn_makes():
  features, labels = draw(seed=3)
  found = last_layer.predict_left_out(features, labels, 4, OPTIONS, 4)
  splitter = model_selection.StratifiedKFold(4, shuffle=True, random_state=0)
  for train, test in splitter.split(labels, labels):
    layer = last_layer.fit(features[train], labels[train], 4, OPTIONS)
    peer = pipeline.make_pipeline(
      preprocessing.StandardScaler(),
      linear_model.LogisticRegression(
        C=layer.report['strength'], max_iter=10_000, tol=1e-8
      ),
    ).fit(features[train, 0], labels[train])
    np.testing.assert_allclose(
      np.exp(found[test, :3]), peer.predict_proba(features[test, 0]), atol=1e-2
    )
  np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-5)
  assert (found[:, 3] < -20).all()  # An output without a class.


def test_folds_of_rare_classes():
  features, labels = draw(num_images=9)
  labels[:] = 0
  labels[4] = 2  # Without it there is one class only.
  found = last_layer.predict_left_out(features, labels, 3, OPTIONS, 3)
  assert np.isfinite(found).all() and (found.argmax(1) == 0).all()
  with pytest.raises(ValueError, match='no class has two images'):
    last_layer.predict_left_out(features[:2], np.array([0, 1]), 2, OPTIONS, 3)
