"""The metrics of the steps between two lines of the log."""

from collections.abc import Mapping
import dataclasses


@dataclasses.dataclass
class MetricWindow:
  """Means of the metrics since the last line of the log.

  Attributes:
    sums: of each metric, by name.
    count: of the steps in them.
  """

  sums: dict[str, float] = dataclasses.field(default_factory=dict)
  count: int = 0

  def add(self, values: Mapping[str, float]) -> None:
    for name, value in values.items():
      self.sums[name] = self.sums.get(name, 0.0) + value
    self.count += 1

  def means(self) -> dict[str, float]:
    return {name: total / self.count for name, total in self.sums.items()}
