"""The handwritten digits that scikit-learn ships, as a TFDS dataset.

1,797 images of 8x8 pixels and 16 grey levels. Small enough to come with a
package, real enough to show that training works: the embedded default.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

NUM_TEST = 360


class Digits(tfds.core.GeneratorBasedBuilder):
  """scikit-learn's digits as PNG records, 1,437 train and 360 test."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(shape=(8, 8, 1), encoding_format='png'),
          'label': tfds.features.ClassLabel(names=[str(d) for d in range(10)]),
        }
      ),
      supervised_keys=('image', 'label'),
      description=__doc__,
      homepage=(
        'https://archive.ics.uci.edu/dataset/80/'
        'optical+recognition+of+handwritten+digits'
      ),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    del dl_manager  # Nothing is downloaded.
    order = np.random.RandomState(0).permutation(1797)
    return {
      'train': self._generate_examples(order[NUM_TEST:]),
      'test': self._generate_examples(order[:NUM_TEST]),
    }

  def _generate_examples(
    self, indices: np.ndarray
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    from sklearn import datasets  # pylint: disable=g-import-not-at-top

    digits = datasets.load_digits()
    for key, index in enumerate(indices):
      grey = np.round(digits.images[index] * (255 / 16)).astype(np.uint8)
      yield key, {'image': grey[..., None], 'label': int(digits.target[index])}
