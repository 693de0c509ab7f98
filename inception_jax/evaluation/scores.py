"""Counts over answers, from which accuracies and their like are made once."""

from collections.abc import Mapping
import dataclasses
import heapq
from typing import Any

import numpy as np

# With fewer images an accuracy of 80 % has an interval of 15 % or more.
FEW_IMAGES = 100


def ranks(log_probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """How many classes are more probable than each label's.

  Args:
    log_probs: `[..., n, classes]`, of a monotonous scale.
    labels: int `[n]`.

  Returns:
    int `[..., n]`; of equally probable classes the lower comes first, as in
    `metrics.correct_within`.
  """
  index = np.broadcast_to(labels[:, None], (*log_probs.shape[:-1], 1))
  own = np.take_along_axis(log_probs, index, -1)
  before = np.arange(log_probs.shape[-1]) < labels[:, None]
  return ((log_probs > own) | ((log_probs == own) & before)).sum(-1)


def wilson_interval(count: int, total: int) -> tuple[float, float]:
  """95 % interval of a share, by Wilson's score.

  Args:
    count: how many of `total`, which is positive.

  Returns:
    Its ends, 0 to 1; exactly 0 or 1 where none or all are counted.

  References:
    Wilson 1927, Probable inference, the law of succession, and statistical
    inference.
  """
  from scipy import stats  # A second to import; only reports need it.

  low, high = stats.binomtest(count, total).proportion_ci(method='wilson')
  return float(low), float(high)


def with_interval(share: float, total: int) -> str:
  """A share with its 95 % interval, for messages.

  Args:
    share: 0 to 1.
    total: of how many, which is positive.

  Returns:
    Such as '73.5 % (70.7 to 76.1 % with 95 % confidence)'.
  """
  low, high = (100 * x for x in wilson_interval(round(share * total), total))
  return f'{100 * share:.1f} % ({low:.1f} to {high:.1f} % with 95 % confidence)'


def with_top1_interval(means: Mapping[str, Any]) -> dict[str, Any]:
  """Adds `top1_interval`, of 95 %, to `Scores.means()` or more than that."""
  total = means['num_images']
  low, high = wilson_interval(round(means['top1'] * total), total)
  return {**means, 'top1_interval': [low, high]}


def paired_difference(
  first: np.ndarray, second: np.ndarray
) -> tuple[float, float, float]:
  """Difference of two shares of the same images, with its 95 % interval.

  Args:
    first: bool `[n]`, whether each image is right.
    second: likewise, by another network.

  Returns:
    The share of `first` minus that of `second`, and the ends of the interval,
    all three 0 if the two agree on every image.

  References:
    Agresti and Min 2005, Simple improved confidence intervals for comparing
    matched proportions.
  """
  gained, lost = int((first & ~second).sum()), int((second & ~first).sum())
  if not gained + lost:
    return 0.0, 0.0, 0.0
  total = len(first)
  middle = (gained - lost) / (total + 2)
  variance = (gained + lost + 1) / (total + 2) - middle**2
  width = 1.96 * (variance / (total + 2)) ** 0.5
  low, high = max(middle - width, -1.0), min(middle + width, 1.0)
  return (gained - lost) / total, low, high


@dataclasses.dataclass
class Scores:
  """Accuracy and loss.

  Attributes:
    num_images: counted so far.
    top1: of them, how many are right.
    top5: how many have the label among the five most probable classes.
    loss: sum, nats.
  """

  num_images: int = 0
  top1: int = 0
  top5: int = 0
  loss: float = 0.0

  def add(self, log_probs: np.ndarray, labels: np.ndarray) -> None:
    """Counts pictures: log_probs `[n, classes]`, labels int `[n]`."""
    rank = ranks(log_probs, labels)
    own = np.take_along_axis(log_probs, labels[:, None], -1)
    self.num_images += len(labels)
    self.top1 += int((rank < 1).sum())
    self.top5 += int((rank < 5).sum())
    self.loss -= float(own.sum(dtype=np.float64))

  def means(self) -> dict[str, float]:
    """`top1, top5` (0 to 1), `loss` (nats), `num_images`."""
    return {
      'top1': self.top1 / self.num_images,
      'top5': self.top5 / self.num_images,
      'loss': self.loss / self.num_images,
      'num_images': self.num_images,
    }


class Calibration:
  """How often the most probable class is right, by how probable it is.

  Args:
    num_bins: equal parts of 0 to 1.

  References:
    Guo et al. 2017, On calibration of modern neural networks.
  """

  def __init__(self, num_bins: int = 15):
    self.counts = np.zeros(num_bins, np.int64)
    self._right = np.zeros(num_bins, np.int64)
    self._confidence = np.zeros(num_bins)

  def add(self, log_probs: np.ndarray, labels: np.ndarray) -> None:
    """Counts pictures: log_probs `[n, classes]`, labels int `[n]`."""
    confidence = np.exp(log_probs.max(-1).astype(np.float64))
    last = len(self.counts) - 1
    # (0, 1/bins], ..., as in the paper.
    bins = np.clip(
      np.ceil(confidence * len(self.counts)).astype(int) - 1, 0, last
    )
    np.add.at(self.counts, bins, 1)
    np.add.at(self._right, bins, log_probs.argmax(-1) == labels)
    np.add.at(self._confidence, bins, confidence)

  @property
  def accuracy(self) -> np.ndarray:
    """Of each bin, `[bins]`; NaN where there is no picture."""
    return _divide(self._right, self.counts)

  @property
  def confidence(self) -> np.ndarray:
    """Mean of each bin, `[bins]`; NaN where there is no picture."""
    return _divide(self._confidence, self.counts)

  @property
  def expected_error(self) -> float:
    """Expected calibration error, 0 to 1."""
    gaps = np.abs(self._right - self._confidence)
    return float(gaps.sum() / self.counts.sum())


def _divide(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
  return np.divide(
    sums, counts, out=np.full(len(counts), np.nan), where=counts > 0
  )


class Confusions:
  """What is taken for what.

  Args:
    num_classes: rows (labels) and columns (predictions).
  """

  def __init__(self, num_classes: int):
    self.matrix = np.zeros((num_classes, num_classes), np.int64)
    self._top5 = np.zeros(num_classes, np.int64)

  def add(self, log_probs: np.ndarray, labels: np.ndarray) -> None:
    """Counts pictures: log_probs `[n, classes]`, labels int `[n]`."""
    np.add.at(self.matrix, (labels, log_probs.argmax(-1)), 1)
    np.add.at(self._top5, labels, ranks(log_probs, labels) < 5)

  @property
  def num_images(self) -> np.ndarray:
    """Pictures of each class, `[classes]`."""
    return self.matrix.sum(1)

  @property
  def top1(self) -> np.ndarray:
    """Share of each class that is right, `[classes]`, NaN without pictures."""
    return _divide(np.diag(self.matrix), self.num_images)

  @property
  def top5(self) -> np.ndarray:
    """As `top1`, among the five most probable."""
    return _divide(self._top5, self.num_images)

  def most_frequent(self, count: int) -> list[tuple[int, int, int]]:
    """`(label, prediction, pictures)` of the commonest mistakes."""
    wrong = self.matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind='stable')[:count]
    places = np.stack(np.unravel_index(order, wrong.shape), -1).tolist()
    return [(i, j, int(wrong[i, j])) for i, j in places if wrong[i, j]]


@dataclasses.dataclass(frozen=True)
class Mistake:
  """A picture that is taken for something else.

  Attributes:
    index: of the picture in its set.
    label: its class.
    prediction: the most probable class.
    confidence: probability of that class.
    label_probability: probability of the label's.
  """

  index: int
  label: int
  prediction: int
  confidence: float
  label_probability: float


class WorstMistakes:
  """The mistakes with the greatest confidence.

  Args:
    count: how many to keep.
  """

  def __init__(self, count: int):
    self._count = count
    self._heap: list[tuple[float, int, Mistake]] = []

  def add(
    self, log_probs: np.ndarray, labels: np.ndarray, indices: np.ndarray
  ) -> None:
    """Looks at pictures: as elsewhere, and their places in the set, `[n]`."""
    predictions = log_probs.argmax(-1)
    for place in np.flatnonzero(predictions != labels):
      row = log_probs[place]
      mistake = Mistake(
        int(indices[place]),
        int(labels[place]),
        int(predictions[place]),
        float(np.exp(row.max())),
        float(np.exp(row[labels[place]])),
      )
      entry: Any = (mistake.confidence, -mistake.index, mistake)
      if len(self._heap) < self._count:
        heapq.heappush(self._heap, entry)
      else:
        heapq.heappushpop(self._heap, entry)

  def worst_first(self) -> list[Mistake]:
    return [entry[2] for entry in sorted(self._heap, reverse=True)]
