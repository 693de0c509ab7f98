"""What a picture looks like: copies of another size look the same.

A look is the picture in grey, shrunk to 16 by 16. The limit was chosen on
copies of photographs in other sizes and qualities, most of which are within it,
and on different pictures of CIFAR-10, all of which are far from it.
"""

from collections.abc import Sequence
import io

import numpy as np
from PIL import Image

_SIDE = 16
# Root mean square of the difference, in grey levels of 256.
_LARGEST_DIFFERENCE = 6.0
# More are not compared: it would take more than half a minute.
MAX_PAIRS = 2_000_000_000
_CHUNK = 1024


def look(encoded: bytes) -> bytes | None:
  """The look of an encoded picture, a byte a point; None if there is none."""
  try:
    with Image.open(io.BytesIO(encoded)) as image:
      image.draft('L', (8 * _SIDE, 8 * _SIDE))  # Faster for JPEGs.
      small = image.convert('L').resize((_SIDE, _SIDE), Image.Resampling.BOX)
  except Exception:  # Whatever Pillow refuses; other decoders may not.
    return None
  return small.tobytes()


def alike(
  ones: Sequence[bytes], others: Sequence[bytes]
) -> list[tuple[int, int]]:
  """Pairs of pictures that look the same.

  Args:
    ones: looks of n pictures.
    others: looks of those that each is compared with; at most `MAX_PAIRS / n`.

  Returns:
    For each of `ones` that has one, its place and that of the nearest of
    `others`.
  """
  if not ones or not others:
    return []
  theirs, found = _pixels(others), []
  their_squares = np.square(theirs).sum(1)
  for start in range(0, len(ones), _CHUNK):
    ours = _pixels(ones[start : start + _CHUNK])
    squares = np.square(ours).sum(1)[:, None] + their_squares
    squares -= 2 * ours @ theirs.T
    for place, other in enumerate(squares.argmin(1)):
      # Exactly, since large numbers were subtracted.
      difference = np.square(ours[place] - theirs[other]).mean() ** 0.5
      if difference <= _LARGEST_DIFFERENCE:
        found.append((start + place, int(other)))
  return found


def _pixels(looks: Sequence[bytes]) -> np.ndarray:
  """float32 `[n, points]`."""
  flat = np.frombuffer(b''.join(looks), np.uint8)
  return flat.reshape(len(looks), -1).astype(np.float32)
