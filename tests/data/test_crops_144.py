"""Tests of the enumeration of crops."""

import itertools

import pytest

from inception_jax.data import crops_144


def test_scales_change_slowest_and_mirrors_fastest():
  expected = []
  for shorter_side in (256, 288, 320, 352):
    for square in ('first', 'center', 'last'):
      for corner in ('top_left', 'top_right', 'bottom_left', 'bottom_right'):
        expected.append((shorter_side, square, corner, False))
        expected.append((shorter_side, square, corner, True))
      for crop in ('center', 'whole'):
        expected.append((shorter_side, square, crop, False))
        expected.append((shorter_side, square, crop, True))
  assert len(expected) == 144
  assert crops_144.protocol('multi_crop_144', 224).list() == expected


def test_parts_grow_from_one_crop_to_all():
  spec = crops_144.protocol('multi_crop_144', 224)
  parts = spec.nested()
  assert [len(part) for part in parts] == [1, 2, 10, 12, 36, 72, 108, 144]
  assert parts[0].list() == [(256, 'center', 'center', False)]
  assert parts[-1] == spec
  for smaller, larger in itertools.pairwise(parts):
    assert set(smaller.list()) < set(larger.list())
  listed = spec.list()
  assert [listed[place] for place in spec.places_of(parts[2])] == (
    parts[2].list()
  )


def test_the_paper_has_144_crops():
  spec = crops_144.protocol('multi_crop_144', 224)
  assert len(spec) == 144 and spec.shorter_sides == (256, 288, 320, 352)
  listed = spec.list()
  assert len(set(listed)) == 144
  assert listed[:3] == [
    (256, 'first', 'top_left', False),
    (256, 'first', 'top_left', True),
    (256, 'first', 'top_right', False),
  ]
  assert listed[-1] == (352, 'last', 'whole', True)
  # What crosses to the devices is less than a sixth of the crops.
  assert spec.shape[0] < 144 * 224 * 224 * 3 / 6
  assert spec.canvas == 512  # Most of ImageNet's photographs fit.


def test_ten_crops_are_among_the_144():
  ten = crops_144.protocol('ten_crop', 224)
  assert len(ten) == 10
  assert ten.canvas == 0 and ten.shape == (3 * 256 * 256,)
  assert set(ten.list()) == {
    (256, 'center', crop, mirror)
    for crop, mirror in itertools.product(
      (*crops_144.CORNERS, 'center'), (False, True)
    )
  }
  assert set(ten.list()) < set(crops_144.protocol('multi_crop_144', 224).list())


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ({'shorter_sides': (31,)}, 'shorter_sides must be at least 32'),
    ({'shorter_sides': ()}, 'shorter_sides must be some'),
    ({'squares': ('left',)}, "squares must be one of .*, not 'left'"),
    ({'crops': ('whole', 'whole')}, 'crops must be some, each once'),
    ({'crops': ('middle',)}, "crops must be one of .*, not 'middle'"),
    ({'mirrors': ()}, 'mirrors must be some'),
  ],
)
def test_bad_specs(arguments, message):
  with pytest.raises(ValueError, match=message):
    crops_144.MultiCrop(**{'size': 32, 'shorter_sides': (40,), **arguments})
  with pytest.raises(ValueError, match="protocol must be one of .*, not 'x'"):
    crops_144.protocol('x', 224)
