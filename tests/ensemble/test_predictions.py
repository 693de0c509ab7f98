"""Tests of the account of images; tests/commands evaluates whole sets."""

import types

import pytest

from inception_jax.ensemble import predictions
from inception_jax.runtime import errors


@pytest.mark.parametrize(
  ('counted', 'skipped', 'on_bad_image', 'error', 'message'),
  [
    (9, 0, 'fail', RuntimeError, 'counted 9 images and skipped 0 where .* 10'),
    (11, 0, 'skip', RuntimeError, 'counted 11'),
    (9, 1, 'fail', errors.InputError, "1 of the 10 .*on_bad_image='skip'"),
    (9, 1, 'skip', None, None),
    (10, 0, 'fail', None, None),
  ],
)
def test_every_picture_is_accounted_for(
  counted, skipped, on_bad_image, error, message
):
  answered = types.SimpleNamespace(
    ensemble=types.SimpleNamespace(num_images=10),
    dataset=types.SimpleNamespace(on_bad_image=on_bad_image),
  )
  arguments = (answered, counted, skipped)
  if error is None:
    predictions.check_count(*arguments)
    return
  with pytest.raises(error, match=message):
    predictions.check_count(*arguments)
