"""Tests of the label maps against what others say of the classes."""

import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from inception_jax.data import labels

SYNSETS = 'google_inception_synsets.txt'


def test_imagenet_is_in_the_order_of_tfds():
  theirs = tfds.builder('imagenet2012').info.features['label'].names
  ours = labels.imagenet()
  assert ours.class_names == tuple(theirs) and len(ours) == 1000
  assert ours[0] == labels.Label('tench, Tinca tinca', 'n01440764')
  np.testing.assert_array_equal(ours.outputs_of(theirs), np.arange(1000))


def test_background_shifts_every_class():
  ours = labels.imagenet(1001)
  assert ours[0] == labels.Label('<background>') and len(ours) == 1001
  assert ours.labels[1:] == labels.imagenet().labels
  with pytest.raises(ValueError, match='1000 or 1001, not 1008'):
    labels.imagenet(1008)


def test_classes_of_other_data_keep_their_names():
  ours = labels.from_class_names(['cat', 'dog', 'n02119789'], num_outputs=5)
  assert ours.class_names == ('cat', 'dog', 'n02119789', '<dummy>', '<dummy>')
  assert ours[2].name == 'kit fox, Vulpes macrotis'
  np.testing.assert_array_equal(
    ours.outputs_of(['n02119789', 'cat', 'dog']), [2, 0, 1]
  )
  for names in (['cat', 'owl'], ['<dummy>']):  # None, and two of them.
    with pytest.raises(ValueError, match=f'1 of the {len(names)} classes'):
      ours.outputs_of(names)


@pytest.mark.parametrize(
  ('class_names', 'expected'),
  [
    (['a', 'b', 'c'], [1, 3, 2, 0, 4]),
    (['c', 'a', 'b'], [2, 1, 3, 0, 4]),
    (['a', 'b'], None),
    (['a', 'b', 'c', 'd'], None),
    (['a', 'b', 'd'], None),
  ],
)
def test_outputs_of_the_very_same_classes(class_names, expected):
  names = ('<background>', 'a', 'c', 'b', '<dummy>')
  ours = labels.LabelMap(tuple(map(labels.Label, names)))
  found = ours.outputs_of_same(class_names)
  assert (None if found is None else list(found)) == expected


def test_json_and_back():
  ours = labels.from_class_names(['cat', 'n02119789'])
  assert labels.from_json(ours.to_json()) == ours
  assert ours.to_json()[1] == {
    'index': 1,
    'synset': 'n02119789',
    'name': 'kit fox, Vulpes macrotis',
  }


@pytest.mark.parametrize(
  ('what', 'output'),
  [
    (7, 7),
    ('7', 7),
    ('n01440764', 0),
    ('tench', 0),
    ('Goldfish', 1),
    ('carassius', 1),
  ],
)
def test_find(what, output):
  assert labels.imagenet().find(what) == output


def test_find_refuses_what_fits_several_or_none():
  ours = labels.imagenet()
  with pytest.raises(ValueError, match='several classes .*134 crane.*517'):
    ours.find('crane')
  with pytest.raises(ValueError, match="no class is called 'griffin'"):
    ours.find('griffin')
  with pytest.raises(
    ValueError, match='number 1000 is none of the 1000 outputs'
  ):
    ours.find(1000)
  with pytest.raises(ValueError, match="no class is called '²'"):
    ours.find('²')


def test_a_name_that_is_a_number_is_a_name():
  ours = labels.from_class_names(['1', '10', '2'])
  assert [ours.find(x) for x in ('1', '10', '2')] == [0, 1, 2]
  assert ours.find(1) == 1 and ours.find('0') == 0


@pytest.mark.parametrize(
  'text',
  [
    '0:daisy\n1:dandelion\n2:rose',  # TF-slim's `labels.txt`.
    '2: rose\n0: daisy\n\n1: dandelion\n',
    '0,daisy\n1,dandelion\n2,rose',
    '0\tdaisy\n1\tdandelion\n2\trose',
    'daisy\ndandelion\nrose',
  ],
)
def test_numbers_before_names_are_the_order(text):
  ours = labels.from_lines(text, 3)
  assert ours.class_names == ('daisy', 'dandelion', 'rose')


@pytest.mark.parametrize(
  'names',
  [
    ('0:daisy', '2:rose', '3:tulip'),  # Not the outputs.
    ('0:daisy', 'rose', '2:tulip'),
    ('0:daisy', '0:rose', '1:tulip'),
    ('0 daisy', '1 rose', '2 tulip'),
    ('0', '1', '2'),
  ],
  ids=str,
)
def test_other_numbers_are_part_of_the_names(names):
  assert labels.from_lines('\n'.join(names), 3).class_names == names


@pytest.mark.parametrize(
  'text',
  [
    '["daisy", "dandelion", "rose"]',
    '{"2": "rose", "0": "daisy", "1": "dandelion"}',
    '{"rose": 2, "daisy": 0, "dandelion": 1}',  # `class_to_idx` of a folder.
    "{0: 'daisy',\n 1: 'dandelion',\n 2: 'rose'}",
    '0: daisy\n1: dandelion\n2: rose',
  ],
)
def test_lists_and_dictionaries_of_names(text):
  ours = labels.from_text(text, 3)
  assert ours.class_names == ('daisy', 'dandelion', 'rose')


def test_dictionaries_that_name_other_outputs_are_refused():
  with pytest.raises(ValueError, match='it has 2 names .* has 3 outputs'):
    labels.from_text('["daisy", "rose"]', 3)
  with pytest.raises(ValueError, match='not those of the outputs, from 0'):
    labels.from_text('{"daisy": 1, "rose": 2}', 2)
  # Names that only look like it.
  assert labels.from_text('{a\n[b', 2).class_names == ('{a', '[b')
  assert labels.from_text('[' * 10**5, 1).class_names == ('[' * 10**5,)


def test_synsets_in_lists():
  entries = {i: [x, 'of it'] for i, x in enumerate(labels.imagenet_names())}
  assert labels.from_text(json.dumps(entries), 1000) == labels.imagenet()


def test_numbers_before_synsets():
  lines = [f'{i}:{x} what' for i, x in enumerate(labels.imagenet_names())]
  assert labels.from_lines('\n'.join(lines), 1000) == labels.imagenet()


@pytest.fixture(scope='module')
def released_lines():
  folder = os.environ.get('INCEPTION_JAX_TEST_DATA')
  if not folder:
    pytest.skip('INCEPTION_JAX_TEST_DATA is not set')
  return (pathlib.Path(folder) / SYNSETS).read_text().splitlines()


@pytest.mark.test_data
def test_labels_of_the_released_network(released_lines):
  ours = labels.from_label_file('\n'.join(released_lines), 1008)
  assert len(ours) == 1008
  dummies = [i for i in range(1008) if ours[i].synset is None]
  assert dummies == [0, *range(1001, 1008)]
  for i in range(1, 1001):
    synset, name = released_lines[i].split(' ', 1)
    assert ours[i] == labels.Label(name, synset)
  classes = labels.imagenet().class_names
  outputs = ours.outputs_of(classes)
  assert [ours[i].synset for i in outputs] == list(classes)
  assert outputs[0] != 0  # Another order than TFDS's.


@pytest.mark.test_data
def test_first_names_alone_lead_to_the_same_labels(released_lines):
  lines = [x.split(' ', 1)[1].split(', ')[0] for x in released_lines[1:1001]]
  assert lines.count('crane') == lines.count('maillot') == 2
  ours = labels.from_label_file('\n'.join(['dummy', *lines]), 1008)
  assert ours == labels.from_label_file('\n'.join(released_lines), 1008)


def test_a_file_of_something_else_is_refused():
  with pytest.raises(ValueError, match='only 0 of 1008 lines name a class'):
    labels.from_label_file('<html>\n' * 2000, 1008)


def test_names_in_another_unicode_normalisation_are_the_same():
  outputs = labels.from_class_names(('ant', 'caf\u00e9'))
  decomposed = ('cafe\u0301', 'ant')
  assert outputs.outputs_of(decomposed).tolist() == [1, 0]
  assert outputs.outputs_of_same(decomposed).tolist() == [1, 0]
  assert outputs.find('cafe\u0301') == 1
