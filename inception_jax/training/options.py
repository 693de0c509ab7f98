"""How long to train, on how many images at a time, and when to report."""

import dataclasses

from inception_jax.training import losses


@dataclasses.dataclass(frozen=True)
class TrainOptions:
  """Section `train` of a config.

  Attributes:
    batch_size: global batch size.
    eval_batch_size: global batch size of evaluation.
    num_epochs: passes over the training set, if `num_train_steps` is None.
    num_train_steps: updates, or None to go by `num_epochs`.
    seed: of weights, order, crops, augmentation and dropout.
    init_seed: of the initial weights alone; None is `seed`.
    aux_weight: weight of each auxiliary loss (the paper's, 0.3).
    num_microbatches: parts of a device's batch, handled one after another.
    log_every_steps: steps between lines of the log.
    eval_every_steps: steps between evaluations; there is one at the end.
    checkpoint_every_steps: steps between checkpoints; likewise.
    keep_checkpoints: newest checkpoints to keep.
    dead_head_steps: steps after which a head must have learnt something.
    check_replicas: compare the state of all devices at every checkpoint.
  """

  batch_size: int
  eval_batch_size: int
  num_epochs: float | None = None
  num_train_steps: int | None = None
  seed: int = 0
  init_seed: int | None = None
  aux_weight: float = losses.AUX_WEIGHT
  num_microbatches: int = 1
  log_every_steps: int = 100
  eval_every_steps: int = 5000
  checkpoint_every_steps: int = 5000
  keep_checkpoints: int = 3
  dead_head_steps: int = 1000
  check_replicas: bool = False

  def __post_init__(self):
    positive = (
      'batch_size',
      'eval_batch_size',
      'num_epochs',
      'num_train_steps',
      'num_microbatches',
      'log_every_steps',
      'eval_every_steps',
      'checkpoint_every_steps',
      'keep_checkpoints',
      'dead_head_steps',
    )
    for name in positive:
      value = getattr(self, name)
      if value is not None and not value > 0:
        raise ValueError(f'{name} must be positive, not {value}')
    if self.num_epochs is None and self.num_train_steps is None:
      raise ValueError('num_epochs or num_train_steps must be given')
    if self.aux_weight < 0:
      raise ValueError(f'aux_weight must not be negative: {self.aux_weight}')
