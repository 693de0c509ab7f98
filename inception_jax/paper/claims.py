"""The network's size beside what the paper claims of it.

References:
  Szegedy et al. 2014, Going Deeper with Convolutions, arXiv 1409.4842.
"""

from typing import Any

from inception_jax.models import GoogLeNet
from inception_jax.paper.summary import Summary, summarize

# Section 1: "12x fewer parameters than the winning architecture of Krizhevsky
# et al".
PAPER_ALEXNET_RATIO = 12
# Krizhevsky et al. 2012 with its two groups, 227-pixel input and 1000 classes.
ALEXNET_PARAMS = 60_965_224
# Section 1: "a computational budget of 1.5 billion multiply-adds".
PAPER_MULTIPLY_ADDS = 1_500_000_000

# The stem that the printed row implies; "separable convolution with depth
# multiplier 8 on the first convolutional layer" stands in the appendix of
# Ioffe and Szegedy 2015, arXiv 1502.03167.
STEM_DEPTH_MULTIPLIER = 8


def compare_with_paper(
  model: GoogLeNet, image_size: int = 224
) -> dict[str, Any]:
  """Computes the numbers that the paper's claims of size are about.

  Args:
    model: any member of the family, with modules of the reduced form.
    image_size: side of the square image in pixels.

  Returns:
    A dict with
      `multiply_adds`, `params`, `params_with_heads`: the model's own;
      `modules`, `modules_without_projection`: multiply-adds of the Inception
        modules alone, and of these without the 1x1 after pooling;
      `paper_multiply_adds`: the claim of section 1;
      `separable_stem`: weights and multiply-adds of the first layer that the
        printed row implies, and the network's total with it;
      `alexnet`: its parameters, their ratio to the model's, and the ratio
        that section 1 claims;
      `naive`, `naive_as_drawn`: both readings of Figure 2 (a), the first with
        every width of Table 1 kept, the second without projections;
      `double_width`: twice the filters everywhere.
    The last three hold `params`, `multiply_adds`, `modules`,
    `modules_without_projection` and `ratio`, the multiply-adds over the
    model's own.

  Raises:
    ValueError: if the images are too small for the network.
  """
  own = summarize(model, image_size)

  def variant(**changes):
    other = summarize(model.clone(**changes), image_size)
    return {
      'params': other.params,
      'multiply_adds': other.multiply_adds,
      'ratio': other.multiply_adds / own.multiply_adds,
      **_modules(other),
    }

  return {
    'multiply_adds': own.multiply_adds,
    'paper_multiply_adds': PAPER_MULTIPLY_ADDS,
    **_modules(own),
    'params': own.params,
    'params_with_heads': own.params_with_heads,
    'separable_stem': _separable_stem(own),
    'alexnet': {
      'params': ALEXNET_PARAMS,
      'ratio': ALEXNET_PARAMS / own.params,
      'paper_ratio': PAPER_ALEXNET_RATIO,
    },
    'naive': variant(module_form='naive'),
    'naive_as_drawn': variant(module_form='naive_as_drawn'),
    'double_width': variant(width=2 * model.width),
  }


def _modules(summary: Summary) -> dict[str, int]:
  """Multiply-adds of the Inception modules, with and without projections."""
  total = projections = 0
  for before, row in zip(summary.rows, summary.rows[1:], strict=False):
    if row.branches is None:
      continue
    total += row.multiply_adds
    height, width, _ = row.output_shape
    projected = row.branches[-1] or 0
    projections += height * width * before.output_shape[-1] * projected
  return {
    'modules': total,
    'modules_without_projection': total - projections,
  }


def _separable_stem(summary: Summary) -> dict[str, int]:
  """The first layer as its printed row implies, biases not counted."""
  stem = next(row for row in summary.rows if row.name == 'conv1')
  height, width, features = stem.output_shape
  planes = 3 * STEM_DEPTH_MULTIPLIER
  weights = stem.patch**2 * planes + planes * features
  cost = height * width * weights
  return {
    'weights': weights,
    'multiply_adds': cost,
    'total_multiply_adds': summary.multiply_adds - stem.multiply_adds + cost,
  }


def comparison_to_text(comparison: dict[str, Any]) -> str:
  """Writes the result of `compare_with_paper` for a terminal."""
  stem, alexnet = comparison['separable_stem'], comparison['alexnet']
  lines = [
    f'{_giga(comparison["multiply_adds"])} multiply-adds,'
    f' {_giga(comparison["modules"])} of them in the Inception modules; the'
    f' paper says {_giga(comparison["paper_multiply_adds"])}',
    f'{_giga(stem["total_multiply_adds"])} multiply-adds with the stem that'
    f' its Table 1 implies: separable 7x7, {stem["weights"]:,} weights,'
    f' {stem["multiply_adds"] / 1e6:.2f} M',
    f'{comparison["params"]:,} parameters,'
    f' {comparison["params_with_heads"]:,} with auxiliary heads',
    f'{alexnet["ratio"]:.2f} times fewer parameters than AlexNet'
    f' ({alexnet["params"]:,}); the paper says {alexnet["paper_ratio"]}',
  ]
  for key, title in (
    ('naive', 'naive modules, Figure 2 (a), with the widths of Table 1'),
    ('naive_as_drawn', 'naive modules as drawn, pooling not projected'),
    ('double_width', 'twice the width'),
  ):
    other = comparison[key]
    lines.append(
      f'{_giga(other["multiply_adds"])} multiply-adds'
      f' ({_giga(other["modules"])} in the modules,'
      f' {_giga(other["modules_without_projection"])} without their'
      f' projections) and {other["params"]:,} parameters with {title}:'
      f' {other["ratio"]:.2f} times the multiply-adds'
    )
  return '\n'.join(lines)


def _giga(count: int) -> str:
  return f'{count / 1e9:.2f} G'
