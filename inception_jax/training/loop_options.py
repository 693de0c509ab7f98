"""When the training loop logs, evaluates and saves."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class LoopOptions:
  """When the loop does what.

  Attributes:
    num_train_steps: step at which training ends.
    batch_size: global batch size, for images a second.
    num_classes: outputs, for the loss of a head that has learnt nothing.
    log_every_steps: steps between lines of the log.
    eval_every_steps: steps between evaluations; there is one at the end.
    checkpoint_every_steps: steps between checkpoints; likewise.
    checkpoint_every_minutes: age of the last at which there is another; None is
      by steps alone.
    dead_head_steps: steps after which a head must have learnt something.
  """

  num_train_steps: int
  batch_size: int
  num_classes: int
  log_every_steps: int
  eval_every_steps: int
  checkpoint_every_steps: int
  dead_head_steps: int
  checkpoint_every_minutes: float | None = None

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if value is not None and value <= 0:
        raise ValueError(f'{field.name} must be positive, not {value}')
