"""Copies of prepared datasets in a bucket that forgets nothing."""

import base64
import hashlib
import pathlib
import sys
import types

import pytest

from inception_jax.data.preparation import copying
from inception_jax.runtime import errors


class Bucket:
  """What gcsfs makes of a bucket, as far as it is used."""

  def __init__(self, fails=(), damages=()):
    self.files, self.order = {}, []
    self._fails, self._damages = fails, damages

  def put_file(self, path, target):
    name = target.rsplit('/', 1)[1]
    if name in self._fails:
      raise ConnectionError('the line is down\nand more')
    contents = pathlib.Path(path).read_bytes()
    self.files[target] = contents + b'?' * (name in self._damages)
    self.order.append(name)

  def info(self, target):
    if target not in self.files:
      raise FileNotFoundError(target)
    digest = hashlib.md5(self.files[target]).digest()
    return {
      'size': len(self.files[target]),
      'md5Hash': base64.b64encode(digest).decode(),
    }


@pytest.fixture
def use(monkeypatch, any_bucket):
  def use_bucket(bucket):
    fake = types.SimpleNamespace(GCSFileSystem=lambda **unused: bucket)
    monkeypatch.setitem(sys.modules, 'gcsfs', fake)
    return bucket

  return use_bucket


@pytest.fixture
def prepared(tmp_path):
  """A dataset whose data directory has its name, too."""
  folder = tmp_path / 'mine' / 'mine' / '1.0.0'
  folder.mkdir(parents=True)
  for name in ('dataset_info.json', 'features.json', 'a-0', 'b-0', 'z.txt'):
    (folder / name).write_text(name * 3)
  return folder


def test_the_copy_is_whole_and_its_description_comes_last(use, prepared):
  bucket = use(Bucket())
  place = copying.copy(prepared, 'mine', 'gs://bucket/data/')
  assert place == 'gs://bucket/data/mine/1.0.0'
  assert bucket.files == {
    f'{place}/{path.name}': path.read_bytes() for path in prepared.iterdir()
  }
  assert set(bucket.order[-2:]) == {'dataset_info.json', 'features.json'}


def test_what_is_there_is_not_copied_again(use, prepared):
  bucket = use(Bucket())
  place = copying.copy(prepared, 'mine', 'gs://bucket')
  bucket.order.clear()
  bucket.files[f'{place}/a-0'] = b'of another time'
  del bucket.files[f'{place}/b-0']
  copying.copy(prepared, 'mine', 'gs://bucket')
  assert sorted(bucket.order) == ['a-0', 'b-0']


def test_a_configuration_is_part_of_the_place(use, prepared):
  use(Bucket())
  folder = prepared.parent / 'small' / '1.0.0'
  folder.mkdir(parents=True)
  place = copying.copy(folder, 'mine/small', 'gs://bucket')
  assert place == 'gs://bucket/mine/small/1.0.0'


@pytest.mark.parametrize(
  'bucket, words',
  [
    (
      Bucket(fails=['b-0']),
      r'cannot be copied .*\(the line is down\); run the',
    ),
    (Bucket(damages=['b-0']), 'b-0 is not what .* is after copying; run'),
  ],
)
def test_a_copy_that_fails_describes_nothing(use, prepared, bucket, words):
  use(bucket)
  with pytest.raises(errors.TrainingError, match=words):
    copying.copy(prepared, 'mine', 'gs://bucket')
  assert 'dataset_info.json' not in bucket.order


def test_only_buckets_get_copies(tmp_path):
  with pytest.raises(errors.InputError, match='must be a folder in a bucket'):
    copying.copy(tmp_path, 'mine', '/data')
