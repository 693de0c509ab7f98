"""Tests of datasets by name."""

import subprocess
import sys

import numpy as np
import pytest

from inception_jax.data import dataset
from inception_jax.runtime import errors


def test_fake_data_needs_no_tensorflow():
  # As on a machine that has only JAX, Flax, Optax and Orbax.
  program = """
import sys
sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None
import numpy as np
from inception_jax.data import dataset
from inception_jax.experiment import experiment
from inception_jax.runs import train
data = dataset.open_dataset(name='fake', image_size=32)
batch = next(data.train_batches(
    seed=0, start_step=0, num_train_steps=2, batch_size=4, slots=np.arange(4)))
assert batch['image'].shape == (4, 32, 32, 3), batch['image'].shape
try:
  dataset.open_dataset(name='digits', image_size=32)
except ValueError as error:
  print(error)
"""
  result = subprocess.run(
    [sys.executable, '-c', program],
    capture_output=True,
    text=True,
    check=True,
    timeout=120,
  )
  assert "pip install 'inception_jax[data]'" in result.stdout


def test_a_part_of_fake_data_has_as_many_as_asked_for():
  data = dataset.open_dataset(name='fake', image_size=32)
  batches = data.eval_batches(
    batch_size=100, slots=np.arange(100), start=64, stop=300
  )
  assert [int(batch['mask'].sum()) for batch in batches] == [100, 100, 36]


def test_fake_evaluation_is_masked():
  data = dataset.open_dataset(name='fake', image_size=8)
  batches = data.eval_batches(batch_size=300, slots=np.arange(150, 300))
  assert [int(b['mask'].sum()) for b in batches] == [150, 150, 150, 0]


def test_fake_batches_do_not_depend_on_hosts():
  data = dataset.open_dataset(name='fake', image_size=8)

  def first(slots):
    return next(
      data.train_batches(
        seed=0, start_step=0, num_train_steps=1, batch_size=6, slots=slots
      )
    )

  whole, half = first(np.arange(6)), first(np.arange(3, 6))
  np.testing.assert_array_equal(half['image'], whole['image'][3:])


def test_class_counts():
  assert dataset.count_classes('fake') == 1000
  assert dataset.count_classes('imagenet2012') == 1000
  assert dataset.count_classes('digits') == 10
  with pytest.raises(errors.InputError, match='no TFDS dataset'):
    dataset.count_classes('nothing_like_it')


@pytest.mark.parametrize(
  ('field', 'value'),
  [
    ('image_size', 0),
    ('train_crop', 'central'),
    ('eval_crop', 'distorted'),
    ('aspect_ratio_law', 'normal'),
    ('interpolations', ('bilinear', 'lanczos')),
    ('interpolations', ()),
    ('on_bad_image', 'ignore'),
    ('area_range', (0.0, 1.0)),
    ('area_range', (0.9, 0.1)),
    ('aspect_ratio_range', (2.0, 1.0)),
    ('num_threads', 0),
  ],
)
def test_bad_fields(field, value):
  with pytest.raises(ValueError, match=field):
    dataset.open_dataset(**{'name': 'fake', 'image_size': 32, field: value})
