"""Tests of sentences that several rooms share."""

import errno

import pytest

from inception_jax.runtime import errors


@pytest.mark.parametrize(
  ('error', 'reason'),
  [
    (OSError(errno.ENOSPC, 'No space left on device'), 'No space left on devi'),
    (ValueError('first line\nsecond line'), r'\(first line\)'),
    (RuntimeError(), r'\(RuntimeError\)'),
  ],
)
def test_what_cannot_be_written_is_named_with_a_remedy(error, reason):
  found = errors.cannot_write('--output=x', error, 'give another file')
  assert isinstance(found, errors.InputError)
  with pytest.raises(errors.InputError, match=reason):
    raise found
  assert str(found).startswith('--output=x cannot be written (')
  assert str(found).endswith('; give another file')


def test_the_class_can_be_chosen():
  kind = errors.TrainingError
  assert type(errors.cannot_write('x', OSError(5, 'y'), 'z', kind)) is kind


def test_suggestions():
  assert errors.suggestion('momentun', ['momentum', 'x']).endswith(
    "'momentum'?"
  )
  assert errors.suggestion('qqq', ['momentum']) == ''


def test_a_path_with_odd_characters_leaves_one_line():
  text = "error: --x=a\nb\udcff\x1b[1m 'ü $x$'; give another"
  found = errors.on_one_line(text)
  assert found == "error: --x=a\\nb\\udcff\\x1b[1m 'ü $x$'; give another"
  found.encode()
