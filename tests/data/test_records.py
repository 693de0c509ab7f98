"""Tests of prepared datasets as random-access records."""

import contextlib
import errno
import io
import os
import pathlib
import shutil
import tempfile

import numpy as np
from PIL import Image
import pytest
from sklearn import datasets as sklearn_datasets
import tensorflow_datasets as tfds

from inception_jax.data import dataset_folder, records
from inception_jax.data.preparation import prepare
from inception_jax.runtime import errors


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
    ('digits', 'validation', "no split 'validation'; it has .*test: set data"),
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


class Unlabelled(Colours):
  """Of which one has no label, as all in the tests of challenges."""

  def _generate_examples(self):
    for i, (_, example) in enumerate(super()._generate_examples()):
      yield i, {**example, 'label': -1 if i == 2 else example['label']}


def test_a_record_without_a_label_is_refused(tmp_path):
  builder = Unlabelled(data_dir=tmp_path, file_format='array_record')
  builder.download_and_prepare()
  opened = records.open_records('unlabelled', 'train', tmp_path)
  labels = [x['label'] for x in opened.read_examples(np.arange(4))]
  place = labels.index(-1)
  others = np.delete(np.arange(4), place)
  assert opened.read(others)[1].tolist() == [labels[i] for i in others]
  with pytest.raises(
    errors.InputError,
    match=f'record {place} of unlabelled train has no label; give',
  ):
    opened.read(np.array([others[0], place, others[1]]))


@pytest.fixture
def pictures(tmp_path):
  """A folder of 100 small pictures of two classes."""
  for name, colour in (('red', 0), ('blue', 2)):
    (tmp_path / 'pictures' / name).mkdir(parents=True)
    for i in range(50):
      pixels = np.zeros((4, 4, 3), np.uint8)
      pixels[..., colour] = i
      Image.fromarray(pixels).save(
        tmp_path / 'pictures' / name / f'{i}.png', compress_level=0
      )
  return tmp_path / 'pictures'


def fingerprint(name, data_dir, pictures):
  prepare.prepare(name, data_dir, str(pictures))
  return records.open_records(name, 'train', data_dir).fingerprint()


def test_fingerprint_is_of_what_is_in_the_records(pictures, tmp_path):
  first = fingerprint('pets', tmp_path / 'one', pictures)
  assert len(first) == 64
  for again in range(4):  # The features of a record are in no fixed order.
    assert fingerprint('dogs', tmp_path / f'two{again}', pictures) == first


@pytest.mark.parametrize('place', [3, 20, 49])
def test_fingerprint_tells_one_other_picture(place, pictures, tmp_path):
  first = fingerprint('pets', tmp_path / 'one', pictures)
  # As many bytes, one of another value.
  changed = pictures / 'red' / f'{place}.png'
  pixels = np.array(Image.open(changed))
  pixels[3, 3, 1] = 1
  length = changed.stat().st_size
  Image.fromarray(pixels).save(changed, compress_level=0)
  assert changed.stat().st_size == length
  names = {
    file.name for file in prepare.image_folder.find(pictures).splits['train']
  }
  same = f'red/{place}.png' not in names  # It is one of the validation part.
  assert (fingerprint('pets', tmp_path / 'two', pictures) == first) is same


def test_fingerprint_tells_one_other_label(digits, monkeypatch):
  first = digits['test'].fingerprint()
  read = records.Records.read

  def read_other(self, indices):
    images, labels = read(self, indices)
    return images, np.where(indices == 200, (labels + 1) % 10, labels)

  monkeypatch.setattr(records.Records, 'read', read_other)
  assert digits['test'].fingerprint() != first


def test_fingerprint_tells_other_class_names(pictures, tmp_path):
  first = fingerprint('pets', tmp_path / 'one', pictures)
  (pictures / 'red').rename(pictures / 'reds')
  assert fingerprint('pets', tmp_path / 'two', pictures) != first


def test_damaged_descriptions(pictures, tmp_path):
  prepare.prepare('pets', tmp_path / 'data', str(pictures))
  for name in ('dataset_info.json', 'features.json'):
    path = tmp_path / 'data' / 'pets' / '1.0.0' / name
    whole = path.read_text()
    for contents in ('', whole[:60], '{}', '[1]'):
      path.write_text(contents)
      with pytest.raises(
        errors.InputError, match=f'{name} is damaged; delete .*/pets/1.0.0 and'
      ):
        records.open_records('pets', 'train', tmp_path / 'data')
    path.write_text(whole)


def test_a_description_that_cannot_be_read_just_now_is_not_damaged(
  tmp_path, monkeypatch
):
  folder = tmp_path / 'pets' / '1.0.0'
  folder.mkdir(parents=True)
  (folder / 'dataset_info.json').write_text('{"name": "pets"}')
  dataset_folder.check_descriptions('pets', tmp_path)
  real = open

  def failing(path, *arguments, **options):
    if str(path).endswith('dataset_info.json'):
      raise OSError(errno.EIO, 'Input/output error')
    return real(path, *arguments, **options)

  monkeypatch.setattr('builtins.open', failing)
  with pytest.raises(errors.InputError, match='just now .Input/out') as found:
    dataset_folder.check_descriptions('pets', tmp_path)
  assert 'delete' not in str(found.value)


def test_names_of_fewer_classes(pictures, tmp_path):
  prepare.prepare('pets', tmp_path / 'data', str(pictures))
  path = tmp_path / 'data' / 'pets' / '1.0.0' / 'label.labels.txt'
  path.write_text('blue\n')
  with pytest.raises(errors.InputError, match='damaged: .* 1 name for 2 cla'):
    records.open_records('pets', 'train', tmp_path / 'data')


@pytest.mark.parametrize('name', ['digits/', 'digits:9.9.9', '../digits', '..'])
def test_a_wrong_name_costs_no_dataset(name, tmp_path):
  records.open_records('digits', 'test', tmp_path / 'data')
  (tmp_path / 'dataset_info.json').touch()  # Of something else, and damaged.
  with pytest.raises(errors.InputError) as caught:
    records.open_records(name, 'test', tmp_path / 'data')
  assert 'delete' not in str(caught.value)


@pytest.mark.parametrize('name', ['1,2', 'a b', '-inf', '9' * 300, 'x' * 300])
def test_what_cannot_be_a_name_is_said(name, tmp_path):
  with pytest.raises(errors.InputError, match='cannot be the name') as caught:
    records.open_records(name, 'train', tmp_path / 'data')
  assert len(str(caught.value)) < 200


@pytest.mark.parametrize('name', ['digits', 'cifar10'])
def test_a_place_that_nothing_can_read(name):
  with pytest.raises(errors.InputError, match=f"{name}' cannot be opened"):
    records.open_records(name, 'test', 's3://bucket/tfds')


@pytest.fixture
def nobody():
  """Makes the process somebody who is refused what has no permissions."""
  if os.geteuid() == 0:
    os.seteuid(65534)
    yield
    os.seteuid(0)
  else:
    yield


def test_what_must_not_be_read(nobody):
  with contextlib.ExitStack() as stack:
    folder = tempfile.mkdtemp()
    stack.callback(shutil.rmtree, folder)
    data_dir = pathlib.Path(folder, 'data')
    records.open_records('digits', 'test', data_dir)
    (shard,) = data_dir.rglob('digits-test.array_record*')
    other = data_dir / 'digits' / '9.9.9.incompleteABCD'  # Somebody else's.
    other.mkdir(mode=0)
    assert len(records.open_records('digits', 'test', data_dir)) == 360
    other.rmdir()
    for place, message in (
      (shard, f'{shard} cannot be read .Permission denied'),
      (shard.parent / 'dataset_info.json', 'info.json cannot be read'),
      (shard.parent, '1.0.0 cannot be read .Permission'),
      (data_dir / 'digits', 'digits cannot be read .Permission'),
      (data_dir, 'digits cannot be read .Permission'),
    ):
      mode = place.stat().st_mode
      place.chmod(0)
      try:
        with pytest.raises(errors.InputError, match=message) as caught:
          records.open_records('digits', 'test', data_dir)
        assert 'delete' not in str(caught.value)
      finally:
        place.chmod(mode)
