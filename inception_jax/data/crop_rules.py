"""The crop rules: which part of an image becomes the network's input.

Training (section 6 of the paper): a random window of the image. The area of the
window is drawn uniformly between 8 % and 100 % of the image's area, its aspect
ratio, width over height, between 3/4 and 4/3. The window is placed uniformly
where it fits and resized to a square by an interpolation drawn at random.

Evaluation: one central crop, without chance, by name.

The rules are data and need no TensorFlow; `cropping` applies them to images.
The many crops of one image that section 7 tests with are in `crops_144`.

References:
  Szegedy et al. 2014, Going Deeper with Convolutions, sections 6 and 7.
"""

import dataclasses
from typing import Annotated

from inception_jax.runtime import ranges, words

# Section 6: "distributed evenly between 8% and 100% of the image area and whose
# aspect ratio is chosen randomly between 3/4 and 4/3".
AREA_RANGE = (0.08, 1.0)
ASPECT_RATIO_RANGE = (3 / 4, 4 / 3)
ASPECT_RATIO_LAWS = ('log_uniform', 'uniform')
# Section 6: "bilinear, area, nearest neighbor and cubic, with equal
# probability".
INTERPOLATIONS = ('bilinear', 'area', 'nearest', 'bicubic')
EVALUATION_CROPS = (
  'shorter_side',
  'center_square',
  'central_fraction',
  'warp',
)
# What arguments of this and other modules may be.
Side = Annotated[int, ranges.Range(1, 2048)]
Area = Annotated[float, ranges.Range(1e-4, 1)]
AspectRatio = Annotated[float, ranges.Range(0.01, 100)]
AspectRatioLaw = Annotated[str, ranges.OneOf(ASPECT_RATIO_LAWS)]
Interpolation = Annotated[str, ranges.OneOf(INTERPOLATIONS)]
EvaluationCropName = Annotated[str, ranges.OneOf(EVALUATION_CROPS)]
TrainCropName = Annotated[str, ranges.OneOf(('distorted', *EVALUATION_CROPS))]


@dataclasses.dataclass(frozen=True)
class DistortedCrop:
  """The paper's training crop (section 6).

  Attributes:
    size: height and width of the result, pixels.
    area_range: smallest and largest share of the image's area, drawn
      uniformly; the paper's is `AREA_RANGE`.
    aspect_ratio_range: smallest and largest ratio of width to height; the
      paper's is `ASPECT_RATIO_RANGE`.
    aspect_ratio_law: how the ratio is drawn: 'log_uniform', so that a ratio
      and its inverse are equally likely, or 'uniform'. The paper says neither.
    interpolations: some of `INTERPOLATIONS`; one is drawn for each image, all
      equally likely.
  """

  size: Side
  area_range: tuple[Area, Area]
  aspect_ratio_range: tuple[AspectRatio, AspectRatio]
  aspect_ratio_law: AspectRatioLaw
  interpolations: tuple[Interpolation, ...]

  def __post_init__(self):
    ranges.check(type(self), vars(self))
    for name in ('area_range', 'aspect_ratio_range'):
      low, high = getattr(self, name)
      if low > high:
        raise ValueError(f'{name} must be ascending, not {(low, high)}')
    if not self.interpolations:
      raise ValueError(
        f'interpolations must name some of {words.join(INTERPOLATIONS)}'
      )

  @property
  def shape(self) -> tuple[int, int, int]:
    """Shape of the cropped image."""
    return (self.size, self.size, 3)


@dataclasses.dataclass(frozen=True)
class EvaluationCrop:
  """A crop without chance, by name.

  - 'shorter_side': the image resized so that its shorter side is 256, and the
    central 224 square of it (section 7).
  - 'center_square': the central square of the image, resized.
  - 'central_fraction': the central 87.5 % of each side, warped to a square, as
    TF-slim does by TensorFlow's old `resize_bilinear`.
  - 'warp': the image warped to a square of 256, and its central 224 square,
    as Caffe's tools do by OpenCV.

  Resizing is bilinear; the last two have no filter against aliasing.

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
    """Shape of the cropped image."""
    return (self.size, self.size, 3)


def check_choice(field: str, value: str, known: tuple[str, ...]) -> None:
  """Raises ValueError, which names the field, unless `known` has the value."""
  if value not in known:
    raise ValueError(
      f'{field} must be one of {words.join(known, "or")}, not {value!r}'
    )
