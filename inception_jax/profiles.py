"""What a trained network needs beside its weights, under the model's name."""

from collections.abc import Mapping
import dataclasses
import types

from inception_jax import preprocess


@dataclasses.dataclass(frozen=True)
class Profile:
  """Everything that goes with a model's name.

  Attributes:
    preprocessing: pixels to network input.
    num_classes: outputs of the published network.
    eval_crop: its evaluation crop, one of `crop_rules.EVALUATION_CROPS`.
  """

  preprocessing: preprocess.Preprocessing
  num_classes: int
  eval_crop: str = 'shorter_side'


PROFILES: Mapping[str, Profile] = types.MappingProxyType(
  {
    'inception_v1': Profile(preprocess.MEAN_RGB, num_classes=1000),
    'inception_v1_google': Profile(preprocess.GOOGLE, num_classes=1008),
    'inception_v1_bn': Profile(preprocess.MEAN_RGB, num_classes=1000),
    'inception_v1_lucid': Profile(preprocess.MEAN_RGB, num_classes=1000),
    'inception_v1_caffe': Profile(preprocess.CAFFE, 1000, 'warp'),
    'inception_v1_torchvision': Profile(preprocess.UNIT, num_classes=1000),
    'inception_v1_tf_slim': Profile(preprocess.UNIT, 1001, 'central_fraction'),
  }
)

# Of the members of the family that only tests build.
_FOR_TESTS: Mapping[str, Profile] = types.MappingProxyType(
  {
    'inception_v1_shallow': PROFILES['inception_v1'],
    'inception_v1_bn_shallow': PROFILES['inception_v1_bn'],
  }
)


def profile_of(name: str) -> Profile:
  """The profile of a model.

  Raises:
    KeyError: if no model has this name; see `models.create_model`.
  """
  return {**PROFILES, **_FOR_TESTS}[name]
