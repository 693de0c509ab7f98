"""Heads that do not learn, as those of the plain network often do not."""

from collections.abc import Mapping
import math

# A head whose loss is within this share of ln(classes) has learnt nothing.
DEAD_HEAD_MARGIN = 0.01
# A head whose loss is below this share of it has learnt something.
LEARNING_SHARE = 0.95


def dead_heads(means: Mapping[str, float], num_classes: int) -> dict[str, str]:
  """Heads that have learnt nothing, with a warning for each.

  A head is dead while its loss is within 1 % of ln(classes).

  Args:
    means: `loss_HEAD` of each head, nats.
    num_classes: outputs of each head.

  Returns:
    Warning by name of the head.
  """
  chance = math.log(num_classes)
  heads = {
    name.removeprefix('loss_'): value
    for name, value in means.items()
    if name.startswith('loss_')
  }
  dead = {
    name: value
    for name, value in heads.items()
    if abs(value - chance) <= DEAD_HEAD_MARGIN * chance
  }
  learning = [
    name for name, value in heads.items() if value < LEARNING_SHARE * chance
  ]
  others = f'{" and ".join(sorted(learning)) or "no other head"} learns'
  return {
    name: (
      f'head {name} has learnt nothing (its loss {value:.3f} is'
      f' ln({num_classes}) = {chance:.3f}) while {others}; lower'
      ' learning_rate.init_value (0.01 at batch 32 is known good for the'
      ' plain network, 0.005 is safer), keep the uniform initialisation'
      " and biases of 0.2, or train model.name='inception_v1_bn'"
    )
    for name, value in dead.items()
  }
