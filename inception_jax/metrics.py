"""Sums over examples, from which accuracies and losses are made once."""

from collections.abc import Mapping

import jax
from jax import lax
import jax.numpy as jnp
import optax


def correct_within(logits: jax.Array, labels: jax.Array, k: int) -> jax.Array:
  """Whether each label is among the k largest logits.

  Args:
    logits: `[batch, num_classes]`.
    labels: int32 `[batch]`.
    k: how many guesses count; more than num_classes is all of them.

  Returns:
    bool `[batch]`. Ties go to the lower class index, so equal logits score no
    better than chance; logits with a NaN among them are never correct.
  """
  _, guesses = lax.top_k(logits, min(k, logits.shape[-1]))
  found = (guesses == labels[:, None]).any(-1)
  return found & ~jnp.isnan(logits).any(-1)


def classification_sums(
  logits: jax.Array, labels: jax.Array, mask: jax.Array
) -> dict[str, jax.Array]:
  """Sums over the examples where `mask` is True.

  Args:
    logits: float32 `[batch, num_classes]`.
    labels: int32 `[batch]`.
    mask: bool `[batch]`; False marks padding.

  Returns:
    `num_images, top1, top5` (int32) and `loss` (float32), all scalars.
  """
  loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return {
    'num_images': mask.sum(dtype=jnp.int32),
    'top1': (correct_within(logits, labels, 1) & mask).sum(dtype=jnp.int32),
    'top5': (correct_within(logits, labels, 5) & mask).sum(dtype=jnp.int32),
    'loss': jnp.where(mask, loss, 0.0).sum(),
  }


def means_of_sums(sums: Mapping[str, float]) -> dict[str, float]:
  """Divides host sums by `num_images`.

  Args:
    sums: `classification_sums` added over all batches.

  Returns:
    `top1, top5` in 0 to 1, `loss` in nats, and `num_images`.
  """
  num_images = int(sums['num_images'])
  return {
    'top1': float(sums['top1']) / num_images,
    'top5': float(sums['top5']) / num_images,
    'loss': float(sums['loss']) / num_images,
    'num_images': num_images,
  }
