"""Tests of preparing datasets: whole or not at all."""

import contextlib
import errno
import fcntl
import io
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tarfile
import time

import archives
from array_record.python import array_record_module
from etils import epath
import lock_holder
import numpy as np
from PIL import Image
import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds

from inception_jax.data import image_file, records
from inception_jax.data.preparation import census, prepare, staging
from inception_jax.runtime import errors


class Squares(tfds.core.GeneratorBasedBuilder):
  """What TFDS would have to download."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(shape=(None, None, 3)),
          'label': tfds.features.ClassLabel(names=['small', 'large']),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    return {'train': self._generate_examples(), 'test': [(0, self._one(9))]}

  def _one(self, size):
    return {'image': np.zeros((size, size, 3), np.uint8), 'label': size // 9}

  def _generate_examples(self):
    for size in range(1, 10):
      yield size, self._one(size)


class Noises(tfds.core.GeneratorBasedBuilder):
  """No images."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self, features=tfds.features.FeaturesDict({'label': np.int64})
    )

  def _split_generators(self, dl_manager):
    return {}

  def _generate_examples(self):
    return iter(())


def write_picture(path, seed, size=(12, 10), kind=None):
  path.parent.mkdir(parents=True, exist_ok=True)
  pixels = np.random.RandomState(seed).randint(0, 256, (*size, 3))
  Image.fromarray(pixels.astype(np.uint8)).save(path, kind)


@pytest.fixture
def pictures(tmp_path):
  """Twelve pictures of three classes, and one that is cut."""
  root = tmp_path / 'pictures'
  for i in range(5):
    write_picture(root / 'cat' / f'{i}.png', i)
    write_picture(root / 'dog' / 'old' / f'{i}.bmp', i)
  write_picture(root / 'dog' / 'z.jpg', 9)
  write_picture(root / 'owl' / '1.jpg', 10, (20, 30))
  whole = (root / 'cat' / '0.png').read_bytes()
  (root / 'cat' / 'cut.jpg').write_bytes(whole[:-100])
  (root / 'notes.txt').write_text('')
  return root


def inside(data_dir):
  return sorted(path.name for path in pathlib.Path(data_dir).iterdir())


def test_folder_becomes_records_that_need_it_no_more(
  pictures, tmp_path, capsys
):
  data_dir = tmp_path / 'data'
  result = prepare.prepare('my_photos', data_dir, str(pictures))
  out, err = capsys.readouterr()
  assert not out
  for text in ('train: 10 images of 3 classes', 'cat: 4', 'cat/cut.jpg: '):
    assert text in err
  assert inside(data_dir) == ['my_photos']
  assert json.loads(json.dumps(result)) == result
  assert result['name'] == 'my_photos'
  assert result['data_dir'] == str(data_dir / 'my_photos' / '1.0.0')
  assert [entry['file'] for entry in result['left_out']] == [
    'notes.txt',
    'cat/cut.jpg',
  ]
  train, validation = result['splits']['train'], result['splits']['validation']
  assert train['class_counts'] == {'cat': 4, 'dog': 5, 'owl': 1}
  assert validation['class_counts'] == {'cat': 1, 'dog': 1, 'owl': 0}
  assert train['largest'] == {
    'width': 30,
    'height': 20,
    'file_name': 'owl/1.jpg',
  }
  files = {
    path.relative_to(pictures).as_posix(): path.read_bytes()
    for path in pictures.rglob('*.*')
    if path.is_file()
  }
  pictures.rename(tmp_path / 'gone')
  found = set()
  for split in ('train', 'validation'):
    opened = records.open_records('my_photos', split, data_dir)
    assert opened.class_names == ('cat', 'dog', 'owl')
    assert len(opened) == result['splits'][split]['num_images']
    for example in opened.read_examples(np.arange(len(opened))):
      name = example['file_name'].decode()
      found.add(name)
      assert opened.class_names[example['label']] == name.split('/')[0]
      assert example['image'] == image_file.encode(files[name])
  assert found == set(files) - {'notes.txt', 'cat/cut.jpg'}
  assert (
    len(records.open_records('my_photos', 'train+validation', data_dir)) == 12
  )
  # Again, from what was kept, with or without the folder.
  for source in (None, str(tmp_path / 'gone')):
    assert prepare.prepare('my_photos', data_dir, source) == result
    assert 'cat/cut.jpg: ' in capsys.readouterr().err


def test_preparing_twice_gives_the_same_bytes(pictures, tmp_path):
  results = []
  for name in ('one', 'two'):
    prepare.prepare('photos', tmp_path / name, str(pictures))
    results.append(
      {
        path.name: path.read_bytes()
        for path in (tmp_path / name / 'photos' / '1.0.0').iterdir()
        if 'array_record' in path.name
      }
    )
  assert len(results[0]) == 2 and results[0] == results[1]


def test_records_are_written_to_be_read_at_random(pictures, tmp_path):
  found = prepare.prepare('pets', tmp_path / 'data', pictures)
  files = list(epath.Path(found['data_dir']).glob('*.array_record*'))
  assert len(files) == len(found['splits'])
  for file in files:
    options = array_record_module.ArrayRecordReader(
      str(file)
    ).writer_options_string()
    assert 'group_size:1,' in options and ',uncompressed' in options


def test_a_changed_folder_is_not_taken_for_prepared(pictures, tmp_path):
  data_dir = tmp_path / 'data'
  result = prepare.prepare('photos', data_dir, str(pictures))
  write_picture(pictures / 'cat' / 'new.png', 99)
  with pytest.raises(
    errors.InputError, match='from other files .* another data.name, or delete'
  ):
    prepare.prepare('photos', data_dir, str(pictures))
  assert prepare.prepare('photos', data_dir) == result


def test_dataset_of_tfds(tmp_path, capsys):
  result = prepare.prepare('squares', tmp_path)
  assert not capsys.readouterr().out
  assert result['splits']['train']['class_counts'] == {'small': 8, 'large': 1}
  assert result['splits']['test']['largest']['width'] == 9
  assert result['left_out'] == []
  assert inside(tmp_path) == ['downloads', 'squares']
  assert len(records.open_records('squares', 'train', tmp_path)) == 9
  assert prepare.prepare('squares', tmp_path) == result
  with pytest.raises(errors.InputError, match="of no use to 'squares'"):
    prepare.prepare('squares', tmp_path, str(tmp_path))


def test_digits(tmp_path):
  result = prepare.prepare('digits', tmp_path)
  assert result['splits']['test']['num_images'] == 360


@pytest.mark.parametrize(
  ('name', 'source', 'message'),
  [
    ('my photos', True, 'no name for a dataset; use small letters'),
    ('MyPhotos', True, 'no name for a folder of pictures; use small letters'),
    ('9lives', True, 'no name for a dataset'),
    ('photos/old', True, 'no name for a folder'),
    ('fake', True, 'nothing that can be prepared'),
    ('downloads', True, 'nothing that can be prepared'),
    ('cifar10', True, "no use to 'cifar10'.* another data.name"),
    ('imagenet2012', True, 'ILSVRC2012_img_train.tar .*another data.name'),
    ('imagenet2012', False, 'must be downloaded by hand'),
    ('cifar11', False, "no TFDS dataset; .* --input=FOLDER.*'cifar1"),
    ('noises', False, 'not an image-classification dataset'),
  ],
)
def test_names(name, source, message, pictures, tmp_path):
  data_dir = tmp_path / 'data'
  source = str(pictures) if source else None
  with pytest.raises(errors.InputError, match=message):
    prepare.prepare(name, data_dir, source)
  assert not data_dir.exists()


def test_data_dir_that_cannot_be_written(pictures, tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.InputError, match='file/data cannot be written'):
    prepare.prepare('photos', tmp_path / 'file' / 'data', str(pictures))


def test_a_folder_that_must_not_be_read_is_not_said_to_be_missing(
  tmp_path, monkeypatch
):
  write_picture(tmp_path / 'locked' / 'pictures' / 'a' / '1.png', 0)

  def refuse(path):
    raise PermissionError(13, 'Permission denied', path)

  monkeypatch.setattr(os, 'listdir', refuse)  # Root is never refused.
  for name in ('my_photos', 'imagenet2012'):
    with pytest.raises(
      errors.InputError, match='pictures cannot be read .Permission denied'
    ):
      prepare.prepare(
        name, tmp_path / 'data', str(tmp_path / 'locked' / 'pictures')
      )
  assert not (tmp_path / 'data').exists()


def test_too_many_files_are_said_before_anything_is_written(
  pictures, tmp_path, monkeypatch
):
  with (pictures / 'owl' / 'large.jpg').open('wb') as file:
    file.truncate(1001 * 2**20)  # Takes no room.
  limits = (1024, 1024)
  monkeypatch.setattr(resource, 'getrlimit', lambda which: limits)
  monkeypatch.setattr(resource, 'setrlimit', lambda which, limits: None)
  with pytest.raises(
    errors.InputError, match="preparing 'pets' needs 1,024 files open .*ulimit"
  ):
    prepare.prepare('pets', tmp_path / 'data', str(pictures))
  assert not (tmp_path / 'data').exists()


def test_too_many_files_while_writing_are_no_full_disk(
  pictures, tmp_path, monkeypatch
):
  def write(self, path, examples):
    raise tf.errors.ResourceExhaustedError(
      None, None, f'{path}; Too many open files'
    )

  monkeypatch.setattr(prepare._ExampleWriter, 'write', write)
  with pytest.raises(errors.InputError, match='open files.*; raise the number'):
    prepare.prepare('pets', tmp_path / 'data', str(pictures))
  assert inside(tmp_path / 'data') == []


def test_too_many_files_before_writing(pictures, tmp_path, monkeypatch):
  def refuse(*unused):
    raise OSError(24, 'Too many open files')

  monkeypatch.setattr(staging, 'open', refuse, raising=False)
  with pytest.raises(
    errors.InputError, match='data cannot be written .*open files.*; raise the'
  ):
    prepare.prepare('pets', tmp_path / 'data', str(pictures))
  assert inside(tmp_path / 'data') == []


def test_something_else_in_its_place(pictures, tmp_path):
  (tmp_path / 'data' / 'photos' / '1.0.0').mkdir(parents=True)
  with pytest.raises(errors.InputError, match='holds no prepared dataset'):
    prepare.prepare('photos', tmp_path / 'data', str(pictures))


def test_a_class_that_loses_all_its_pictures(pictures, tmp_path):
  for path in (pictures / 'owl').iterdir():
    path.write_bytes(b'')
  data_dir = tmp_path / 'data'
  with pytest.raises(errors.InputError, match="class 'owl' is left for train"):
    prepare.prepare('photos', data_dir, str(pictures))
  assert inside(data_dir) == []


def test_full_disk(tmp_path):
  root = tmp_path / 'pictures'
  for i in range(30):
    write_picture(root / 'cat' / f'{i}.png', i, (64, 64))
    write_picture(root / 'dog' / f'{i}.png', 99 + i, (64, 64))
  data_dir = tmp_path / 'data'
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
  try:
    with pytest.raises(
      errors.InputError, match=f'there is no room in {data_dir}; make some'
    ):
      prepare.prepare('photos', data_dir, str(root))
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert inside(data_dir) == []
  prepare.prepare('photos', data_dir, str(root))


def test_not_enough_room_is_said_beforehand(pictures, tmp_path, monkeypatch):
  monkeypatch.setattr(
    tfds.core.utils, 'has_sufficient_disk_space', lambda *_, **__: False
  )
  with pytest.raises(errors.InputError, match='Not enough disk.* no room in'):
    prepare.prepare('photos', tmp_path / 'data', str(pictures))


def test_records_that_were_not_written_whole(pictures, tmp_path, monkeypatch):
  """A writer that does not say that it failed."""
  build = prepare._build

  def build_and_lose(builder, *arguments):
    build(builder, *arguments)
    (file,) = builder.data_path.glob('*-train.array_record*')
    file.write_bytes(file.read_bytes()[:-100])

  monkeypatch.setattr(prepare, '_build', build_and_lose)
  with pytest.raises(errors.InputError, match='damaged: .*photos-train'):
    prepare.prepare('photos', tmp_path / 'data', str(pictures))
  assert inside(tmp_path / 'data') == []


def test_no_network(tmp_path, monkeypatch):
  def fail(self, dl_manager):
    raise requests.exceptions.ConnectionError('Name or service not known')

  monkeypatch.setattr(Squares, '_split_generators', fail)
  with pytest.raises(errors.InputError, match='not known.; see to the network'):
    prepare.prepare('squares', tmp_path)
  assert inside(tmp_path) == ['downloads']


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_nothing(signum, pictures, tmp_path, monkeypatch):
  handler = signal.getsignal(signum)

  def interrupt(*unused_arguments):
    os.kill(os.getpid(), signum)

  monkeypatch.setattr(census, 'load_or_take', interrupt)
  with pytest.raises(errors.Interrupted, match='same command again') as raised:
    prepare.prepare('photos', tmp_path / 'data', str(pictures))
  assert raised.value.exit_status == 128 + signum
  assert inside(tmp_path / 'data') == []
  assert signal.getsignal(signum) == handler


@pytest.fixture
def left_over(tmp_path):
  """What a killed process has left: staging folder and lock."""
  stage = tmp_path / 'data' / '.preparing_photos'
  # TFDS would take it for a dataset that is there already.
  (stage / 'photos' / '1.0.0').mkdir(parents=True)
  return stage


def test_another_process_is_at_it(pictures, left_over):
  data_dir = left_over.parent
  with lock_holder.held(f'{left_over}.lock') as other:
    with pytest.raises(
      errors.InputError,
      match=f"process {other.pid} of .* been preparing 'photos' in .* since",
    ):
      prepare.prepare('photos', data_dir, str(pictures))
    assert (left_over / 'photos').exists()
  prepare.prepare('photos', data_dir, str(pictures))
  assert inside(data_dir) == ['photos']


def test_another_process_was_faster(pictures, tmp_path, monkeypatch):
  data_dir = tmp_path / 'data'
  stage = staging.stage

  @contextlib.contextmanager
  def wait_and_stage(*arguments):
    monkeypatch.setattr(staging, 'stage', stage)
    prepare.prepare('photos', data_dir, str(pictures))
    with stage(*arguments) as folder:
      yield folder

  monkeypatch.setattr(staging, 'stage', wait_and_stage)
  with pytest.raises(errors.InputError, match='just now; run the same command'):
    prepare.prepare('photos', data_dir, str(pictures))
  prepare.prepare('photos', data_dir, str(pictures))
  assert inside(data_dir) == ['photos']


def test_what_another_host_name_left_is_removed(pictures, left_over, caplog):
  owner = {'host': 'container-1', 'pid': 1, 'time': 'yesterday'}
  pathlib.Path(f'{left_over}.lock').write_text(json.dumps(owner))
  prepare.prepare('photos', left_over.parent, str(pictures))
  assert 'process 1 of host container-1 has been preparing' in caplog.text
  assert inside(left_over.parent) == ['photos']


def test_without_locks_only_what_is_old_is_removed(
  pictures, left_over, monkeypatch
):
  def refuse(*unused):
    raise OSError(errno.ENOLCK, 'No locks available')

  monkeypatch.setattr(fcntl, 'flock', refuse)
  old = time.time() - 2 * 3600
  os.utime(left_over, (old, old))
  with pytest.raises(errors.InputError, match='written to 0 minutes ago; wait'):
    prepare.prepare('photos', left_over.parent, str(pictures))
  assert (left_over / 'photos').exists()
  for path in left_over.rglob('*'):
    os.utime(path, (old, old))
  prepare.prepare('photos', left_over.parent, str(pictures))
  assert inside(left_over.parent) == ['photos']


@pytest.fixture
def data_folder():
  folder = os.environ.get('INCEPTION_JAX_TEST_DATA')
  if not folder:
    pytest.skip('INCEPTION_JAX_TEST_DATA is not set')
  return pathlib.Path(folder)


@pytest.mark.test_data
def test_imagenet_from_its_tars(data_folder, tmp_path):
  script = data_folder / 'make_mini_imagenet.py'
  tars = tmp_path / 'tars'
  subprocess.run([sys.executable, script, tars], check=True)
  result = prepare.prepare('imagenet2012', tmp_path / 'data', str(tars))
  splits = result['splits']
  assert splits['train']['num_images'] == 500
  assert splits['validation']['num_images'] == 250
  assert splits['train']['num_classes'] == 1000
  assert (
    sorted(splits['train']['class_counts'].values()) == [0] * 500 + [1] * 500
  )
  assert not splits['train']['unreadable']
  photographs = {}
  with tarfile.open(data_folder / 'imagenet_sample.tar') as sample:
    for member in sample.getmembers():
      synset = member.name.split('_')[0]
      photographs[synset] = sample.extractfile(member).read()
  largest = max(
    (Image.open(io.BytesIO(x)).size for x in photographs.values()),
    key=lambda size: size[0] * size[1],
  )
  found = splits['train']['largest']
  assert found['width'] * found['height'] == largest[0] * largest[1]
  train = records.open_records('imagenet2012', 'train', tmp_path / 'data')
  examples = train.read_examples(np.arange(500))
  for example in examples:
    synset = train.class_names[example['label']]
    assert example['file_name'].decode() == f'{synset}_1.JPEG'
    assert example['image'] == photographs[synset]
  assert {train.class_names[x['label']] for x in examples} == set(photographs)


@pytest.mark.test_data
def test_cifar_from_its_folders(data_folder, tmp_path):
  archives.extract(data_folder / 'cifar10_sample.tar.gz', tmp_path)
  (root,) = {path.parent for path in tmp_path.rglob('train')}
  result = prepare.prepare('cifar_folders', tmp_path / 'data', str(root))
  assert {
    split: set(x['class_counts'].values())
    for split, x in result['splits'].items()
  } == {'train': {180}, 'validation': {20}, 'test': {100}}
  assert not result['left_out']
  everything = records.open_records(
    'cifar_folders', 'train+validation', epath.Path(tmp_path / 'data')
  )
  assert len(everything) == 2000


def test_damage_after_preparing_is_noticed_by_preparing(pictures, tmp_path):
  prepare.prepare('photos', tmp_path, str(pictures))
  (file,) = tmp_path.rglob('photos-train.array_record*')
  file.write_bytes(file.read_bytes()[:-100])
  with pytest.raises(errors.InputError, match='damaged: .* delete the folder'):
    prepare.prepare('photos', tmp_path, str(pictures))
