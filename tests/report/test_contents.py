"""Tests of what a report holds; tests/commands makes whole ones."""

import types

import pytest

from inception_jax.data import crop_rules, crops_144, labels
from inception_jax.report import contents

ALL = crops_144.protocol('multi_crop_144', 224)
NAMES = tuple(labels.imagenet_names())


@pytest.mark.parametrize(
  ('crop', 'class_names', 'expected'),
  [
    (crop_rules.EvaluationCrop(224, 'shorter_side'), NAMES, True),
    (crop_rules.EvaluationCrop(224, 'shorter_side'), NAMES[:-1], False),
    (ALL, NAMES, True),
    (crops_144.protocol('ten_crop', 224), NAMES, True),
    (crops_144.protocol('multi_crop_144', 224, scales=(256, 288)), NAMES, True),
    (crops_144.protocol('multi_crop_144', 224, scales=(288,)), NAMES, False),
    # Ten crops, but others.
    (
      crops_144.protocol(
        'multi_crop_144', 224, (288,), ('last',), ALL.crops[:5]
      ),
      NAMES,
      False,
    ),
  ],
)
def test_the_papers_figures_stand_beside_its_own_crops_only(
  crop, class_names, expected
):
  dataset = types.SimpleNamespace(eval_crop=crop, class_names=class_names)
  assert contents._is_paper_task(dataset) is expected
