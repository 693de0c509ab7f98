"""Tests of archives that were downloaded by hand."""

import io
import tarfile

from etils import epath
import pytest
import tensorflow_datasets as tfds

from inception_jax.data.preparation import manual
from inception_jax.runtime import errors


class ByHand(tfds.core.GeneratorBasedBuilder):
  """A dataset that must be downloaded by hand."""

  VERSION = tfds.core.Version('1.0.0')
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Get the archive
  from https://nowhere.test.
  """

  def _info(self):
    return tfds.core.DatasetInfo(builder=self)

  def _split_generators(self, dl_manager):
    return {}

  def _generate_examples(self):
    return iter(())


def write_tar(path, sizes=(700, 512, 1000)):
  with tarfile.open(path, 'w') as archive:
    for i, size in enumerate(sizes):
      info = tarfile.TarInfo(f'{i}.JPEG')
      info.size = size
      archive.addfile(info, io.BytesIO(bytes([i + 1]) * size))
  return path.read_bytes()


def imagenet(data_dir):
  return tfds.builder('imagenet2012', data_dir=str(data_dir))


def test_a_whole_archive_passes(tmp_path):
  write_tar(tmp_path / 'a.tar')
  manual.check_tar(epath.Path(tmp_path / 'a.tar'))


# Three headers, and two, one and two blocks of contents: 8 blocks in all.
@pytest.mark.parametrize('length', [0, 300, 512, 1000, 1536, 2500, 4096, 4608])
def test_an_archive_cut_anywhere_is_noticed(length, tmp_path):
  path = tmp_path / 'a.tar'
  path.write_bytes(write_tar(path)[:length])
  with pytest.raises(
    errors.InputError, match=rf'a.tar \({length:,} bytes\) .* copy or download'
  ):
    manual.check_tar(epath.Path(path))


def test_what_python_takes_for_a_whole_archive(tmp_path):
  path = tmp_path / 'a.tar'
  path.write_bytes(write_tar(path)[: 8 * 512])
  with tarfile.open(path) as archive:  # The reason for looking ourselves.
    assert len(archive.getmembers()) == 3
  with pytest.raises(errors.InputError, match='its end is missing'):
    manual.check_tar(epath.Path(path))


def test_an_archive_that_was_made_at_its_full_size_before_it_was_filled(
  tmp_path,
):
  path = tmp_path / 'a.tar'
  whole = write_tar(path)
  path.write_bytes(whole[: 5 * 512] + bytes(2 * 2**20))
  with tarfile.open(path) as archive:  # Python takes it for a whole one.
    assert len(archive.getmembers()) == 2
  with pytest.raises(errors.InputError, match='nothing but zeros follows'):
    manual.check_tar(epath.Path(path))
  path.write_bytes(whole + bytes(2**19))  # A large block is no damage.
  manual.check_tar(epath.Path(path))


def test_something_else_by_the_name_of_an_archive(tmp_path):
  (tmp_path / 'a.tar').write_bytes(b'<html>' * 999)
  with pytest.raises(errors.InputError, match='a.tar .* no whole archive'):
    manual.check_tar(epath.Path(tmp_path / 'a.tar'))


def test_imagenet_needs_both_archives(tmp_path):
  builder = imagenet(tmp_path)
  with pytest.raises(
    errors.InputError, match='by hand: .*ILSVRC2012_img_train.tar .* --input'
  ):
    manual.check(builder, None)
  with pytest.raises(errors.InputError, match='none does not exist'):
    manual.check(builder, str(tmp_path / 'none'))
  write_tar(tmp_path / 'ILSVRC2012_img_val.tar')
  with pytest.raises(errors.InputError, match='is no folder'):
    manual.check(builder, str(tmp_path / 'ILSVRC2012_img_val.tar'))
  with pytest.raises(
    errors.InputError,
    match=r'has no ILSVRC2012_img_train.tar; .*https://image-net.org',
  ):
    manual.check(builder, str(tmp_path))
  path = tmp_path / 'ILSVRC2012_img_train.tar'
  whole = write_tar(path)
  # Of other archives in the folder nothing is made.
  (tmp_path / 'ILSVRC2012_bbox_train.tar').write_bytes(whole[:1000])
  manual.check(builder, str(tmp_path))
  test = tmp_path / 'ILSVRC2012_img_test.tar'
  test.write_bytes(whole[:1000])
  with pytest.raises(errors.InputError, match='img_test.tar .1,000 bytes'):
    manual.check(builder, str(tmp_path))
  test.unlink()
  path.write_bytes(whole[:1000])
  with pytest.raises(errors.InputError, match='img_train.tar .1,000 bytes'):
    manual.check(builder, str(tmp_path))


def test_other_datasets(tmp_path):
  by_hand = ByHand(data_dir=str(tmp_path))
  with pytest.raises(errors.InputError, match='Get the archive from https'):
    manual.check(by_hand, None)
  manual.check(by_hand, str(tmp_path))
  manual.check_wanted(by_hand, str(tmp_path))
  (tmp_path / 'any.tar').write_bytes(b'')
  with pytest.raises(errors.InputError, match='any.tar .0 bytes'):
    manual.check(by_hand, str(tmp_path))
  assert manual.expected_splits(by_hand, str(tmp_path)) == {}
  cifar = tfds.builder('cifar10', data_dir=str(tmp_path))
  manual.check(cifar, None)
  manual.check_wanted(cifar, None)
  with pytest.raises(errors.InputError, match="of no use to 'cifar10'"):
    manual.check_wanted(cifar, str(tmp_path))


def test_number_of_images_is_told_by_the_archives_size(tmp_path, monkeypatch):
  write_tar(tmp_path / 'ILSVRC2012_img_train.tar')
  length = write_tar(tmp_path / 'ILSVRC2012_img_val.tar').__len__()
  monkeypatch.setattr(
    manual,
    'IMAGENET_TARS',
    {
      'ILSVRC2012_img_train.tar': (length, 3),
      'ILSVRC2012_img_val.tar': (2 * length, 6),
    },
  )
  assert manual.expected_splits(imagenet(tmp_path), str(tmp_path)) == {
    'train': (3, length),
    'validation': (3, length),
  }
