"""Tests of the warnings about folders of pictures."""

from absl import logging
import pytest

from inception_jax.data.preparation import doubts, image_folder

DOGS = tuple(f'dog/{i}' for i in range(6))


@pytest.fixture
def warned(tmp_path, monkeypatch):
  """From names of files to the warnings about them."""

  def of(*names):
    for name in names:
      path = tmp_path / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(b'x')
    said = []
    monkeypatch.setattr(
      logging, 'warning', lambda text, *values: said.append(text % values)
    )
    doubts.warn(image_folder.find(tmp_path))
    return said

  return of


def test_nothing_is_said_of_a_good_folder(warned):
  assert not warned(*(f'{x}/{i}' for x in ('cat', 'dog') for i in range(6)))


def test_one_class(warned):
  (text,) = warned(*(f'cat/{i}' for i in range(6)))
  assert "one class, 'cat'" in text and 'nothing to learn' in text
  assert 'put the pictures of each class into a folder of its own' in text


def test_one_picture_a_class(warned):
  (text,) = warned('cat/1', 'dog/1')
  assert "2 classes have one picture to train on (first 'cat')" in text
  assert "no validation; add pictures, or set data.eval_split='train'" in text


def test_one_class_of_one_picture(warned):
  (text,) = warned('cat/1', *DOGS)
  assert "1 class has one picture to train on (first 'cat')" in text
  assert 'add pictures, or take such classes away' in text


def test_files_whose_names_look_the_same(warned):
  cafe = ('caf\u00e9', 'cafe\u0301')
  (text,) = warned(*(f'cat/{x}{i}' for x in cafe for i in range(5)), *DOGS)
  assert r"(5, first 'cat/caf\xe90')" in text and 'copies' in text


def test_small_classes(warned):
  # One of them is held out for validation.
  (text,) = warned(*(f'cat/{i}' for i in range(4)), *DOGS)
  assert (
    "a class has 3 pictures or fewer to train on (first 'cat', with 3)"
    in (text)
  )
