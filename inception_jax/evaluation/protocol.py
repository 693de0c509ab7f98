"""How runs are evaluated: which crops, and what is made of several."""

from collections.abc import Sequence
import dataclasses

from inception_jax.data import crops_144
from inception_jax.evaluation import crop_views
from inception_jax.runtime import errors, words


@dataclasses.dataclass(frozen=True)
class Protocol:
  """How a run is evaluated.

  Attributes:
    name: 'single', the run's own centre crop, or of `crops_144.PROTOCOLS`.
    aggregation: what is made of several crops, one of
      `crop_views.AGGREGATIONS`.
    scales: part of the protocol, see `crops_144.protocol`; None is all.
    squares: likewise.
    crops: likewise.
    mirrors: whether each crop is mirrored as well.

  Raises:
    InputError: if there is no such protocol, or part of it.
  """

  name: str = 'single'
  aggregation: str = 'mean_probability'
  scales: tuple[int, ...] | None = None
  squares: tuple[str, ...] | None = None
  crops: tuple[str, ...] | None = None
  mirrors: bool = True

  def __post_init__(self):
    for flag, value, known in (
      ('protocol', self.name, ('single', *crops_144.PROTOCOLS)),
      ('aggregation', self.aggregation, crop_views.AGGREGATIONS),
    ):
      if value not in known:
        raise errors.InputError(
          f'--{flag} must be one of {words.join(known, "or")}, not'
          f' {value!r}{errors.suggestion(value, known)}'
        )
    if self.name != 'single':
      self.crop(224)
    elif (self.scales, self.squares, self.crops) != (None,) * 3:
      raise errors.InputError(
        '--scales, --squares and --crops choose among the crops of'
        ' --protocol=ten_crop or multi_crop_144; give one of these'
      )

  def crop(self, size: int) -> crops_144.MultiCrop:
    """What is cut, for a network of `size` pixels; not of 'single'."""
    mirrors = (False, True) if self.mirrors else (False,)
    parts = (self.scales, self.squares, self.crops)
    try:
      return crops_144.protocol(self.name, size, *parts, mirrors)
    except ValueError as error:
      raise errors.InputError(f'--protocol={self.name}: {error}') from error

  def num_crops(self, size: int) -> int:
    """Of each picture, for a network of `size` pixels."""
    return 1 if self.name == 'single' else len(self.crop(size))


def from_flags(
  *,
  protocol: str | None,
  aggregation: str | None,
  scales: Sequence[str] | None,
  squares: Sequence[str] | None,
  crops: Sequence[str] | None,
  mirrors: bool,
) -> Protocol:
  """The protocol that the flags of the command line ask for.

  Args:
    protocol: see `Protocol.name`; None is 'single'.
    aggregation: see `Protocol`; None is 'mean_probability'.
    scales: whole numbers of pixels as texts; None is all.
    squares: see `Protocol`; None is all.
    crops: likewise.
    mirrors: see `Protocol`.

  Raises:
    InputError: if there is no such protocol, or part of it.
  """
  try:
    sides = tuple(map(int, scales)) if scales else None
  except ValueError as error:
    raise errors.InputError(
      f'--scales={",".join(scales)} must be whole numbers of pixels'
    ) from error
  return Protocol(
    name=protocol or 'single',
    aggregation=aggregation or 'mean_probability',
    scales=sides,
    squares=tuple(squares) if squares else None,
    crops=tuple(crops) if crops else None,
    mirrors=mirrors,
  )
