"""The members of the Inception-v1 family, as data.

A variant of GoogLeNet is a new row of `ARCHITECTURES` and of
`profiles.PROFILES`. A descendant with another stem or other modules, such as
Inception-v3 (branches factorised into 1x7 and 7x1, one auxiliary head, 299
pixels), also gets a Linen module beside inception_v1.py, with the attributes
and the call of `GoogLeNet`, and `create_model` builds the one that fits the
architecture. The image size stands in the config. Training and evaluation see
only `(logits, end_points)`, among which `aux_logits_*` are the heads, and of
the architecture only `min_size`.

References:
  Szegedy et al. 2014, Going Deeper with Convolutions, arXiv 1409.4842.
  The authors' released network: github.com/google/inception.
  Those of others beside their names.
"""

from collections.abc import Mapping
import dataclasses
import types
from typing import NamedTuple

from inception_jax.runtime import words


class InceptionSpec(NamedTuple):
  """Widths of one Inception module, in the order of the paper's Table 1."""

  conv_1x1: int
  conv_3x3: tuple[int, int]  # (#3x3 reduce, #3x3)
  conv_5x5: tuple[int, int]  # (#5x5 reduce, #5x5)
  pool_proj: int

  @property
  def features(self) -> int:
    return self.conv_1x1 + self.conv_3x3[1] + self.conv_5x5[1] + self.pool_proj


# Layers of a module with weights, in the order of Table 1.
MODULE_LAYERS = (
  'conv_1x1',
  'reduce_3x3',
  'conv_3x3',
  'reduce_5x5',
  'conv_5x5',
  'pool_proj',
)

# Szegedy et al. 2014, Table 1: #1x1, (#3x3 reduce, #3x3), (#5x5 reduce, #5x5),
# pool proj. Shapes are those of a 224-pixel input.
INCEPTION_SPECS: Mapping[str, InceptionSpec] = types.MappingProxyType(
  {
    '3a': InceptionSpec(64, (96, 128), (16, 32), 32),  # -> [N, 28, 28, 256]
    '3b': InceptionSpec(128, (128, 192), (32, 96), 64),  # -> [N, 28, 28, 480]
    '4a': InceptionSpec(192, (96, 208), (16, 48), 64),  # -> [N, 14, 14, 512]
    '4b': InceptionSpec(160, (112, 224), (24, 64), 64),  # -> [N, 14, 14, 512]
    '4c': InceptionSpec(128, (128, 256), (24, 64), 64),  # -> [N, 14, 14, 512]
    '4d': InceptionSpec(112, (144, 288), (32, 64), 64),  # -> [N, 14, 14, 528]
    '4e': InceptionSpec(256, (160, 320), (32, 128), 128),  # -> [.., 14, 832]
    '5a': InceptionSpec(256, (160, 320), (32, 128), 128),  # -> [N, 7, 7, 832]
    '5b': InceptionSpec(384, (192, 384), (48, 128), 128),  # -> [N, 7, 7, 1024]
  }
)

# The released weights have 204 3x3 filters in 4a and 48 5x5-reduce filters in
# 5a, and the multiply-adds printed in Table 1 are of that network.
GOOGLE_SPECS: Mapping[str, InceptionSpec] = types.MappingProxyType(
  {
    **INCEPTION_SPECS,
    '4a': INCEPTION_SPECS['4a']._replace(conv_3x3=(96, 204)),
    '5a': INCEPTION_SPECS['5a']._replace(conv_5x5=(48, 128)),
  }
)


class LRNConstants(NamedTuple):
  """Arguments of `local_response_norm`."""

  depth: int
  alpha: float
  beta: float
  k: float


@dataclasses.dataclass(frozen=True)
class Architecture:
  """What distinguishes one member of the family from another.

  Attributes:
    specs: (name, widths) of the Inception modules, in order; a tuple, so that
      models can be hashed and `jax.jit(model.apply)` works.
    lrn: constants of the two response normalisations, or None for none.
    batch_norm_epsilon: batch norm with this epsilon, or None for none.
    conv_bias: whether convolutions have biases.
    conv_bias_value: their initial value.
    padding: 'same' or 'symmetric', of convolutions and pools of stride 1.
    pool_padding: of pools of stride 2: 'same', 'symmetric' or 'ceil'.
    last_pool: window of the pool before stage 5.
    window_5x5: of the branch that the paper calls 5x5.
    batch_norm_scale: whether batch norm has a factor beside its offset.
    head_taps: modules whose output the auxiliary heads read; the paper's are 4a
      and 4d (section 5).
    head_pool: the heads' pooling, of `pooling.HEAD_POOLS`.
    min_size: side of the smallest image in pixels.
    min_size_with_heads: likewise when the auxiliary heads run.
    dropout: rate before the classifier; the paper's is 0.4 (section 5).
  """

  specs: tuple[tuple[str, InceptionSpec], ...]
  lrn: LRNConstants | None = None
  batch_norm_epsilon: float | None = None
  conv_bias: bool = True
  conv_bias_value: float = 0.2
  padding: str = 'same'
  pool_padding: str = 'same'
  last_pool: int = 3
  window_5x5: int = 5
  batch_norm_scale: bool = True
  head_taps: tuple[str, ...] = ('4a', '4d')
  head_pool: str = 'valid'
  min_size: int = 32
  # Here 4a is 5x5, the window of the paper's auxiliary pooling.
  min_size_with_heads: int = 65
  dropout: float = 0.4


# The constants of the authors' released network; the paper gives none.
GOOGLE_LRN = LRNConstants(depth=11, alpha=1e-4, beta=0.5, k=2.0)
# Caffe's alpha, 1e-4, is divided by the window's channels; its default k is 1.
CAFFE_LRN = LRNConstants(depth=5, alpha=1e-4 / 5, beta=0.75, k=1.0)

ARCHITECTURES: Mapping[str, Architecture] = types.MappingProxyType(
  {
    'inception_v1': Architecture(
      tuple(INCEPTION_SPECS.items()), lrn=GOOGLE_LRN
    ),
    'inception_v1_google': Architecture(
      tuple(GOOGLE_SPECS.items()), lrn=GOOGLE_LRN
    ),
    'inception_v1_bn': Architecture(
      tuple(INCEPTION_SPECS.items()),
      batch_norm_epsilon=1e-3,
      conv_bias=False,
      head_pool='adaptive',
      min_size_with_heads=32,
    ),
    # ChanLumerico/lucid: each convolution keeps a bias before its batch norm,
    # which cancels it; padding as in PyTorch.
    'inception_v1_lucid': Architecture(
      tuple(INCEPTION_SPECS.items()),
      batch_norm_epsilon=1e-5,
      conv_bias_value=0.0,
      padding='symmetric',
      pool_padding='symmetric',
      head_pool='adaptive',
      min_size_with_heads=32,
    ),
    # BVLC/caffe, models/bvlc_googlenet.
    'inception_v1_caffe': Architecture(
      tuple(INCEPTION_SPECS.items()),
      lrn=CAFFE_LRN,
      padding='symmetric',
      pool_padding='ceil',
      head_pool='ceil',
    ),
    # pytorch/vision, torchvision/models/googlenet.py; the 3x3 is an old slip
    # (pytorch/vision issue 906) that its weights were trained with.
    'inception_v1_torchvision': Architecture(
      tuple(INCEPTION_SPECS.items()),
      batch_norm_epsilon=1e-3,
      conv_bias=False,
      conv_bias_value=0.0,
      padding='symmetric',
      pool_padding='ceil',
      last_pool=2,
      window_5x5=3,
      head_pool='adaptive',
      min_size_with_heads=32,
      dropout=0.2,
    ),
    # google-research/tf-slim, tf_slim/nets/inception_v1.py.
    'inception_v1_tf_slim': Architecture(
      tuple(INCEPTION_SPECS.items()),
      batch_norm_epsilon=1e-3,
      batch_norm_scale=False,
      conv_bias=False,
      last_pool=2,
      window_5x5=3,
      head_taps=(),
      dropout=0.2,
    ),
  }
)

# Modules of the members for tests: one a stage, and what both heads read. A
# full network has nine; tracing and compiling them dominates such tests.
_SHALLOW_MODULES = ('3a', '4a', '4d', '5b')


def _shallow(architecture: Architecture) -> Architecture:
  specs = tuple(x for x in architecture.specs if x[0] in _SHALLOW_MODULES)
  return dataclasses.replace(architecture, specs=specs)


# For tests of training and resuming; users see `ARCHITECTURES` alone.
_FOR_TESTS: Mapping[str, Architecture] = types.MappingProxyType(
  {
    'inception_v1_shallow': _shallow(ARCHITECTURES['inception_v1']),
    'inception_v1_bn_shallow': _shallow(ARCHITECTURES['inception_v1_bn']),
  }
)


NAMES = (*ARCHITECTURES, *_FOR_TESTS)


def architecture_of(name: str) -> Architecture:
  """The member of the family that has this name.

  Raises:
    ValueError: if there is none.
  """
  known = {**ARCHITECTURES, **_FOR_TESTS}
  if name not in known:
    raise ValueError(
      f'unknown model {name!r}; known are {words.join(ARCHITECTURES)}'
    )
  return known[name]


def list_models() -> list[str]:
  """Names of the family, for `create_model`."""
  return list(ARCHITECTURES)


def name_of(architecture: Architecture) -> str:
  """The name under which `architecture_of` knows a member of the family.

  Raises:
    ValueError: if it is no member.
  """
  for name, member in {**ARCHITECTURES, **_FOR_TESTS}.items():
    if member == architecture:
      return name
  raise ValueError(f'no known model has the architecture {architecture}')
