"""SGD with momentum, and RMSProp as TensorFlow computes it."""

from typing import Annotated, Any

import jax
import optax

from inception_jax.runtime import ranges

# Names of the modules that make classes of features: the classifiers.
_HEADS = ('classifier', 'aux_')
_Multiplier = Annotated[float, ranges.Range(0, 1000)]


def create_optimizer(
  *,
  learning_rate_fn: optax.Schedule,
  name: Annotated[str, ranges.OneOf(('sgd', 'rmsprop'))] = 'sgd',
  momentum: ranges.Decay = 0.9,
  weight_decay: Annotated[float, ranges.Range(0, 1)] = 0.0,
  bias_learning_rate_multiplier: _Multiplier = 1.0,
  decay_biases: bool = False,
  head_learning_rate_multiplier: _Multiplier | None = None,
  rms_decay: ranges.Decay = 0.9,
  epsilon: Annotated[float, ranges.Range(1e-12, 10)] = 1.0,
) -> optax.GradientTransformation:
  """SGD with momentum, as the paper trains with (section 6), or RMSProp.

  With `g = gradient + weight_decay * w`, SGD is
  `v <- momentum * v + g;  w <- w - rate * v`, and RMSProp, as Inception-v3 is
  trained with, `s <- rms_decay * s + (1 - rms_decay) * g^2`, from 1,
  `v <- momentum * v + rate * g / sqrt(s + epsilon);  w <- w - v`.

  Args:
    learning_rate_fn: learning rate of each step.
    name: 'sgd', the paper's (section 6), or 'rmsprop'.
    momentum: share of the last update that is kept; the paper's is 0.9 (section
      6).
    weight_decay: L2 decay of the kernels; the paper gives none, Caffe's
      GoogLeNet uses 2e-4.
    bias_learning_rate_multiplier: factor on the learning rate of everything
      that is not a kernel; Caffe's GoogLeNet uses 2.
    decay_biases: whether the decay is on biases, scales and offsets too.
    head_learning_rate_multiplier: factor on the learning rate of the main and
      the auxiliary classifiers, for those that are new where all else has been
      trained before; None is 1.
    rms_decay: of RMSProp, share of the old mean of squares kept a step.
    epsilon: of RMSProp, added to the mean of squares before the root is taken,
      as TensorFlow does; Inception-v3's is 1.

  Returns:
    An optax transformation.

  Raises:
    ValueError: if an argument is out of its range.
  """
  ranges.check(create_optimizer, locals())
  head_multiplier = head_learning_rate_multiplier
  parts = []
  if weight_decay:
    mask = None if decay_biases else is_kernel
    parts.append(optax.add_decayed_weights(weight_decay, mask))
  if name == 'sgd':
    parts.append(optax.trace(decay=momentum))
  else:
    # TensorFlow's mean of squares begins at one.
    rms = optax.scale_by_rms(
      rms_decay, epsilon, initial_scale=1.0, eps_in_sqrt=True
    )
    parts.append(rms)
  if bias_learning_rate_multiplier != 1:
    parts.append(
      optax.masked(
        optax.scale(bias_learning_rate_multiplier),
        lambda params: jax.tree.map(lambda x: not x, is_kernel(params)),
      )
    )
  if head_multiplier is not None:
    parts.append(optax.masked(optax.scale(head_multiplier), is_in_head))
  parts.append(optax.scale_by_learning_rate(learning_rate_fn))
  if name == 'rmsprop':
    parts.append(optax.trace(decay=momentum))
  return optax.chain(*parts)


def is_kernel(params: Any) -> Any:
  """Tree like `params`, True where the leaf is named 'kernel'."""
  return jax.tree_util.tree_map_with_path(
    lambda path, _: path[-1].key == 'kernel', params
  )


def is_in_head(params: Any) -> Any:
  """Tree like `params`, True in the main and the auxiliary classifiers."""
  return jax.tree_util.tree_map_with_path(
    lambda path, _: is_head(path[0].key), params
  )


def is_head(module: str) -> bool:
  """Whether a module of the network, by its name, is a classifier."""
  return module.startswith(_HEADS)
