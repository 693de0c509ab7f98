"""The 144 crops of an image (section 7 of the paper), and parts of them.

Four choices, one within the other:

1. Scale: the image is resized so that its shorter side is 256, 288, 320 or 352.
2. Square: the left, central and right square of the resized image, or the top,
   central and bottom one of a portrait; its side is the shorter side.
3. Crop: the four corners of the square and its centre, 224x224 pixels each, and
   the whole square resized to 224x224.
4. Mirror: the crop as it is, then flipped left to right.

4 scales x 3 squares x 6 crops x 2 mirrors = 144 crops. `MultiCrop.list` gives
them in this order: the mirror changes fastest and the scale slowest.

The enumeration is data and needs no TensorFlow. On the host `squares` resizes
the image and places the squares; `evaluation.crop_views` cuts the crops on the
devices.

References:
  Szegedy et al. 2014, Going Deeper with Convolutions, section 7.
  Krizhevsky et al. 2012, ImageNet Classification with Deep Convolutional
  Neural Networks, section 4.1: the ten crops.
"""

import dataclasses
import itertools

from inception_jax.data import crop_rules
from inception_jax.runtime import words

# Left, central and right of a landscape; top, central and bottom of a portrait.
SQUARES = ('first', 'center', 'last')
CORNERS = ('top_left', 'top_right', 'bottom_left', 'bottom_right')
SQUARE_CROPS = (*CORNERS, 'center', 'whole')
# Shorter sides at 224 pixels, squares and crops. Section 7 of the paper gives
# the 144; the ten are Krizhevsky's (2012), of the central square at 256.
PROTOCOLS = {
  'ten_crop': ((256,), ('center',), (*CORNERS, 'center')),
  'multi_crop_144': ((256, 288, 320, 352), SQUARES, SQUARE_CROPS),
}

# Most taps of one pixel where an image shrinks to no less than a half; see
# `resampling.bilinear_taps`.
CANVAS_TAPS = 5


@dataclasses.dataclass(frozen=True)
class MultiCrop:
  """Many crops of one image, in the manner of the paper's section 7.

  The image is resized so that its shorter side is each of `shorter_sides`;
  squares of that side are taken of the resized image, and crops of each square.

  Attributes:
    size: height and width of the crops, pixels.
    shorter_sides: those of the resized images, pixels, at least `size`.
    squares: some of `SQUARES`; 'first' is the left one, or the top one of a
      portrait.
    crops: some of `SQUARE_CROPS`; 'whole' is the square resized.
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
      crop_rules.check_choice('squares', name, SQUARES)
    for name in self.crops:
      crop_rules.check_choice('crops', name, SQUARE_CROPS)
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
    """Larger and larger parts of these crops, the smallest first.

    They begin with one crop: the first scale's central square's centre, where
    the crops have these. Each next part adds its mirror image; the corners; the
    whole square; the other squares; and then one larger scale after the other.
    The paper's 144 have parts of 1, 2, 10, 12, 36, 72, 108 and 144 crops; the
    first and the third are the 1 and the 10 of its Table 3.
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
    """Places in `list()` of the crops of a part."""
    places = {crop: place for place, crop in enumerate(self.list())}
    return tuple(places[crop] for crop in part.list())

  @property
  def crops_a_square(self) -> int:
    """Number of crops of each square, mirrored ones counted."""
    return len(self.crops) * len(self.mirrors)

  @property
  def parts(self) -> tuple[tuple[int, int], ...]:
    """Number and side of the squares at each scale, in order."""
    return tuple((len(self.squares), side) for side in self.shorter_sides)

  @property
  def canvas(self) -> int:
    """Side of the square in whose corner an image crosses to the devices.

    An image that fits shrinks to no less than a half; a larger one crosses as
    its squares. It is 0 where the squares are so few bytes that every image
    crosses as its squares.
    """
    side = 2 * min(self.shorter_sides)
    picture = 3 * side**2 + self._num_tap_bytes
    return side if picture < self._num_square_bytes else 0

  @property
  def picture_ends(self) -> tuple[int, int]:
    """Ends of the canvas and of the taps in the bytes of an image."""
    canvas = 3 * self.canvas**2
    return canvas, canvas + self._num_tap_bytes

  @property
  def shape(self) -> tuple[int]:
    """Shape of the bytes, uint8, that cross to the devices for one image.

    They are the pixels of the squares of `parts`, one after the other. An image
    that fits crosses as its canvas, the taps that resize it (int32: for each of
    `shorter_sides` those of the rows of each square, then those of the
    columns), and zeros. If there is a canvas, a last byte says which: 1 is an
    image.
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
    name: one of `PROTOCOLS`.
    size: height and width of the crops, pixels; shorter sides are the paper's
      times `size / 224`.
    scales: which of its shorter sides, as the paper gives them; None is all.
    squares: which of its squares; None is all.
    crops: which of its crops of each square; None is all.
    mirrors: see `MultiCrop`.

  Raises:
    ValueError: if the protocol has no such part.
  """
  crop_rules.check_choice('protocol', name, tuple(PROTOCOLS))
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
          f'{field} of {name} are {words.join(known)}, not {value}'
        )
    # In the order of the protocol, however they were asked for.
    chosen.append(tuple(value for value in known if value in asked))
  sides = tuple(round(side * size / 224) for side in chosen[0])
  return MultiCrop(size, sides, chosen[1], chosen[2], mirrors)
