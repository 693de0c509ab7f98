"""How images are cut, as data. Needs no TensorFlow; `crops` does the work."""

import dataclasses
import itertools

ASPECT_RATIO_LAWS = ('log_uniform', 'uniform')
INTERPOLATIONS = ('bilinear', 'area', 'nearest', 'bicubic')
EVALUATION_CROPS = (
  'shorter_side',
  'center_square',
  'central_fraction',
  'warp',
)
# Of a landscape from left to right, of a portrait from top to bottom.
SQUARES = ('first', 'center', 'last')
CORNERS = ('top_left', 'top_right', 'bottom_left', 'bottom_right')
SQUARE_CROPS = (*CORNERS, 'center', 'whole')
# Shorter sides at 224 pixels, squares and crops. Section 7 of the paper gives
# the 144; the ten are Krizhevsky's (2012), of the central square at 256.
PROTOCOLS = {
  'ten_crop': ((256,), ('center',), (*CORNERS, 'center')),
  'multi_crop_144': ((256, 288, 320, 352), SQUARES, SQUARE_CROPS),
}


@dataclasses.dataclass(frozen=True)
class DistortedCrop:
  """The paper's training crop (section 6).

  Attributes:
    size: height and width of the result, pixels.
    area_range: smallest and largest share of the image's area, drawn
      uniformly.
    aspect_ratio_range: smallest and largest ratio of width to height.
    aspect_ratio_law: how the ratio is drawn: 'log_uniform', so that a ratio
      and its inverse are equally likely, or 'uniform'. The paper says neither.
    interpolations: of `INTERPOLATIONS`; one is drawn for each image, all
      equally likely.
  """

  size: int
  area_range: tuple[float, float]
  aspect_ratio_range: tuple[float, float]
  aspect_ratio_law: str
  interpolations: tuple[str, ...]

  def __post_init__(self):
    low, high = self.area_range
    if not 0 < low <= high <= 1:
      raise ValueError(
        f'area_range must be in (0, 1] and ascending, not {self.area_range}'
      )
    low, high = self.aspect_ratio_range
    if not 0 < low <= high:
      raise ValueError(
        'aspect_ratio_range must be positive and ascending, not'
        f' {self.aspect_ratio_range}'
      )
    check_choice('aspect_ratio_law', self.aspect_ratio_law, ASPECT_RATIO_LAWS)
    if not self.interpolations:
      raise ValueError(f'interpolations must name some of {INTERPOLATIONS}')
    for name in self.interpolations:
      check_choice('interpolations', name, INTERPOLATIONS)

  @property
  def shape(self) -> tuple[int, int, int]:
    """Of the result."""
    return (self.size, self.size, 3)


@dataclasses.dataclass(frozen=True)
class EvaluationCrop:
  """A crop without chance, by name.

  - 'shorter_side': the picture resized so that its shorter side is 256, and
    the central 224 square of it.
  - 'center_square': the central square of the picture, resized.
  - 'central_fraction': the central 87.5 % of each side, warped to a square, as
    TF-slim does.
  - 'warp': the picture warped to a square of 256, and its central 224 square,
    as Caffe does.

  256 and 224 stand for `round(size * 256 / 224)` and `size`.

  Attributes:
    size: height and width of the result, pixels.
    name: one of `EVALUATION_CROPS`.
  """

  size: int
  name: str

  def __post_init__(self):
    if not isinstance(self.size, int) or self.size < 1:
      raise ValueError(f'size must be a positive number, not {self.size!r}')
    check_choice('eval_crop', self.name, EVALUATION_CROPS)

  @property
  def shape(self) -> tuple[int, int, int]:
    """Of the result."""
    return (self.size, self.size, 3)


def check_choice(field: str, value: str, known: tuple[str, ...]) -> None:
  if value not in known:
    raise ValueError(
      f'{field} must be one of {", ".join(known)}, not {value!r}'
    )


@dataclasses.dataclass(frozen=True)
class MultiCrop:
  """Many crops of one picture, in the manner of the paper's section 7.

  The picture is resized so that its shorter side is each of `shorter_sides`; of
  each of these, squares of that side are taken; and of each square, crops.

  Attributes:
    size: height and width of the crops, pixels.
    shorter_sides: of the resized picture, pixels, at least `size`.
    squares: of `SQUARES`; 'first' is the left one, of a portrait the top one.
    crops: of `SQUARE_CROPS`; 'whole' is the square resized.
    mirrors: whether crops are mirrored, `(False, True)` for both.
  """

  size: int
  shorter_sides: tuple[int, ...]
  squares: tuple[str, ...] = SQUARES
  crops: tuple[str, ...] = SQUARE_CROPS
  mirrors: tuple[bool, ...] = (False, True)

  def __post_init__(self):
    for field in ('shorter_sides', 'squares', 'crops', 'mirrors'):
      values = getattr(self, field)
      if not values or len(set(values)) != len(values):
        raise ValueError(f'{field} must be some, each once, not {values}')
    for name in self.squares:
      check_choice('squares', name, SQUARES)
    for name in self.crops:
      check_choice('crops', name, SQUARE_CROPS)
    if min(self.shorter_sides) < self.size:
      raise ValueError(
        f'shorter_sides must be at least {self.size}, not {self.shorter_sides}'
      )

  def __len__(self) -> int:
    """Number of crops."""
    return len(self.list())

  def list(self) -> list[tuple[int, str, str, bool]]:
    """Shorter side, square, crop and mirror of each crop, in order."""
    return list(
      itertools.product(
        self.shorter_sides, self.squares, self.crops, self.mirrors
      )
    )

  @property
  def parts(self) -> tuple[tuple[int, int], ...]:
    """Number and side of the squares that cross to the device, in order.

    For each shorter side its squares, if crops are cut of them, and then these
    resized, if they are wanted whole.
    """
    found = []
    for side in self.shorter_sides:
      if self.crops != ('whole',):
        found.append((len(self.squares), side))
      if 'whole' in self.crops:
        found.append((len(self.squares), self.size))
    return tuple(found)

  @property
  def shape(self) -> tuple[int]:
    """Of a picture's parts, uint8, one after the other."""
    return (sum(3 * count * side**2 for count, side in self.parts),)


def protocol(name: str, size: int) -> MultiCrop:
  """A test protocol by name.

  Args:
    name: of `PROTOCOLS`.
    size: of the crops; shorter sides are the paper's times `size / 224`.
  """
  check_choice('protocol', name, tuple(PROTOCOLS))
  sides, squares, crops = PROTOCOLS[name]
  return MultiCrop(
    size,
    tuple(round(side * size / 224) for side in sides),
    squares,
    crops,
  )
