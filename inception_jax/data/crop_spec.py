"""How images are cut, as data. Needs no TensorFlow; `crops` does the work."""

import dataclasses

ASPECT_RATIO_LAWS = ('log_uniform', 'uniform')
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


def check_choice(field: str, value: str, known: tuple[str, ...]) -> None:
  if value not in known:
    raise ValueError(
      f'{field} must be one of {", ".join(known)}, not {value!r}'
    )
