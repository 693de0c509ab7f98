"""Tests of counting what a prepared dataset holds."""

import hashlib
import io
import json
import re

import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from inception_jax.data import records
from inception_jax.data.preparation import census


def picture(width, height, kind='PNG'):
  buffer = io.BytesIO()
  pixels = np.random.RandomState(0).randint(0, 256, (height, width, 3))
  Image.fromarray(pixels.astype(np.uint8)).save(buffer, kind)
  return buffer.getvalue()


# Label and encoded image by file name; the order in the files is another.
EXAMPLES = {
  'a.png': (1, picture(7, 5)),
  'b.png': (1, picture(40, 2)),
  'tall.png': (1, picture(3, 90)),
  'c.jpg': (0, picture(20, 30, 'JPEG')),
  'd.jpg': (1, picture(9, 9, 'JPEG')),
  'cut.png': (0, picture(30, 30)[:-900]),
  'cut.jpg': (1, picture(30, 30, 'JPEG')[:-200]),
  'text': (1, b'no picture'),
}


def build(data_dir, examples, class_names, with_names=True):
  features = {
    'image': tfds.features.Image(),
    'label': tfds.features.ClassLabel(names=class_names),
  }
  if with_names:
    features['file_name'] = tfds.features.Text()

  def generate():
    for name, (label, image) in examples.items():
      example = {'image': image, 'label': label, 'file_name': name}
      yield name, {key: example[key] for key in features}

  tfds.dataset_builders.AdhocBuilder(
    name='some',
    version='1.0.0',
    features=tfds.features.FeaturesDict(features),
    split_datasets={'train': generate()},
    data_dir=data_dir,
    file_format='array_record',
  ).download_and_prepare()


@pytest.fixture(scope='module')
def some(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp('some')
  build(data_dir, EXAMPLES, ['cat', 'dog', 'none'])
  return data_dir


def test_counts_sizes_and_unreadable_records(some):
  opened = records.open_records('some', 'train', some)
  taken = census.take(opened)
  unreadable = taken.pop('unreadable')
  found = hashlib.sha256(b"('cat', 'dog', 'none')")
  for x in opened.read_examples(np.arange(len(opened))):
    found.update(b'%d ' % x['label'] + hashlib.sha256(x['image']).digest())
  assert taken.pop('sha256') == found.hexdigest()
  assert taken == {
    'num_images': 8,
    'num_classes': 3,
    'class_counts': {'cat': 2, 'dog': 6, 'none': 0},
    'num_unlabelled': 0,
    'num_bytes': sum(len(image) for _, image in EXAMPLES.values()),
    'smallest': {'width': 7, 'height': 5, 'file_name': 'a.png'},
    'largest': {'width': 20, 'height': 30, 'file_name': 'c.jpg'},
    'median_width': 9.0,
    'median_height': 9.0,
  }
  assert {entry['file_name'] for entry in unreadable} == {
    'cut.png',
    'cut.jpg',
    'text',
  }
  for entry in unreadable:
    name, index = entry['file_name'], entry['index']
    (example,) = opened.read_examples(np.array([index]))
    assert example['image'] == EXAMPLES[name][1]
    assert opened.describe(index) == f'record {index} of some train ({name})'
    assert re.search('empty|no JPEG|Invalid|PNG', entry['reason'])
    assert '{{' not in entry['reason']


def test_kept_and_taken_again_only_if_it_does_not_fit(some, monkeypatch):
  first = census.load_or_take('some', some)
  path = some / 'some' / '1.0.0' / 'census.json'
  assert json.loads(path.read_text()) == first

  def fail(unused_records):
    raise AssertionError('taken again')

  with monkeypatch.context() as patch:
    patch.setattr(census, 'take', fail)
    assert census.load_or_take('some', some) == first
  for text in ('{"train": {"num_images": 6}}', '{"train": 3}', '{', '[]', '{}'):
    path.write_text(text)
    assert census.load_or_take('some', some) == first
    assert json.loads(path.read_text()) == first


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path, caplog):
  build(tmp_path, {'a': EXAMPLES['a.png']}, ['cat', 'dog'], with_names=False)
  # As root may write anywhere: a folder in the file's place.
  (tmp_path / 'some' / '1.0.0' / 'census.json').mkdir()
  taken = census.load_or_take('some', tmp_path)
  assert taken['train']['smallest'] == {
    'width': 7,
    'height': 5,
    'file_name': None,
  }
  assert 'census.json cannot be kept' in caplog.text


def test_nothing_can_be_decoded_and_nothing_is_labelled(tmp_path):
  build(tmp_path, {'a': (-1, b'x'), 'b': (-1, b'y')}, ['cat'], with_names=False)
  taken = census.load_or_take('some', tmp_path)['train']
  assert taken['smallest'] is None and taken['median_width'] is None
  assert taken['num_unlabelled'] == 2 and taken['class_counts'] == {'cat': 0}
  assert [entry['index'] for entry in taken['unreadable']] == [0, 1]
  text = census.to_text({'train': taken})
  assert '2 without a label' in text and 'record 1: ' in text


def test_digits():
  records.open_records('digits', 'test')
  splits = census.load_or_take('digits')
  assert {name: x['num_images'] for name, x in splits.items()} == {
    'train': 1437,
    'test': 360,
  }
  assert sum(splits['train']['class_counts'].values()) == 1437
  assert splits['test']['largest'] == {
    'width': 8,
    'height': 8,
    'file_name': None,
  }


def test_text_names_few_of_many():
  counts = {f'class{i:02d}': 3 * i + 1 for i in range(30)}
  unreadable = [
    {'index': i, 'file_name': f'{i}.jpg', 'reason': 'cut'} for i in range(33)
  ]
  text = census.to_text(
    {
      'train': {
        'num_images': 1335,
        'num_classes': 30,
        'class_counts': counts,
        'num_unlabelled': 0,
        'num_bytes': 2_000_000,
        'smallest': {'width': 3, 'height': 4, 'file_name': 'tiny.png'},
        'largest': {'width': 30, 'height': 40, 'file_name': None},
        'median_width': 10.0,
        'median_height': 20.5,
        'unreadable': unreadable,
      }
    }
  )
  assert 'train: 1,335 images of 30 classes, 2.0 MB' in text
  assert 'images a class: 1 to 88, median 44.5' in text
  assert 'smallest: class00 1, class01 4, class02 7' in text
  assert 'class04 13\n' in text and 'class25 76\n' in text
  assert 'largest: class29 88, class28 85, class27 82' in text
  assert '3x4 (tiny.png) to 30x40, median 10x20.5' in text
  assert 'record 19 (19.jpg): cut' in text and 'record 20' not in text
  assert 'and 13 more' in text


def test_one_of_each_is_no_plural():
  counted = {
    'num_images': 1,
    'num_classes': 1,
    'num_bytes': 5e5,
    'class_counts': {'cat': 1},
    'num_unlabelled': 0,
    'smallest': None,
    'unreadable': [],
  }
  text = census.to_text({'train': counted})
  assert text == 'train: 1 image of 1 class, 0.5 MB\n  cat: 1'
