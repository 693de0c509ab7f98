"""Tests of prepared datasets as random-access records."""

import io
import pathlib
import resource

import numpy as np
from PIL import Image
import pytest
from sklearn import datasets as sklearn_datasets
import tensorflow_datasets as tfds

from inception_jax import errors
from inception_jax.data import records


@pytest.fixture(scope='module')
def digits():
  return {
    split: records.open_records('digits', split) for split in ('train', 'test')
  }


class Colours(tfds.core.GeneratorBasedBuilder):
  """Four JPEG pictures, of another size than their neighbours."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(encoding_format='jpeg'),
          'label': tfds.features.ClassLabel(names=['red', 'blue']),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    for i in range(4):
      image = np.zeros((20 + i, 30, 3), np.uint8)
      image[..., 2 * (i % 2)] = 200
      yield i, {'image': image, 'label': i % 2}


class Sounds(tfds.core.GeneratorBasedBuilder):
  """No images."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self, features=tfds.features.FeaturesDict({'label': np.int64})
    )

  def _split_generators(self, dl_manager):
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    yield 0, {'label': 1}


def test_digits_are_those_of_scikit_learn_once_each(digits):
  assert len(digits['train']) == 1437 and len(digits['test']) == 360
  assert digits['train'].class_names == tuple('0123456789')
  found = []
  for split in digits.values():
    images, labels = split.read(np.arange(len(split)))
    assert labels.dtype == np.int32
    for image, label in zip(images.numpy(), labels, strict=True):
      pixels = np.asarray(Image.open(io.BytesIO(image)))
      assert pixels.shape == (8, 8)
      found.append((label, pixels.tobytes()))
  source = sklearn_datasets.load_digits()
  expected = [
    (label, np.round(image * 255 / 16).astype(np.uint8).tobytes())
    for image, label in zip(source.images, source.target, strict=True)
  ]
  assert sorted(found) == sorted(expected)


def test_reading_is_random_access(digits):
  train = digits['train']
  images, labels = train.read(np.array([5, 3, 5]))
  again, _ = train.read(np.array([3]))
  assert images[0] == images[2] and images[1] == again[0]
  assert labels[0] == labels[2]


def test_records_are_described(digits):
  assert digits['train'].describe(7) == 'record 7 of digits train'


def test_digits_can_be_opened_twice(tmp_path):
  first = records.open_records('digits', 'test', tmp_path)
  second = records.open_records('digits', 'test', tmp_path)
  images = [opened.read(np.arange(3))[0].numpy() for opened in (first, second)]
  np.testing.assert_array_equal(*images)


def test_prepared_jpeg_dataset(tmp_path):
  builder = Colours(data_dir=tmp_path, file_format='array_record')
  builder.download_and_prepare()
  colours = records.open_records('colours', 'train', tmp_path)
  assert colours.class_names == ('red', 'blue')
  images, _ = colours.read(np.arange(4))
  assert all(image.startswith(b'\xff\xd8') for image in images.numpy())
  assert len(records.open_records('colours', 'train[:50%]', tmp_path)) == 2


def test_class_names_need_no_prepared_data(tmp_path):
  assert len(records.class_names('cifar10', tmp_path)) == 10
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ('name', 'split', 'message'),
  [
    (
      'cifar11',
      'train',
      "'cifar11' is no TFDS dataset.*; did you mean 'cif",
    ),
    (
      'imagenet2012',
      'train',
      "'imagenet2012' is not prepared .*--mode=prepare",
    ),
    ('digits', 'validation', "no split 'validation'; it has .*test"),
    ('sounds', 'train', "'sounds' is not an image-classification dataset"),
  ],
)
def test_bad_names(name, split, message, tmp_path):
  if name == 'sounds':
    Sounds(data_dir=tmp_path, file_format='array_record').download_and_prepare()
  with pytest.raises(errors.InputError, match=message):
    records.open_records(name, split, tmp_path)


def test_dataset_in_another_format_is_refused(tmp_path):
  Colours(data_dir=tmp_path, file_format='tfrecord').download_and_prepare()
  with pytest.raises(errors.InputError, match='tfrecord, which cannot be read'):
    records.open_records('colours', 'train', tmp_path)


def test_truncated_records_are_noticed(tmp_path):
  records.open_records('digits', 'test', tmp_path)
  (file,) = pathlib.Path(tmp_path).rglob('digits-test.array_record*')
  file.write_bytes(file.read_bytes()[:-100])
  with pytest.raises(
    errors.InputError, match='damaged: .*0 readable records of 360'
  ):
    records.open_records('digits', 'test', tmp_path)


def test_records_that_go_bad_later_are_named(tmp_path):
  opened = records.open_records('digits', 'test', tmp_path)
  (file,) = pathlib.Path(tmp_path).rglob('digits-test.array_record*')
  file.write_bytes(file.read_bytes()[:1000])
  with pytest.raises(errors.InputError, match='digits test cannot be read'):
    opened.read(np.array([359]))


def test_unwritable_folder(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.InputError, match='cannot be prepared in'):
    records.open_records('digits', 'test', tmp_path / 'file')


def test_as_many_files_may_be_open_as_the_system_allows():
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  assert soft > 256
  resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
  try:
    records.find_builder('digits', None)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
  finally:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
