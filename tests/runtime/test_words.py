"""Lists and counts in sentences."""

import pytest

from inception_jax.runtime import words


@pytest.mark.parametrize(
  ('names', 'expected'),
  [
    ([], ''),
    (['a'], 'a'),
    (['a', 'b'], 'a or b'),
    (('a', 'b', 3), 'a, b or 3'),
    ({'a': 1, 'b': 2}, 'a or b'),
  ],
)
def test_join(names, expected):
  assert words.join(names, 'or') == expected
  assert words.join(iter(names)) == expected.replace(' or ', ' and ')


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('-1', True),
    ('-.5e3', True),
    ('-inf', True),
    ('-1.jpg', False),
    ('-', False),
  ],
)
def test_is_number(text, expected):
  assert words.is_number(text) == expected


def test_count():
  assert words.count(1, 'image') == '1 image'
  assert words.count(0, 'image') == '0 images'
  assert words.count(1437, 'image') == '1,437 images'
  assert words.count(1, 'class', 'classes') == '1 class'
  assert words.count(2, 'class', 'classes') == '2 classes'
