"""Parts of GoogLeNet: the Inception module and the auxiliary head.

References:
  Szegedy et al. 2014, Going Deeper with Convolutions, arXiv 1409.4842.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from inception_jax.models import layers, pooling
from inception_jax.models.architectures import InceptionSpec

AUX_DROPOUT = 0.7  # Section 5.
# Figure 2 (b); Figure 2 (a) with the widths of Table 1 kept; Figure 2 (a) as
# drawn, where pooling passes every channel on and modules grow.
MODULE_FORMS = ('reduced', 'naive', 'naive_as_drawn')


class InceptionModule(nn.Module):
  """One Inception module, Figure 2 of the paper.

  Attributes:
    spec: widths, already scaled.
    conv: partial of `layers.ConvBlock` with everything but the shapes.
    form: one of `MODULE_FORMS`. 'naive' has no reductions but keeps the
      projection after pooling, so that every width stays; 'naive_as_drawn' has
      no projection either.
    padding: 'same' or 'symmetric'.
    merge_1x1: run the 1x1 convolutions that read the same input as one.
    window_5x5: of the branch that the paper calls 5x5.
  """

  spec: InceptionSpec
  conv: Callable[..., layers.ConvBlock]
  form: str = 'reduced'
  padding: str = 'same'
  merge_1x1: bool = True
  window_5x5: int = 5

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """`[N, H, W, C]` -> `[N, H, W, spec.features]` (more, if as drawn)."""
    spec, channels = self.spec, x.shape[-1]
    conv_1x1 = self.conv(channels, spec.conv_1x1, name='conv_1x1')
    if self.form == 'reduced':
      blocks = [
        conv_1x1,
        self.conv(channels, spec.conv_3x3[0], name='reduce_3x3'),
        self.conv(channels, spec.conv_5x5[0], name='reduce_5x5'),
      ]
      if self.merge_1x1:
        branch_1x1, to_3x3, to_5x5 = layers.merged_blocks(blocks, x, train)
      else:
        branch_1x1, to_3x3, to_5x5 = [block(x, train) for block in blocks]
    else:
      branch_1x1, to_3x3, to_5x5 = conv_1x1(x, train), x, x
    branch_3x3 = self.conv(
      to_3x3.shape[-1], spec.conv_3x3[1], window=3, name='conv_3x3'
    )(to_3x3, train)
    branch_5x5 = self.conv(
      to_5x5.shape[-1],
      spec.conv_5x5[1],
      window=self.window_5x5,
      name='conv_5x5',
    )(to_5x5, train)
    pooled = pooling.max_pool(x, 3, 1, self.padding)
    if self.form != 'naive_as_drawn':
      pooled = self.conv(channels, spec.pool_proj, name='pool_proj')(
        pooled, train
      )
    return jnp.concatenate([branch_1x1, branch_3x3, branch_5x5, pooled], -1)


class AuxiliaryHead(nn.Module):
  """Auxiliary classifier, section 5: pool, 1x1 conv, dense, dropout, linear.

  Attributes:
    num_classes: outputs.
    conv_features: filters of the 1x1 convolution (128 at width 1).
    hidden_features: units of the dense layer (1024 at width 1).
    conv: partial of `layers.ConvBlock`.
    bias_value: initial bias of the dense layer.
    pool: one of `pooling.HEAD_POOLS`.
    dtype: type of the arithmetic.
  """

  num_classes: int
  conv_features: int
  hidden_features: int
  conv: Callable[..., layers.ConvBlock]
  bias_value: float
  pool: str
  dtype: jnp.dtype

  @nn.compact
  def __call__(
    self, x: jax.Array, train: bool, example_keys: jax.Array | None
  ) -> jax.Array:
    """`[N, H, W, C]` -> float32 logits `[N, num_classes]`."""
    if self.pool == 'adaptive':
      x = pooling.adaptive_avg_pool(x, 4)
    elif self.pool == 'ceil':
      x = pooling.avg_pool_ceil(x, 5, 3)
    else:
      x = pooling.avg_pool_valid(x, 5, 3)
    x = self.conv(x.shape[-1], self.conv_features, name='conv')(x, train)
    x = x.reshape(x.shape[0], -1)
    x = nn.Dense(
      self.hidden_features,
      kernel_init=nn.initializers.lecun_uniform(),
      bias_init=nn.initializers.constant(self.bias_value),
      dtype=self.dtype,
      name='dense',
    )(x)
    x = nn.relu(x)
    x = layers.Dropout(AUX_DROPOUT, name='dropout')(x, train, example_keys)
    return classifier(self.num_classes, self.dtype)(x).astype(jnp.float32)


def classifier(num_classes: int, dtype: jnp.dtype) -> nn.Dense:
  """The linear layer before softmax."""
  return nn.Dense(
    num_classes,
    kernel_init=nn.initializers.lecun_uniform(),
    dtype=dtype,
    name='classifier',
  )
