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

# Of a pixel of a picture that shrinks to no less than a half, at most; see
# `resampling.bilinear_taps`.
CANVAS_TAPS = 5


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
    TF-slim does by TensorFlow's old `resize_bilinear`.
  - 'warp': the picture warped to a square of 256, and its central 224 square,
    as Caffe's tools do by OpenCV.

  Resizing is bilinear; of the last two without a filter against aliasing.

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

  def nested(self) -> tuple['MultiCrop', ...]:
    """Smaller and smaller parts of these crops, the smallest first.

    One crop (of the smallest picture the central square's central one, where
    there are such); its mirror image; the corners; the whole square; the other
    squares; and then the larger pictures, one after the other. Of the paper's
    144: 1, 2, 10, 12, 36, 72, 108 and 144, the first and the third of which are
    the 1 and the 10 of its Table 3.
    """
    square = 'center' if 'center' in self.squares else self.squares[0]
    crop = 'center' if 'center' in self.crops else self.crops[0]
    cut = tuple(name for name in self.crops if name != 'whole') or self.crops
    first = MultiCrop(
      self.size,
      self.shorter_sides[:1],
      (square,),
      (crop,),
      self.mirrors[:1],
    )
    found = [first]
    for changes in (
      {'mirrors': self.mirrors},
      {'crops': cut},
      {'crops': self.crops},
      {'squares': self.squares},
      *(
        {'shorter_sides': self.shorter_sides[:count]}
        for count in range(2, len(self.shorter_sides) + 1)
      ),
    ):
      larger = dataclasses.replace(found[-1], **changes)
      if len(larger) > len(found[-1]):
        found.append(larger)
    return tuple(found)

  def places_of(self, part: 'MultiCrop') -> tuple[int, ...]:
    """Where in `list()` the crops of a part of them are."""
    places = {crop: place for place, crop in enumerate(self.list())}
    return tuple(places[crop] for crop in part.list())

  @property
  def crops_a_square(self) -> int:
    """Number of crops of each square, mirrored ones counted."""
    return len(self.crops) * len(self.mirrors)

  @property
  def parts(self) -> tuple[tuple[int, int], ...]:
    """Number and side of the squares of a picture, in order."""
    return tuple((len(self.squares), side) for side in self.shorter_sides)

  @property
  def canvas(self) -> int:
    """Side of the square in whose corner a picture crosses to the devices.

    Those that fit shrink to no less than a half; of larger ones the squares
    cross. So they do of all, and this is 0, where they leave no room for a
    picture.
    """
    side = 2 * min(self.shorter_sides)
    picture = 3 * side**2 + self._num_tap_bytes
    return side if picture < self._num_square_bytes else 0

  @property
  def picture_ends(self) -> tuple[int, int]:
    """Where in the bytes of a picture its canvas ends, and where its taps."""
    canvas = 3 * self.canvas**2
    return canvas, canvas + self._num_tap_bytes

  @property
  def shape(self) -> tuple[int]:
    """Of what crosses to the devices of a picture, uint8.

    The pixels of the squares of `parts`, one after the other; or, of a picture
    that fits, its canvas, the taps that resize it (int32: of each of
    `shorter_sides` those of the rows of each square, then those of the
    columns), and nothing. If there is a canvas, a last byte says which: 1 is a
    picture.
    """
    return (self._num_square_bytes + bool(self.canvas),)

  @property
  def _num_square_bytes(self) -> int:
    return sum(3 * count * side**2 for count, side in self.parts)

  @property
  def _num_tap_bytes(self) -> int:
    lengths = 2 * sum(count * side for count, side in self.parts)
    return 4 * lengths * (1 + CANVAS_TAPS)


def protocol(
  name: str,
  size: int,
  scales: tuple[int, ...] | None = None,
  squares: tuple[str, ...] | None = None,
  crops: tuple[str, ...] | None = None,
  mirrors: tuple[bool, ...] = (False, True),
) -> MultiCrop:
  """A test protocol by name, or a part of it.

  Args:
    name: of `PROTOCOLS`.
    size: of the crops; shorter sides are the paper's times `size / 224`.
    scales: which of its shorter sides, as the paper gives them; None is all.
    squares: which of its squares; None is all.
    crops: which of its crops of each square; None is all.
    mirrors: see `MultiCrop`.

  Raises:
    ValueError: if the protocol has no such part.
  """
  check_choice('protocol', name, tuple(PROTOCOLS))
  chosen = []
  for field, known, asked in zip(
    ('scales', 'squares', 'crops'),
    PROTOCOLS[name],
    (scales, squares, crops),
    strict=True,
  ):
    asked = known if asked is None else asked
    for value in asked:
      if value not in known:
        raise ValueError(
          f'{field} of {name} are {", ".join(map(str, known))}, not {value}'
        )
    # In the order of the protocol, however they were asked for.
    chosen.append(tuple(value for value in known if value in asked))
  sides = tuple(round(side * size / 224) for side in chosen[0])
  return MultiCrop(size, sides, chosen[1], chosen[2], mirrors)
