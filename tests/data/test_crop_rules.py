"""Tests of the crop rules."""

import inspect

import pytest

from inception_jax.data import crop_rules, dataset


def distorted(**fields):
  arguments = {
    'size': 224,
    'area_range': crop_rules.AREA_RANGE,
    'aspect_ratio_range': crop_rules.ASPECT_RATIO_RANGE,
    'aspect_ratio_law': 'log_uniform',
    'interpolations': crop_rules.INTERPOLATIONS,
    **fields,
  }
  return crop_rules.DistortedCrop(**arguments)


def test_ranges_are_those_of_section_6():
  assert crop_rules.AREA_RANGE == (0.08, 1.0)
  assert crop_rules.ASPECT_RATIO_RANGE == (3 / 4, 4 / 3)


def test_a_dataset_is_cut_by_the_rule_of_the_paper_by_default():
  parameters = inspect.signature(dataset.open_dataset).parameters
  data = dataset.open_dataset(name='fake', image_size=224)
  assert parameters['train_crop'].default == 'distorted'
  assert data.train_crop == distorted()
  assert data.train_crop.shape == (224, 224, 3)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'area_range': (0.0, 1.0)}, 'area_range must be .* from 0.0001 to 1, not'),
    ({'area_range': (0.5, 1.1)}, 'area_range must be .* to 1, not'),
    ({'area_range': (0.9, 0.1)}, 'area_range must .* ascending'),
    (
      {'aspect_ratio_range': (0.0, 1.0)},
      'aspect_ratio_range must .* 0.01 to 100',
    ),
    ({'aspect_ratio_range': (2.0, 1.0)}, 'aspect_ratio_range must .* ascend'),
    ({'aspect_ratio_law': 'normal'}, "aspect_ratio_law .* not 'normal'"),
    ({'interpolations': ()}, 'interpolations must name some'),
    ({'interpolations': ('lanczos',)}, "interpolations .* not .'lanczos'"),
  ],
)
def test_bad_rules(fields, message):
  with pytest.raises(ValueError, match=message):
    distorted(**fields)


@pytest.mark.parametrize(
  ('size', 'name', 'message'),
  [
    (0, 'warp', 'size must be a positive number, not 0'),
    ('32', 'warp', "size must be a positive number, not '32'"),
    (32, 'distorted', "eval_crop must be one of .*, not 'distorted'"),
  ],
)
def test_bad_evaluation_crops(size, name, message):
  with pytest.raises(ValueError, match=message):
    crop_rules.EvaluationCrop(size, name)
