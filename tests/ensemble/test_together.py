"""Tests of several networks asked together."""

import itertools

import numpy as np
import pytest

from inception_jax.data import labels as labels_lib
from inception_jax.ensemble import together as ensemble
from inception_jax.evaluation import answers as answers_lib
from inception_jax.evaluation import crop_views
from inception_jax.report import comparison
from inception_jax.runtime import errors

CLASSES = ('a', 'b', 'c')
VIEWS = tuple(
  crop_views.View(*view)
  for view in (
    (1, 'mean_probability'),
    (10, 'mean_probability'),
    (10, 'max_probability'),
  )
)
NUM_IMAGES = 30
PICTURE_LABELS = np.arange(NUM_IMAGES) % 3


def member(
  folder,
  seed,
  names=CLASSES,
  num_outputs=None,
  skipped=(),
  picture_labels=PICTURE_LABELS,
):
  """A network of random answers."""
  label_map = labels_lib.from_class_names(names, num_outputs)
  answers = answers_lib.Answers(
    folder / str(seed),
    {'network': seed},
    views=VIEWS,
    num_images=NUM_IMAGES,
    num_outputs=len(label_map),
    batch_size=8,
  )
  rng = np.random.default_rng(seed)
  shape = (NUM_IMAGES, len(VIEWS), len(label_map))
  logits = rng.standard_normal(shape)
  log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  counted = np.ones(NUM_IMAGES, bool)
  counted[list(skipped)] = False
  answers.write(
    0,
    answers_lib.Block(
      log_probs.astype(np.float32),
      np.asarray(picture_labels, np.int32),
      counted,
    ),
  )
  return ensemble.Member(f'run{seed}', label_map, answers)


def probabilities(one, view):
  """Of the classes a, b, c."""
  block = one.answers.read(0, NUM_IMAGES, view)
  columns = [one.labels.class_names.index(name) for name in CLASSES]
  return np.exp(block.log_probs.astype(np.float64))[:, columns]


def test_networks_of_other_outputs_agree_by_name(tmp_path):
  members = [
    member(tmp_path, 0),
    member(tmp_path, 1, ('c', 'a', 'b'), 5),  # Two dummies.
  ]
  together = ensemble.Ensemble(members, CLASSES)
  (answered,) = together.read(10, 'mean_probability')
  assert answered.log_probs.shape == (2, NUM_IMAGES, 3)
  expected = (probabilities(members[0], 1) + probabilities(members[1], 1)) / 2
  np.testing.assert_allclose(
    np.exp(ensemble.mean_probability(answered.log_probs)), expected, rtol=1e-5
  )
  np.testing.assert_array_equal(answered.labels, np.arange(NUM_IMAGES) % 3)


def test_labels_follow_the_network(tmp_path):
  names = ('c', 'a', 'b')
  alone = ensemble.Ensemble([member(tmp_path, 1, names, 5)], CLASSES)
  (answered,) = alone.read(None, 'mean_probability')
  assert answered.log_probs.shape == (1, NUM_IMAGES, 5)
  np.testing.assert_array_equal(
    answered.labels, np.array([1, 2, 0])[np.arange(NUM_IMAGES) % 3]
  )


def test_imagenet_networks_with_background_and_dummies():
  outputs = [
    labels_lib.imagenet(1000),
    labels_lib.imagenet(1001),
    labels_lib.from_class_names(
      tuple(reversed(labels_lib.imagenet_names())), 1008
    ),
  ]
  members = [ensemble.Member(str(i), x, None) for i, x in enumerate(outputs)]
  together = ensemble.Ensemble(members, tuple(labels_lib.imagenet_names()))
  assert together.labels == outputs[0]


@pytest.mark.parametrize('num_outputs', [None, 4, 5])
def test_classes_of_two_kinds_and_any_number_of_dummies(num_outputs):
  names = ('a', 'n02119789', 'b')
  members = [
    ensemble.Member(
      str(place), labels_lib.from_class_names(order, num_outputs), None
    )
    for place, order in enumerate((names, names[::-1]))
  ]
  together = ensemble.Ensemble(members, names)
  assert together.labels.class_names == names


@pytest.mark.parametrize(
  'names', [('a', 'b'), ('a', 'b', 'd'), ('a', 'b', 'c', 'd')]
)
def test_networks_of_other_classes_are_refused(tmp_path, names):
  members = [member(tmp_path, 0), member(tmp_path, 1, names)]
  with pytest.raises(
    errors.InputError, match=f'run1 knows {len(names)} classes and run0 3'
  ):
    ensemble.Ensemble(members, ('a', 'b'))


def test_pictures_that_one_has_skipped_are_counted_by_none(tmp_path):
  members = [
    member(tmp_path, 0, skipped=(2, 5)),
    member(tmp_path, 1, skipped=(5, 7)),
    member(tmp_path, 2),
  ]
  (answered,) = ensemble.Ensemble(members, CLASSES).read(1, 'mean_probability')
  assert answered.num_skipped == 3
  kept = np.setdiff1d(np.arange(NUM_IMAGES), (2, 5, 7))
  np.testing.assert_array_equal(answered.indices, kept)
  np.testing.assert_array_equal(answered.labels, kept % 3)
  for one, log_probs in zip(members, answered.log_probs, strict=True):
    np.testing.assert_allclose(
      np.exp(log_probs), probabilities(one, 0)[kept], rtol=1e-5
    )


def test_labels_matter_where_all_have_answered(tmp_path):
  def read(skipped):
    folder = tmp_path / str(skipped)
    other = np.arange(NUM_IMAGES) % 3
    other[4] = 0
    members = [
      member(folder, 0),
      member(folder, 1, skipped=skipped, picture_labels=other),
    ]
    return list(ensemble.Ensemble(members, CLASSES).read(1, 'mean_probability'))

  assert read((4,))[0].num_skipped == 1
  with pytest.raises(
    errors.InputError, match='run1 and run0 have not answered'
  ):
    read(())


def test_pictures_keep_their_places_however_many_are_read(
  tmp_path, monkeypatch
):
  members = [member(tmp_path, i, skipped=(2, 25)) for i in (0, 1)]
  (whole,) = ensemble.Ensemble(members, CLASSES).read(1, 'mean_probability')
  monkeypatch.setattr(ensemble, '_PICTURES_AT_A_TIME', 8)
  parts = list(ensemble.Ensemble(members, CLASSES).read(1, 'mean_probability'))
  assert len(parts) == 4
  np.testing.assert_array_equal(
    np.concatenate([part.indices for part in parts]), whole.indices
  )
  np.testing.assert_array_equal(
    np.concatenate([part.log_probs for part in parts], 1), whole.log_probs
  )


def _table_3(members):
  """Runs and errors of the lines, whatever the numbers of the members."""
  rows = comparison.compare(ensemble.Ensemble(members, CLASSES))
  table = comparison.table_3(rows, comparison.crop_columns(rows))
  return [
    (
      sorted(members[i].name for i in row.members),
      row.num_crops,
      row.scores.top1,
      row.scores.top5,
    )
    for row in table
  ]


def test_one_model_is_the_best_whatever_the_order(tmp_path):
  members = [member(tmp_path, seed) for seed in range(3)]
  tables = [_table_3(list(x)) for x in itertools.permutations(members)]
  assert tables == [tables[0]] * 6
  labels = np.arange(NUM_IMAGES) % 3
  right = {
    x.name: (probabilities(x, 0).argmax(-1) == labels).sum() for x in members
  }
  assert len(set(right.values())) > 1
  (best,) = tables[0][0][0]
  assert right[best] == max(right.values())
  # With more members than are combined, too.
  more = [member(tmp_path, seed) for seed in range(3, 10)]
  ((best,), *_), *_ = _table_3([*more, *members])
  right |= {
    x.name: (probabilities(x, 0).argmax(-1) == labels).sum() for x in more
  }
  assert right[best] == max(right.values())


def test_every_part_of_an_ensemble(tmp_path):
  members = [member(tmp_path, seed) for seed in range(3)]
  rows = comparison.compare(ensemble.Ensemble(members, CLASSES))
  mean = [row for row in rows if row.aggregation == 'mean_probability']
  others = len(rows) - len(mean)
  assert len(mean) == 2 * 7 and others == 4  # Each alone, and all.
  labels = np.arange(NUM_IMAGES) % 3
  for row in rows:
    view = VIEWS.index((row.num_crops, row.aggregation))
    parts = [probabilities(members[i], view) for i in row.members]
    together = np.mean(parts, 0)
    assert row.scores.top1 == (together.argmax(-1) == labels).sum()
    assert row.scores.num_images == NUM_IMAGES
    assert row.cost == len(parts) * row.num_crops
  table = comparison.table_3(rows, comparison.crop_columns(rows))
  assert [(row.num_models, row.num_crops) for row in table] == [
    (1, 1),
    (1, 10),
    (3, 1),
    (3, 10),
  ]
  sizes = comparison.by_size(rows)
  assert [line['combinations'] for line in sizes] == [3, 3, 1]
  two = [
    1 - row.scores.means()['top1']
    for row in mean
    if row.num_models == 2 and row.num_crops == 10
  ]
  assert sizes[1]['mean_top1_error'] == pytest.approx(np.mean(two))
  assert sizes[1]['max_top1_error'] == max(two)
