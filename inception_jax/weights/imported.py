"""What an importer makes of a file."""

import dataclasses
from typing import Any

from inception_jax import preprocess
from inception_jax.data import crop_rules, labels


@dataclasses.dataclass(frozen=True)
class ImportedNetwork:
  """A network that was trained elsewhere, in our names and shapes.

  Attributes:
    model_arguments: of `models.create_model`.
    variables: host arrays float32, `{'params': ..., 'batch_stats': ...}`.
    preprocessing: pixels to network input.
    eval_crop: picture to pixels.
    labels: what each output means.
    missing: names that the source should hold and does not.
    unused: names that the source holds and the network has no place for.
    card: origin, licence and what is known of the accuracy; for `card.json`.
  """

  model_arguments: dict[str, Any]
  variables: dict[str, Any]
  preprocessing: preprocess.Preprocessing
  eval_crop: crop_rules.EvaluationCrop
  labels: labels.LabelMap
  missing: tuple[str, ...]
  unused: tuple[str, ...]
  card: dict[str, Any]
