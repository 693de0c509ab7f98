"""GoogLeNet (Inception-v1): modules, auxiliary heads and the network.

References:
  Szegedy et al. 2014, Going Deeper with Convolutions, arXiv 1409.4842.
"""

from collections.abc import Callable
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp

from inception_jax.models import layers, modules, pooling
from inception_jax.models.architectures import (
  Architecture,
  InceptionSpec,
  architecture_of,
)
from inception_jax.models.local_response_norm import local_response_norm

# Modules whose output the auxiliary classifiers read (section 5).
AUX_TAPS = ('4a', '4d')
# Sides at which 4a is 5x5, the window of the paper's auxiliary pooling.
MIN_SIZE_WITH_PAPER_HEADS = 65
MIN_SIZE = 32


class GoogLeNet(nn.Module):
  """The network of Table 1; see `create_model`.

  Attributes:
    architecture: the member of the family.
    num_classes: outputs of every classifier.
    use_aux: whether the auxiliary heads exist.
    width: multiplier of every convolution's filters.
    module_form: one of `modules.MODULE_FORMS`.
    merge_1x1: run 1x1 convolutions that read the same input as one.
    batch_norm_momentum: share of the old running statistics kept a step.
    axis_name: pmapped axis over which batch norm takes its statistics, or None
      for each device's own.
    dtype: type of the arithmetic; parameters and logits are float32.
  """

  architecture: Architecture
  num_classes: int = 1000
  use_aux: bool = True
  width: float = 1.0
  module_form: str = 'reduced'
  merge_1x1: bool = True
  batch_norm_momentum: float = 0.9
  axis_name: str | None = None
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    train: bool = False,
    example_keys: jax.Array | None = None,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Runs the network.

    The auxiliary heads run when training and when initialising; in inference
    they are not part of the program.

    Args:
      x: `[batch, height, width, 3]`, preprocessed (see `preprocess`).
      train: dropout on, batch norm with the batch's statistics, heads on.
      example_keys: typed random keys `[batch]`, one an example, for dropout;
        None uses the 'dropout' stream of `apply`.

    Returns:
      `(logits, end_points)`: float32 logits `[batch, num_classes]` and every
      named intermediate, among them `aux_logits_4a` and `aux_logits_4d` when
      the heads run.

    Raises:
      ValueError: if the images are too small for the network.
    """
    arch = self.architecture
    heads = self.use_aux and (train or self.is_initializing())
    check_image_size(arch, x.shape[1:3], heads)
    conv, scale = self._conv_factory(), self._scale
    pool = functools.partial(
      pooling.max_pool, stride=2, padding=arch.pool_padding
    )
    ends = {}
    x = x.astype(self.dtype)

    x = conv(3, scale(64), window=7, stride=2, name='conv1')(x, train)
    ends['conv1'] = x
    x = ends['pool1'] = pool(x, 3)
    if arch.lrn:
      x = ends['lrn1'] = local_response_norm(x, *arch.lrn)
    x = conv(x.shape[-1], scale(64), name='conv2_reduce')(x, train)
    ends['conv2_reduce'] = x
    x = conv(x.shape[-1], scale(192), window=3, name='conv2')(x, train)
    ends['conv2'] = x
    if arch.lrn:
      x = ends['lrn2'] = local_response_norm(x, *arch.lrn)
    x = ends['pool2'] = pool(x, 3)

    stage = '3'
    for block, spec in arch.specs:
      if block[0] != stage:
        x = pool(x, arch.last_pool if block == '5a' else 3)
        ends[f'pool{stage}'] = x
        stage = block[0]
      x = modules.InceptionModule(
        spec=InceptionSpec(*jax.tree.map(scale, tuple(spec))),
        conv=conv,
        form=self.module_form,
        padding=arch.padding,
        merge_1x1=self.merge_1x1,
        window_5x5=arch.window_5x5,
        name=f'inception_{block}',
      )(x, train)
      ends[f'inception_{block}'] = x
      if heads and block in AUX_TAPS:
        ends[f'aux_logits_{block}'] = modules.AuxiliaryHead(
          num_classes=self.num_classes,
          conv_features=scale(128),
          hidden_features=scale(1024),
          conv=conv,
          bias_value=arch.conv_bias_value,
          pool=arch.head_pool,
          dtype=self.dtype,
          name=f'aux_{block}',
        )(x, train, example_keys)

    x = ends['avg_pool'] = x.mean((1, 2), dtype=jnp.float32).astype(self.dtype)
    x = layers.Dropout(arch.dropout, name='dropout')(x, train, example_keys)
    logits = modules.classifier(self.num_classes, self.dtype)(x).astype(
      jnp.float32
    )
    ends['logits'] = logits
    return logits, ends

  def _scale(self, features: int) -> int:
    return max(1, round(self.width * features))

  def _conv_factory(self) -> Callable[..., layers.ConvBlock]:
    arch = self.architecture
    batch_norm = None
    if arch.batch_norm_epsilon is not None:
      batch_norm = functools.partial(
        nn.BatchNorm,
        momentum=self.batch_norm_momentum,
        epsilon=arch.batch_norm_epsilon,
        use_scale=arch.batch_norm_scale,
        axis_name=self.axis_name,
      )
    return functools.partial(
      layers.ConvBlock,
      padding=arch.padding,
      use_bias=arch.conv_bias,
      bias_value=arch.conv_bias_value,
      batch_norm=batch_norm,
      dtype=self.dtype,
    )


def check_image_size(
  architecture: Architecture, size: tuple[int, int], use_aux: bool
) -> None:
  """Raises ValueError if images of `size` (height, width) are too small."""
  smallest = MIN_SIZE
  if use_aux and architecture.head_pool != 'adaptive':
    smallest = MIN_SIZE_WITH_PAPER_HEADS
  if min(size) >= smallest:
    return
  remedy = ''
  if smallest != MIN_SIZE:
    remedy = (
      ' with auxiliary heads as in the paper; use larger images, '
      f"use_aux=False, or 'inception_v1_bn', whose heads take {MIN_SIZE}"
    )
  raise ValueError(
    f'images of {size[0]}x{size[1]} pixels are too small: the network needs'
    f' at least {smallest}x{smallest}{remedy}'
  )


def create_model(
  name: str = 'inception_v1',
  num_classes: int = 1000,
  use_aux: bool = True,
  width: float = 1.0,
  module_form: str = 'reduced',
  merge_1x1: bool = True,
  batch_norm_momentum: float = 0.9,
  axis_name: str | None = None,
  dtype: str | jnp.dtype = jnp.float32,
) -> GoogLeNet:
  """Builds a member of the Inception-v1 family by name.

  Args:
    name: a key of `ARCHITECTURES`.
    num_classes: outputs of every classifier.
    use_aux: whether to have the auxiliary heads, if the network has any (they
      run in training only).
    width: multiplier of the filters of every convolution, rounded to the
      nearest and at least 1. In the heads it scales the 1x1 convolution (128)
      and the dense layer (1024) alike; the outputs stay `num_classes`.
    module_form: 'reduced' (Figure 2b), 'naive' or 'naive_as_drawn' (2a).
    merge_1x1: run the 1x1 convolutions that read the same input as one.
    batch_norm_momentum: share of the old running statistics kept a step.
    axis_name: pmapped axis over which batch norm takes its statistics.
    dtype: type of the arithmetic, a type or its name such as 'bfloat16'.

  Returns:
    A Linen module; see `GoogLeNet.__call__`.

  Raises:
    ValueError: if an argument is out of its range.
  """
  architecture = architecture_of(name)
  if num_classes < 1:
    raise ValueError(f'num_classes must be positive, not {num_classes}')
  if not width > 0:
    raise ValueError(f'width must be positive, not {width}')
  if module_form not in modules.MODULE_FORMS:
    raise ValueError(
      f'unknown module_form {module_form!r}; known are'
      f' {", ".join(modules.MODULE_FORMS)}'
    )
  if not 0 <= batch_norm_momentum < 1:
    raise ValueError(
      f'batch_norm_momentum must be in [0, 1), not {batch_norm_momentum}'
    )
  return GoogLeNet(
    architecture=architecture,
    num_classes=num_classes,
    use_aux=use_aux and architecture.has_heads,
    width=width,
    module_form=module_form,
    merge_1x1=merge_1x1,
    batch_norm_momentum=batch_norm_momentum,
    axis_name=axis_name,
    dtype=jnp.dtype(dtype),
  )
