"""Tests of pictures that a user names."""

import os

import numpy as np
from PIL import Image
import pytest

from inception_jax.data import crop_rules, pictures

CROP = crop_rules.EvaluationCrop(32, 'center_square')
GOOD = ['animated.gif', 'deep/er/good.png', 'grey.jpg', 'tiny.png']
BAD = ['empty.jpg', 'notes.txt', 'truncated.jpg']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Pictures, files that are none, and a hidden one."""
  root = tmp_path_factory.mktemp('pictures')
  rng = np.random.default_rng(0)
  rgb = Image.fromarray(rng.integers(256, size=(90, 70, 3)).astype(np.uint8))
  (root / 'deep' / 'er').mkdir(parents=True)
  rgb.save(root / 'deep' / 'er' / 'good.png')
  rgb.resize((1, 1)).save(root / 'tiny.png')
  rgb.convert('L').save(root / 'grey.jpg')
  rgb.save(root / 'animated.gif', save_all=True, append_images=[rgb.rotate(90)])
  data = (root / 'grey.jpg').read_bytes()
  (root / 'truncated.jpg').write_bytes(data[: len(data) // 2])
  (root / 'empty.jpg').write_bytes(b'')
  (root / 'notes.txt').write_text('no picture')
  (root / '.hidden.jpg').write_bytes(data)
  return root


def test_files_folders_and_patterns(folder):
  def listed(*files):
    return [
      x.removeprefix(f'{folder}/')
      for x in pictures.list_files([str(folder / name) for name in files])
    ]

  assert listed('') == sorted([*GOOD, *BAD])
  assert listed('*.gif', 'tiny.png', 'animated.gif') == [
    'animated.gif',
    'tiny.png',
  ]
  assert listed('**/*.png') == ['deep/er/good.png', 'tiny.png']
  assert listed('d*') == ['deep/er/good.png']
  assert listed('none.png', '*.tif') == ['none.png', '*.tif']


def test_links_that_lead_back_and_files_that_are_none(tmp_path):
  (tmp_path / 'a').mkdir()
  (tmp_path / 'a' / 'up').symlink_to(tmp_path)
  (tmp_path / 'a' / 'x.png').write_bytes(b'')
  os.mkfifo(tmp_path / 'pipe')
  found = pictures.list_files([str(tmp_path)])
  assert found == [str(tmp_path / 'a' / 'x.png'), str(tmp_path / 'pipe')]
  (read,) = pictures.read_pictures(found, CROP, 2)
  assert read.failed[1]['reason'] == 'it is no regular file'


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
  (tmp_path / 'a[1].png').write_bytes(b'')
  name = str(tmp_path / 'a[1].png')
  assert pictures.list_files([name]) == [name]


def test_what_systems_put_there_is_passed_over(tmp_path):
  for name in (
    'a.png',
    'in/b.png',
    'in/@eaDir/b.png/SYNOPHOTO_THUMB_M.jpg',
    '__MACOSX/._a.png',
    'Thumbs.db',
    'lost+found/c.png',
  ):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'')
  people = [str(tmp_path / 'a.png'), str(tmp_path / 'in' / 'b.png')]
  assert pictures.list_files([str(tmp_path)]) == people
  assert pictures.list_files([str(tmp_path / '*')]) == people
  assert pictures.list_files([str(tmp_path / '**')]) == people
  # As a shell makes names of `*`.
  assert pictures.list_files(sorted(map(str, tmp_path.iterdir()))) == people
  # Who asks for nothing else wants it.
  lost = str(tmp_path / 'lost+found')
  assert pictures.list_files([lost]) == [f'{lost}/c.png']
  assert pictures.list_files([f'{lost}/*.png']) == [f'{lost}/c.png']


def test_a_name_in_another_unicode_normalisation_is_found(tmp_path):
  path = tmp_path / 'cafe\u0301.png'
  path.write_bytes(b'')
  assert pictures.list_files([str(tmp_path / 'caf\u00e9.png')]) == [str(path)]


def test_bad_pictures_are_named_and_the_others_read_in_order(folder):
  paths = pictures.list_files([str(folder), str(folder / 'none.jpg')])
  batches = list(pictures.read_pictures(paths, CROP, 3))
  assert [len(x.files) + len(x.failed) for x in batches] == [3, 3, 2]
  assert [x.images.shape for x in batches] == [
    (len(x.files), 32, 32, 3) for x in batches
  ]
  short = lambda path: path.removeprefix(f'{folder}/')
  assert [short(file) for x in batches for file in x.files] == GOOD
  reasons = {short(y['file']): y['reason'] for x in batches for y in x.failed}
  assert reasons.keys() == {*BAD, 'none.jpg'}
  assert reasons['empty.jpg'] == 'the file is empty'
  assert reasons['none.jpg'] == 'there is no such file'


def test_a_batch_of_nothing_but_bad_pictures_is_empty(folder):
  (read,) = pictures.read_pictures([str(folder / 'empty.jpg')], CROP, 1)
  assert read.files == [] and read.images.shape == (0, 32, 32, 3)


def test_pixels_are_those_of_the_file(tmp_path):
  pixels = np.random.default_rng(1).integers(256, size=(2, 32, 32, 3))
  files = [str(tmp_path / f'{i}.png') for i in range(2)]
  for image, file in zip(pixels.astype(np.uint8), files, strict=True):
    Image.fromarray(image).save(file)
  (read,) = pictures.read_pictures(files[::-1], CROP, 2)
  np.testing.assert_array_equal(read.images, pixels[::-1])


def test_addresses_are_named_and_the_other_files_read(folder):
  addresses = ['https://x.org/a.jpg', 's3://bucket/b.jpg']
  names = pictures.list_files([addresses[0], str(folder), addresses[1]])
  assert names[0] == addresses[0] and names[-1] == addresses[1]
  found = list(pictures.read_pictures(names, CROP, 100))
  reasons = {x['file']: x['reason'] for part in found for x in part.failed}
  assert 'download it first' in reasons[addresses[0]]
  assert 's3:// are not supported' in reasons[addresses[1]]
  assert any(part.files for part in found)


@pytest.mark.parametrize(
  'name', ['a[1]b', 'a*b', '[x', 'a?', 'a\nb', '~x', '-']
)
def test_patterns_below_a_folder_of_any_name(tmp_path, monkeypatch, name):
  for folder in (name, 'a1b'):
    (tmp_path / folder / 'c').mkdir(parents=True, exist_ok=True)
    for file in ('1.png', '2.png', '3.jpg'):
      (tmp_path / folder / 'c' / file).touch()
  monkeypatch.chdir(tmp_path)
  for place in (str(tmp_path / name), f'./{name}'):
    wanted = [f'{place}/c/{x}.png' for x in (1, 2)]
    for pattern in ('c/*.png', '*/[12].png', '**/?.png'):
      found = pictures.list_files([f'{place}/{pattern}'])
      assert found == wanted, pattern
  assert pictures.list_files(['~nobody_of_this_name/*.png']) == [
    '~nobody_of_this_name/*.png'
  ]
