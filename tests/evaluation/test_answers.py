"""Tests of the answers on disk."""

import errno

import numpy as np
import pytest

from inception_jax.evaluation import answers as answers_lib
from inception_jax.evaluation import crop_views
from inception_jax.runtime import errors

VIEWS = (
  crop_views.View(1, 'mean_probability'),
  crop_views.View(10, 'mean_probability'),
  crop_views.View(10, 'max_probability'),
)
NUM_IMAGES, NUM_OUTPUTS = 150, 5


def create(folder, identity='a', **changes):
  arguments = {
    'views': VIEWS,
    'num_images': NUM_IMAGES,
    'num_outputs': NUM_OUTPUTS,
    'batch_size': 20,
    **changes,
  }
  return answers_lib.Answers(folder, {'network': identity}, **arguments)


def block(start, stop):
  rng = np.random.default_rng(0)
  shape = (NUM_IMAGES, len(VIEWS), NUM_OUTPUTS)
  return answers_lib.Block(
    rng.standard_normal(shape).astype(np.float32)[start:stop],
    np.arange(NUM_IMAGES, dtype=np.int32)[start:stop] % NUM_OUTPUTS,
    (np.arange(NUM_IMAGES) % 7 != 3)[start:stop],
  )


@pytest.fixture
def complete(tmp_path):
  answers = create(tmp_path / 'answers')
  assert answers.file_size == 80  # At least 64, and whole batches.
  for start, stop in ((0, 80), (80, 150)):
    answers.write(start, block(start, stop))
  return answers


def test_what_was_written_is_read(complete):
  for start, stop in ((0, 150), (70, 90), (80, 81), (149, 150)):
    for view in range(len(VIEWS)):
      found = complete.read(start, stop, view)
      wanted = block(start, stop)
      np.testing.assert_array_equal(found.log_probs, wanted.log_probs[:, view])
      np.testing.assert_array_equal(found.labels, wanted.labels)
      np.testing.assert_array_equal(found.counted, wanted.counted)


def test_gaps(tmp_path):
  answers = create(tmp_path / 'answers', batch_size=64, num_images=300)
  assert answers.missing() == [(0, 300)]
  for name in ('00000064', '00000256'):
    (answers.folder / f'{name}.npz').write_bytes(b'')
  assert answers.missing() == [(0, 64), (128, 256)]


def test_another_batch_size_goes_on_with_the_files_that_are_there(complete):
  again = create(complete.folder, batch_size=7)
  assert again.file_size == 80 and again.missing() == []


def test_views_by_name(complete):
  assert complete.find_view(1, 'max_probability') == 0
  assert complete.find_view(None, 'max_probability') == 2
  assert complete.find_view(10, 'mean_probability') == 1
  with pytest.raises(errors.InputError, match='no answers of 12 crops'):
    complete.find_view(12, 'mean_probability')


def test_first_views_of_more(complete):
  part = complete.first(1)
  assert part.find_view(None, 'mean_probability') == 0
  found = part.read(70, 90, 0)
  np.testing.assert_array_equal(found.log_probs, block(70, 90).log_probs[:, 0])
  assert complete.find_view(None, 'mean_probability') == 1


@pytest.mark.parametrize(
  'changes',
  [
    {'identity': 'b'},
    {'num_images': 149},
    {'num_outputs': 6},
    {'views': VIEWS[:2]},
  ],
)
def test_answers_of_another_network_are_refused(complete, changes):
  with pytest.raises(errors.InputError, match='of other weights, .*; delete'):
    create(complete.folder, **changes)


@pytest.mark.parametrize(
  'contents', [b'', b'x' * 100, 'cut', 'flip', 'other', 'copy']
)
def test_damaged_files_are_named(complete, tmp_path, contents):
  path = complete.folder / '00000080.npz'
  whole = path.read_bytes()
  if contents == 'cut':
    contents = whole[:-50]
  elif contents == 'flip':
    contents = whole[:600] + bytes([whole[600] ^ 1]) + whole[601:]
  elif contents == 'other':
    contents = (complete.folder / '00000000.npz').read_bytes()
  elif contents == 'copy':  # Of another network's answers.
    other = create(tmp_path / 'other', identity='b')
    other.write(80, block(80, 150))
    contents = (other.folder / '00000080.npz').read_bytes()
  path.write_bytes(contents)
  with pytest.raises(errors.InputError, match='00000080.npz .*; delete it'):
    complete.read(70, 100, 0)
  complete.read(0, 80, 0)  # The others are good.


def test_a_file_that_cannot_be_read_just_now_is_not_to_be_deleted(
  complete, monkeypatch
):
  def fail(path):
    raise OSError(errno.EMFILE, 'Too many open files')

  with monkeypatch.context() as patch:
    patch.setattr(type(complete.folder), 'read_bytes', fail)
    with pytest.raises(errors.InputError, match='just now .Too many') as found:
      complete.read(0, 10, 0)
  assert 'delete' not in str(found.value)
  complete.read(0, 10, 0)


def test_every_bit_of_a_header_may_flip(complete):
  path = complete.folder / '00000080.npz'
  whole = path.read_bytes()
  expected = block(80, 150).log_probs[:, 0]
  for place in range(300):
    for bit in (1, 8, 64):
      flipped = bytes([whole[place] ^ bit])
      path.write_bytes(whole[:place] + flipped + whole[place + 1 :])
      complete._kept.clear()
      try:
        found = complete.read(80, 150, 0)
      except errors.InputError as error:
        assert 'delete it' in str(error)
      else:  # A date, or the like.
        np.testing.assert_array_equal(found.log_probs, expected)


def test_not_a_number_is_no_answer(tmp_path):
  answers = create(tmp_path / 'answers')
  bad = block(0, 80)
  bad.log_probs[4, 1, 2] = np.nan
  with pytest.raises(
    errors.InputError, match='not finite, first for picture 4'
  ):
    answers.write(0, bad)
  assert answers.missing() == [(0, 150)]


def test_a_folder_that_cannot_be_made(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.InputError, match='--answers'):
    create(tmp_path / 'file' / 'answers')


def test_digests():
  one = answers_lib.digest({'network': 'a', 'data': 'b'})
  assert one == answers_lib.digest({'data': 'b', 'network': 'a'})
  assert one != answers_lib.digest({'network': 'a', 'data': 'c'})
