"""Which areas and ratios the training crop realises on common pictures.

The proposals' areas are uniform in 8 to 100 %, but a proposal that sticks out
of the picture is drawn anew, so large areas are rarer than small ones, the more
so the longer the picture. Beside ours stands what most code uses, TensorFlow's
`sample_distorted_bounding_box`. Prints one JSON object.

  python benchmarks/crop_areas.py [--output=FILE.json]
"""

import argparse
from collections.abc import Callable
import os
import pathlib
import sys

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import machine  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from inception_jax.data import crop_rules, cropping, order  # noqa: E402

SHAPES = {'1:1': (400, 400), '4:3': (375, 500), '16:9': (360, 640)}
AREAS, RATIOS = crop_rules.AREA_RANGE, crop_rules.ASPECT_RATIO_RANGE
COUNT = 50_000


def ours(law: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
  """Windows of this package."""
  spec = crop_rules.DistortedCrop(224, AREAS, RATIOS, law, ('bilinear',))
  return lambda shape, u: cropping.distorted_crop_window(shape, u, spec)


def tensorflow_sampler(shape: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
  """Windows of TensorFlow's operation."""
  seed = tf.cast(uniforms[:2] * 2.0**24, tf.int32)
  corner, side, _ = tf.image.stateless_sample_distorted_bounding_box(
    tf.concat([shape, [3]], 0),
    bounding_boxes=tf.zeros((1, 0, 4)),
    seed=seed,
    min_object_covered=0.0,
    aspect_ratio_range=RATIOS,
    area_range=AREAS,
    max_attempts=cropping.NUM_TRIES,
    use_image_if_no_bounding_boxes=True,
  )
  return tf.concat([corner[:2], side[:2]], 0)


def realised(window_fn, shape: tuple[int, int]) -> dict[str, float]:
  """Shares of the area and ratios of many windows."""
  uniforms = order.example_uniforms(
    0, np.arange(COUNT), cropping.UNIFORMS_PER_CROP
  )
  fn = tf.function(
    lambda us: tf.map_fn(
      lambda u: window_fn(tf.constant(shape), u[:-1]),
      us,
      fn_output_signature=tf.int32,
      parallel_iterations=64,
    )
  )
  windows = fn(uniforms).numpy()
  areas = windows[:, 2] * windows[:, 3] / (shape[0] * shape[1])
  ratios = windows[:, 3] / windows[:, 2]
  percentiles = np.percentile(areas, [5, 25, 50, 75, 95])
  names = ('p5', 'p25', 'median', 'p75', 'p95')
  return {
    'mean_area': round(float(areas.mean()), 4),
    **{
      f'{name}_area': round(float(value), 4)
      for name, value in zip(names, percentiles, strict=True)
    },
    'largest_area': round(float(areas.max()), 4),
    'geometric_mean_ratio': round(float(np.exp(np.log(ratios).mean())), 4),
  }


def rejected(shape: tuple[int, int], law: str) -> dict[str, float]:
  """How often the first proposal, and all ten, stick out of the picture."""
  spec = crop_rules.DistortedCrop(224, AREAS, RATIOS, law, ('bilinear',))
  draws = order.example_uniforms(0, np.arange(COUNT), 4 * cropping.NUM_TRIES)
  draws = draws.reshape(COUNT, cropping.NUM_TRIES, 4)[..., :2].reshape(-1, 2)
  _, _, sides = cropping.crop_proposals(tf.constant(shape), draws, spec)
  fits = (sides.numpy() <= shape).all(1).reshape(COUNT, cropping.NUM_TRIES)
  return {
    'first_proposal_rejected': round(float(1 - fits[:, 0].mean()), 4),
    'fallback': round(float(1 - fits.any(1).mean()), 6),
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--output')
  arguments = parser.parse_args()
  record = {
    **machine.environment(),
    'windows': COUNT,
    'uniform_mean_area': sum(AREAS) / 2,
    'pictures': {
      name: {
        **{
          law: {**realised(ours(law), shape), **rejected(shape, law)}
          for law in crop_rules.ASPECT_RATIO_LAWS
        },
        'tensorflow': realised(tensorflow_sampler, shape),
      }
      for name, shape in SHAPES.items()
    },
  }
  record['versions']['tensorflow'] = tf.__version__
  machine.keep(record, arguments.output)


if __name__ == '__main__':
  main()
