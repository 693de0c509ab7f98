"""How long to train, on how many images at a time, and when to report."""

import dataclasses
from typing import Annotated

from inception_jax.runtime import ranges
from inception_jax.training import losses


@dataclasses.dataclass(frozen=True)
class TrainOptions:
  """Section `train` of a config.

  Attributes:
    batch_size: images of one update, over all devices; the paper gives none,
      Caffe's GoogLeNet uses 32.
    eval_batch_size: images that are evaluated at a time, over all devices.
    num_epochs: passes over the training set, if `num_train_steps` is None.
    num_train_steps: updates, or None to go by `num_epochs`.
    min_train_steps: updates at least, where `num_epochs` of few images are
      fewer; None is no such floor.
    seed: of weights, order, crops, augmentation and dropout.
    init_seed: of the initial weights alone; None is `seed`.
    aux_weight: weight of each auxiliary loss; the paper's is 0.3 (section 5).
    label_smoothing: share of each target that is equal for all classes; the
      paper has none, Inception-v3 0.1.
    num_microbatches: parts of a device's batch, handled one after another.
    log_every_steps: steps between lines of the log.
    eval_every_steps: steps between evaluations; there is one at the end.
    checkpoint_every_steps: steps between checkpoints; there is one at the end.
    checkpoint_every_minutes: a checkpoint is written once the last is so old,
      too, by the clock of the first process; None is by steps alone.
    keep_checkpoints: newest checkpoints to keep.
    dead_head_steps: steps after which a head must have learnt something.
    check_replicas: compare the state of all devices at every checkpoint.
    profile_steps: the first and the last step of which each process writes a
      profile for xprof to `profile/` in the run directory; None is none.
    debug_nans: stop in the operation that first makes a NaN; slow.
  """

  batch_size: ranges.BatchSize
  eval_batch_size: ranges.BatchSize
  num_epochs: ranges.Epochs | None = None
  num_train_steps: ranges.Steps | None = None
  min_train_steps: ranges.Steps | None = None
  seed: ranges.Seed = 0
  init_seed: ranges.Seed | None = None
  aux_weight: Annotated[float, ranges.Range(0, 100)] = losses.AUX_WEIGHT
  label_smoothing: Annotated[float, ranges.Range(0, 0.999)] = 0.0
  num_microbatches: ranges.BatchSize = 1
  log_every_steps: ranges.Steps = 100
  eval_every_steps: ranges.Steps = 5000
  checkpoint_every_steps: ranges.Steps = 5000
  checkpoint_every_minutes: (
    Annotated[float, ranges.Range(0.01, 100_000)] | None
  ) = None
  keep_checkpoints: ranges.Steps = 3
  dead_head_steps: ranges.Steps = 1000
  check_replicas: bool = False
  profile_steps: tuple[ranges.Steps, ranges.Steps] | None = None
  debug_nans: bool = False

  def __post_init__(self):
    ranges.check(type(self), vars(self))
    if self.num_epochs is None and self.num_train_steps is None:
      raise ValueError('num_epochs or num_train_steps must be given')
    if self.profile_steps and self.profile_steps[0] > self.profile_steps[1]:
      raise ValueError(
        'profile_steps are the first and the last step, in this order, not'
        f' {tuple(self.profile_steps)}'
      )
