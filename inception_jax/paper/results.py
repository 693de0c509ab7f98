"""What the paper reports of its evaluation.

References:
  Szegedy et al. 2014, Going Deeper with Convolutions, arXiv 1409.4842, section
  7. All on the 50,000 validation images of ILSVRC-2014, except Table 2, which
  is of the test images.
"""

from typing import NamedTuple


class Entry(NamedTuple):
  """A line of Table 2.

  Attributes:
    team: its name.
    year: of the challenge.
    place: in it.
    top5_error: 0 to 1.
    external_data: what else it was trained on.
    printed_reduction: how much less GoogLeNet errs, 0 to 1, as the text says
      it; None where it says nothing.
  """

  team: str
  year: int
  place: str
  top5_error: float
  external_data: str
  printed_reduction: float | None = None


# Table 3: top-5 error by (models, crops). The last change from the base that it
# prints, -3.45 %, is a slip: the errors differ by 3.40.
TABLE_3 = {
  (1, 1): 0.1007,
  (1, 10): 0.0915,
  (1, 144): 0.0789,
  (7, 1): 0.0809,
  (7, 10): 0.0762,
  (7, 144): 0.0667,
}

# The text gives two reductions, "56.5%" and "about 40%", against entries that
# "used external data"; by the errors of the table they are 56.4 and 40.4.
TABLE_2 = (
  Entry('SuperVision', 2012, '1st', 0.164, 'no'),
  Entry('SuperVision', 2012, '1st', 0.153, 'ImageNet 22k', 0.565),
  Entry('Clarifai', 2013, '1st', 0.117, 'no'),
  Entry('Clarifai', 2013, '1st', 0.112, 'ImageNet 22k', 0.40),
  Entry('MSRA', 2014, '3rd', 0.0735, 'no'),
  Entry('VGG', 2014, '2nd', 0.0732, 'no'),
  Entry('GoogLeNet', 2014, '1st', 0.0667, 'no'),
)
