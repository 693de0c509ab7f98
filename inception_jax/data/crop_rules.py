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
      f'{field} must be one of {", ".join(known)}, not {value!r}'
    )
