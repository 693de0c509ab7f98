"""The training loss of three classifiers."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from inception_jax import metrics

AUX_PREFIX = 'aux_logits_'
# Of each auxiliary loss; Szegedy et al. 2014, section 5.
AUX_WEIGHT = 0.3


def head_logits(
  logits: jax.Array, end_points: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
  """Logits of every head that ran: `main`, and `aux_4a` and `aux_4d`."""
  heads = {'main': logits}
  for name, value in end_points.items():
    if name.startswith(AUX_PREFIX):
      heads['aux_' + name.removeprefix(AUX_PREFIX)] = value
  return heads


def total_loss(
  heads: Mapping[str, jax.Array],
  labels: jax.Array,
  aux_weight: float,
  label_smoothing: float = 0.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """`main + aux_weight * (aux_4a + aux_4d)`, each a mean cross-entropy.

  Args:
    heads: float32 logits `[batch, num_classes]` of each head, 'main' among
      them.
    labels: int32 `[batch]`.
    aux_weight: weight of each auxiliary loss; the paper's is `AUX_WEIGHT`.
    label_smoothing: share of the target that is equal for all classes, in
      [0, 1); the paper has none.

  Returns:
    The loss (float32 scalar, nats) and its parts: `loss`, and `loss_HEAD` and
    `top1_HEAD` of each head, all scalars.

  References:
    Szegedy et al. 2014, section 5. Label smoothing: Szegedy et al. 2015,
    Rethinking the Inception Architecture for Computer Vision, section 7.
  """
  parts, total = {}, jnp.zeros((), jnp.float32)
  for name, logits in heads.items():
    loss = _cross_entropy(logits.astype(jnp.float32), labels, label_smoothing)
    total += loss if name == 'main' else aux_weight * loss
    parts[f'loss_{name}'] = loss
    parts[f'top1_{name}'] = metrics.correct_within(logits, labels, 1).mean()
  parts['loss'] = total
  return total, parts


def _cross_entropy(
  logits: jax.Array, labels: jax.Array, label_smoothing: float
) -> jax.Array:
  if not label_smoothing:
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return losses.mean()
  targets = jax.nn.one_hot(labels, logits.shape[-1])
  targets = optax.smooth_labels(targets, label_smoothing)
  return optax.softmax_cross_entropy(logits, targets).mean()
