"""GoogLeNet (Inception-v1): stem, modules, auxiliary heads and classifier.

References:
  Szegedy et al. 2014, Going Deeper with Convolutions, arXiv 1409.4842.
"""

from collections.abc import Callable
import functools
from typing import Annotated

from flax import linen as nn
import jax
import jax.numpy as jnp

from inception_jax.models import layers, modules, pooling
from inception_jax.models.architectures import (
  ARCHITECTURES,
  NAMES,
  Architecture,
  InceptionSpec,
  architecture_of,
)
from inception_jax.models.local_response_norm import local_response_norm
from inception_jax.runtime import ranges

# float64 would be computed in float32, as JAX is set by default.
DTYPES = ('float32', 'bfloat16', 'float16')


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
    arch, ends = self.architecture, {}
    heads = self.use_aux and (train or self.is_initializing())
    check_image_size(arch, x.shape[1:3], heads)
    x = self._stem(x.astype(self.dtype), train, ends)
    stage = '3'
    for block, spec in arch.specs:
      if block[0] != stage:
        window = arch.last_pool if block[0] == '5' else 3
        x = ends[f'pool{stage}'] = self._pool(x, window)
        stage = block[0]
      x = ends[f'inception_{block}'] = self._module(block, spec)(x, train)
      if heads and block in arch.head_taps:
        head = self._auxiliary_head(block)
        ends[f'aux_logits_{block}'] = head(x, train, example_keys)
    x = ends['avg_pool'] = x.mean((1, 2), dtype=jnp.float32).astype(self.dtype)
    x = layers.Dropout(arch.dropout, name='dropout')(x, train, example_keys)
    logits = modules.classifier(self.num_classes, self.dtype)(x)
    ends['logits'] = logits = logits.astype(jnp.float32)
    return logits, ends

  def _stem(
    self, x: jax.Array, train: bool, ends: dict[str, jax.Array]
  ) -> jax.Array:
    """Table 1 up to 3a, `[N, H, W, 3]` -> `[N, H / 8, W / 8, 192]`.

    Adds what it computes to `ends`.
    """
    conv, scale = self._conv_factory(), self._scale
    lrn = self.architecture.lrn
    x = conv(3, scale(64), window=7, stride=2, name='conv1')(x, train)
    ends['conv1'] = x
    x = ends['pool1'] = self._pool(x, 3)
    if lrn:
      x = ends['lrn1'] = local_response_norm(x, *lrn)
    x = conv(x.shape[-1], scale(64), name='conv2_reduce')(x, train)
    ends['conv2_reduce'] = x
    x = conv(x.shape[-1], scale(192), window=3, name='conv2')(x, train)
    ends['conv2'] = x
    if lrn:
      x = ends['lrn2'] = local_response_norm(x, *lrn)
    x = ends['pool2'] = self._pool(x, 3)
    return x

  def _pool(self, x: jax.Array, window: int) -> jax.Array:
    """The pooling of stride 2 between stages."""
    return pooling.max_pool(x, window, 2, self.architecture.pool_padding)

  def _module(self, block: str, spec: InceptionSpec) -> modules.InceptionModule:
    return modules.InceptionModule(
      spec=InceptionSpec(*jax.tree.map(self._scale, tuple(spec))),
      conv=self._conv_factory(),
      form=self.module_form,
      padding=self.architecture.padding,
      merge_1x1=self.merge_1x1,
      window_5x5=self.architecture.window_5x5,
      name=f'inception_{block}',
    )

  def _auxiliary_head(self, block: str) -> modules.AuxiliaryHead:
    return modules.AuxiliaryHead(
      num_classes=self.num_classes,
      conv_features=self._scale(128),
      hidden_features=self._scale(1024),
      conv=self._conv_factory(),
      bias_value=self.architecture.conv_bias_value,
      pool=self.architecture.head_pool,
      dtype=self.dtype,
      name=f'aux_{block}',
    )

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
  smallest = architecture.min_size
  if use_aux:
    smallest = architecture.min_size_with_heads
  if min(size) >= smallest:
    return
  remedy = ''
  if smallest != architecture.min_size:
    other = 'inception_v1_bn'
    remedy = (
      ' with auxiliary heads as in the paper; use larger images, use_aux=False,'
      f' or {other!r}, whose heads take'
      f' {architecture_of(other).min_size_with_heads}'
    )
  raise ValueError(
    f'images of {size[0]}x{size[1]} pixels are too small: the network needs'
    f' at least {smallest}x{smallest}{remedy}'
  )


def create_model(
  name: Annotated[
    str, ranges.OneOf(NAMES, shown=tuple(ARCHITECTURES))
  ] = 'inception_v1',
  num_classes: Annotated[int, ranges.Range(1, 100_000)] = 1000,
  use_aux: bool = True,
  width: Annotated[float, ranges.Range(0.001, 10)] = 1.0,
  module_form: Annotated[str, ranges.OneOf(modules.MODULE_FORMS)] = 'reduced',
  merge_1x1: bool = True,
  batch_norm_momentum: ranges.Decay = 0.9,
  axis_name: str | None = None,
  dtype: Annotated[str, ranges.OneOf(DTYPES)] = 'float32',
) -> GoogLeNet:
  """Builds a member of the Inception-v1 family by name.

  Args:
    name: the network; 'inception_v1' is the paper's (section 5, Table 1).
    num_classes: outputs of every classifier; of a config that gives none, as
      many as the data has classes.
    use_aux: whether to have the paper's auxiliary heads (section 5), if the
      network has any (they run in training only).
    width: multiplier of the filters of every convolution, rounded to the
      nearest and at least 1. In the heads it scales the 1x1 convolution (128)
      and the dense layer (1024) alike; the outputs stay `num_classes`. One of
      the paper's seven networks is wider (section 7).
    module_form: 'reduced', the paper's (section 4, Figure 2b), 'naive' or
      'naive_as_drawn' (Figure 2a).
    merge_1x1: run the 1x1 convolutions that read the same input as one.
    batch_norm_momentum: share of the old running statistics kept a step.
    axis_name: pmapped axis over which batch norm takes its statistics.
    dtype: type of the arithmetic; the weights are float32.

  Returns:
    A Linen module; see `GoogLeNet.__call__`.

  Raises:
    ValueError: if an argument is out of its range.
  """
  if not isinstance(dtype, str):
    dtype = jnp.dtype(dtype).name
  ranges.check(create_model, locals())
  architecture = architecture_of(name)
  return GoogLeNet(
    architecture=architecture,
    num_classes=num_classes,
    use_aux=use_aux and bool(architecture.head_taps),
    width=width,
    module_form=module_form,
    merge_1x1=merge_1x1,
    batch_norm_momentum=batch_norm_momentum,
    axis_name=axis_name,
    dtype=jnp.dtype(dtype),
  )
