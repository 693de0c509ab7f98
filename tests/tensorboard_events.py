"""Reads TensorBoard event files, for tests."""

import tensorflow as tf


def scalars(folder):
  """Newest value of every scalar by (tag, step)."""
  found = {}
  for path in sorted(folder.glob('*tfevents*')):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      for value in event.summary.value:
        found[value.tag, event.step] = value.simple_value
  return found
