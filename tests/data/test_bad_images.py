"""Tests of bad images in training and evaluation."""

import dataclasses
import io

import numpy as np
from PIL import Image
import pytest

from inception_jax.data import bad_images, crop_rules, pipeline, records
from inception_jax.runtime import errors


@pytest.fixture(scope='module')
def digits():
  return records.open_records('digits', 'train')


def eval_batches(source, batch_size, **overrides):
  return pipeline.eval_batches(
    source,
    batch_size=batch_size,
    slots=np.arange(batch_size),
    crop=crop_rules.EvaluationCrop(8, 'center_square'),
    **overrides,
  )


def train_batches(source, start, slots=None, batch_size=12, **overrides):
  arguments = {
    'seed': 0,
    'start_step': start,
    'num_train_steps': 10**6,
    'batch_size': batch_size,
    'slots': np.arange(batch_size) if slots is None else slots,
    'crop': crop_rules.DistortedCrop(
      16,
      area_range=(0.5, 1.0),
      aspect_ratio_range=(0.8, 1.25),
      aspect_ratio_law='log_uniform',
      interpolations=crop_rules.INTERPOLATIONS,
    ),
    **overrides,
  }
  return pipeline.train_batches(source, **arguments)


def assert_same(first, second):
  assert first.keys() == second.keys()
  for name in first:
    np.testing.assert_array_equal(first[name], second[name])


@dataclasses.dataclass(frozen=True)
class Damaged:
  """Records some of which hold something else than an image."""

  source: records.Records
  bad: tuple[int, ...]
  size: int = 120
  contents: bytes = b'no image'
  name: str = 'damaged train'

  def __len__(self):
    return self.size

  def read(self, indices):
    assert (np.asarray(indices) < self.size).all()
    images, labels = self.source.read(indices)
    images = [
      self.contents if i in self.bad else image
      for i, image in zip(indices, images, strict=True)
    ]
    return images, labels

  def describe(self, index):
    return f'record {index} of {self.name}'


def test_bad_image_is_named(digits):
  damaged = Damaged(digits, bad=(7,))
  with pytest.raises(errors.InputError, match='record 7 of damaged train .*no'):
    list(train_batches(damaged, 0, num_train_steps=10))
  with pytest.raises(errors.InputError, match="on_bad_image='skip'"):
    list(eval_batches(damaged, 50))


def damaged_pair(digits, *bad):
  """A damaged set, and the same one whole with the replacements in place."""
  replaced = {}
  for index in bad:
    good = (index + 1) % 120
    while good in bad:
      good = (good + 1) % 120
    replaced[index] = good

  @dataclasses.dataclass(frozen=True)
  class Replaced(Damaged):
    def read(self, indices):
      return self.source.read(np.array([replaced.get(i, i) for i in indices]))

  return Damaged(digits, bad), Replaced(digits, ())


@pytest.mark.parametrize('bad', [(7,), (119,)])
def test_skipped_image_is_replaced_by_the_next_record(digits, bad, caplog):
  damaged, whole = damaged_pair(digits, *bad)
  options = {'num_train_steps': 10, 'batch_size': 24}
  with caplog.at_level('WARNING'):
    found = list(train_batches(damaged, 0, on_bad_image='skip', **options))
  expected = list(train_batches(whole, 0, **options))
  for one, other in zip(found, expected, strict=True):
    assert_same(one, other)
  # Both epochs met it; it is named once.
  assert caplog.text.count(f'record {bad[0]} of damaged train') == 1


def test_two_bad_neighbours_are_both_replaced(digits):
  damaged, whole = damaged_pair(digits, 7, 8)
  damaged = dataclasses.replace(damaged, size=1437)
  whole = dataclasses.replace(whole, size=1437)
  options = {'num_train_steps': 3, 'batch_size': 479}
  found = list(train_batches(damaged, 0, on_bad_image='skip', **options))
  for one, other in zip(found, train_batches(whole, 0, **options), strict=True):
    assert_same(one, other)


def test_skipping_does_not_depend_on_hosts_or_resuming(digits):
  damaged = Damaged(digits, bad=(7,))
  skip = {'on_bad_image': 'skip', 'num_train_steps': 10, 'batch_size': 24}
  whole = list(train_batches(damaged, 0, **skip))
  for step, batch in enumerate(whole):
    parts = [
      next(train_batches(damaged, step, slots, **skip))
      for slots in np.split(np.arange(24), 4)
    ]
    for name, values in batch.items():
      joined = np.concatenate([part[name] for part in parts])
      np.testing.assert_array_equal(joined, values)


def test_skipped_image_is_not_counted_in_evaluation(digits):
  batches = list(
    eval_batches(Damaged(digits, bad=(7,)), 50, on_bad_image='skip')
  )
  mask = np.concatenate([b['mask'] for b in batches])
  skipped = np.concatenate([b['skipped'] for b in batches])
  assert mask.sum() == 119 and not mask[7]
  np.testing.assert_array_equal(np.flatnonzero(skipped), [7])


@pytest.mark.parametrize('bad', [(3, 7), tuple(range(120))])
def test_too_many_bad_images_are_fatal(digits, bad):
  damaged = Damaged(digits, bad=bad)
  with pytest.raises(
    errors.InputError, match=r'\d of the 120 images .* than 1%'
  ):
    for batch in train_batches(damaged, 0, on_bad_image='skip', batch_size=1):
      del batch
  with pytest.raises(errors.InputError, match='of the 120 images .* than 1%'):
    list(eval_batches(damaged, 50, on_bad_image='skip'))


def test_the_only_record_being_bad_is_fatal(digits):
  damaged = Damaged(digits, bad=(0,), size=1)
  with pytest.raises(errors.InputError, match='1 of the 1 images'):
    next(train_batches(damaged, 0, on_bad_image='skip'))


def test_one_bad_image_is_always_allowed_and_counted_once(digits):
  account = bad_images.Account(Damaged(digits, bad=(3,), size=2), 'skip')
  account.add(np.array([1, 1]))
  account.add(np.array([1]))
  with pytest.raises(errors.InputError, match='2 of the 2 images'):
    account.add(np.array([0]))


def test_the_share_of_bad_images_is_that_of_the_set(digits):
  account = bad_images.Account(Damaged(digits, bad=(), size=300), 'skip')
  account.add(np.array([5, 7, 9]))
  with pytest.raises(errors.InputError, match='4 of the 300 .*more than 1%'):
    account.add(np.array([11]))


def test_the_next_good_record_follows_the_last_by_the_first():
  bad = {3, 4, 0}
  asked = []

  def decode(indices, uniforms):
    pairs = zip(indices.tolist(), uniforms[:, 0].tolist(), strict=True)
    asked.append(list(pairs))
    is_bad = np.isin(indices, list(bad))
    return indices * 10, indices.copy(), is_bad

  indices, uniforms = np.array([2, 3, 1]), np.array([[0.2], [0.3], [0.1]])
  images, labels = bad_images.decode_next_good(decode, indices, uniforms, 5)
  np.testing.assert_array_equal(images, [20, 10, 10])
  np.testing.assert_array_equal(labels, [2, 1, 1])
  np.testing.assert_array_equal(indices, [2, 3, 1])  # The caller's own.
  # The crop's random numbers stay those of the example.
  assert asked[1:] == [[(4, 0.3)], [(0, 0.3)], [(1, 0.3)]]


def png(image):
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, 'png')
  return buffer.getvalue()


TINY = png(np.full((1, 1, 3), 77, np.uint8))
WHOLE = png(np.random.RandomState(0).randint(0, 256, (50, 50, 3), np.uint8))


@pytest.mark.parametrize(
  'contents', [b'', WHOLE[:40], WHOLE[:-2000], b'\xff\xd8\xff'], ids=repr
)
def test_every_kind_of_damage_is_skipped(digits, contents):
  damaged = Damaged(digits, bad=(7,), contents=contents)
  (batch,) = eval_batches(damaged, 120, on_bad_image='skip')
  assert batch['skipped'][7] and batch['mask'].sum() == 119


def test_an_image_of_one_pixel_is_an_image(digits):
  tiny = Damaged(digits, bad=(7,), contents=TINY)
  (batch,) = eval_batches(tiny, 120)
  assert batch['mask'].all() and (batch['image'][7] == 77).all()
  (batch,) = train_batches(tiny, 0, num_train_steps=1, batch_size=120)
  assert (batch['image'] == 77).all((1, 2, 3)).sum() == 1
