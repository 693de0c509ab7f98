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


@pytest.mark.parametrize(
  ('said', 'left'),
  [
    ('\x1b[1mbold\x1b[0m \x1b[38;5;196mred', 'bold red'),
    ('\x1b]0;title\x07text', 'text'),
    ('\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\', 'link'),
    ('\x1b(Bplain\x9b2J', 'plain'),
    ('\x1b[31m\n\x1b[0m first\nsecond', 'first'),
    ('cut \x1b', 'cut'),
    ('\x1b[0m', 'ValueError'),
    ('[0m is no code', '[0m is no code'),
  ],
)
def test_codes_of_terminals_do_not_reach_a_sentence(said, left):
  assert errors.first_line(ValueError(said)).strip() == left


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


def test_the_reason_is_what_the_system_said():
  text = (
    'RESOURCE_EXHAUSTED: Error opening "zarr" driver: Error writing "a" in'
    ' OCDBT database: Failed to write 181 bytes to file 12: No space left on'
    " device [os_error_code='28'] [tensorstore_spec='{}']"
  )
  wrapped = ValueError('Save failed')
  wrapped.__cause__ = ValueError(text)
  for error in (
    OSError(errno.ENOSPC, 'No space left on device'),
    ValueError(text),
    wrapped,
  ):
    found = errors.cannot_write('x', error, errors.remedy_of_writing(error))
    assert str(found) == (
      'x cannot be written (No space left on device); free some space'
    )
  other = errors.cannot_write('x', ValueError('no such codec'), 'mend that')
  assert str(other) == 'x cannot be written (no such codec); mend that'


@pytest.mark.parametrize(
  ('word', 'cutoff', 'expected'),
  [
    ('TRIAN', 0.75, 'Train'),
    ('eval', 0.75, 'evaluate'),
    ('eval', 0.8, None),
    ('ev', 0.75, None),
    ('ten', 0.75, None),  # Two begin so.
  ],
)
def test_the_nearest_word(word, cutoff, expected):
  known = ['Train', 'evaluate', 'ten_crop', 'tensor']
  assert errors.nearest(word, known, cutoff) == expected
