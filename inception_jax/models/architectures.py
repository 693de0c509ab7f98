"""The members of the Inception-v1 family, as data.

References:
  Szegedy et al. 2014, Going Deeper with Convolutions, arXiv 1409.4842.
  The authors' released network: github.com/google/inception.
"""

from collections.abc import Mapping
import dataclasses
import types
from typing import NamedTuple


class InceptionSpec(NamedTuple):
  """Widths of one Inception module, in the order of the paper's Table 1."""

  conv_1x1: int
  conv_3x3: tuple[int, int]  # (#3x3 reduce, #3x3)
  conv_5x5: tuple[int, int]  # (#5x5 reduce, #5x5)
  pool_proj: int

  @property
  def features(self) -> int:
    return self.conv_1x1 + self.conv_3x3[1] + self.conv_5x5[1] + self.pool_proj


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
  """Arguments of `layers.local_response_norm`."""

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
    padding: 'same' or 'symmetric', of convolutions and pools.
    adaptive_heads: auxiliary pooling to 4x4 whatever the size, where the paper
      averages 5x5 windows with stride 3.
  """

  specs: tuple[tuple[str, InceptionSpec], ...]
  lrn: LRNConstants | None = None
  batch_norm_epsilon: float | None = None
  conv_bias: bool = True
  conv_bias_value: float = 0.2
  padding: str = 'same'
  adaptive_heads: bool = False


# The constants of the authors' released network; the paper gives none.
GOOGLE_LRN = LRNConstants(depth=11, alpha=1e-4, beta=0.5, k=2.0)

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
      adaptive_heads=True,
    ),
    # ChanLumerico/lucid: each convolution keeps a bias before its batch norm,
    # which cancels it; padding as in PyTorch.
    'inception_v1_lucid': Architecture(
      tuple(INCEPTION_SPECS.items()),
      batch_norm_epsilon=1e-5,
      conv_bias_value=0.0,
      padding='symmetric',
      adaptive_heads=True,
    ),
  }
)
