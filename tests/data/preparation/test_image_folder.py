"""Tests of finding and splitting the pictures of a folder."""

import hashlib
import os
import shutil

import numpy as np
from PIL import Image
import pytest

from inception_jax.data.preparation import (
  copies,
  examples,
  image_folder,
  looks,
)
from inception_jax.runtime import errors, paths


def touch(*paths):
  for path in paths:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'x')


def names(files):
  return [file.name for file in files]


def test_class_folders_alone(tmp_path):
  touch(*(tmp_path / 'dog' / f'{i}.jpg' for i in range(25)))
  touch(*(tmp_path / 'cat' / 'more' / f'{i}.jpg' for i in range(2)))
  touch(tmp_path / 'ant' / 'one.jpg')
  touch(tmp_path / '.git' / 'x', tmp_path / 'dog' / '.DS_Store')
  touch(tmp_path / 'cat' / 'Thumbs.db', tmp_path / 'cat' / 'desktop.ini')
  touch(tmp_path / 'README.txt')
  found = image_folder.find(tmp_path)
  assert found.class_names == ('ant', 'cat', 'dog')
  assert list(found.strays) == ['README.txt']
  assert set(found.splits) == {'train', 'validation'}
  counts = {
    split: [
      sum(file.class_name == c for file in files) for c in found.class_names
    ]
    for split, files in found.splits.items()
  }
  assert counts == {'train': [1, 1, 23], 'validation': [0, 1, 2]}
  # The rule, written once more.
  by_digest = sorted(
    (f'{i}.jpg' for i in range(25)),
    key=lambda name: hashlib.sha256(f'0/dog/{name}'.encode()).hexdigest(),
  )
  assert {f'dog/{name}' for name in by_digest[:2]} == {
    name for name in names(found.splits['validation']) if 'dog' in name
  }
  assert sum(names(f) == sorted(names(f)) for f in found.splits.values()) == 2


SYSTEMS = [
  '@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg',
  '__MACOSX/cat/._1.jpg',
  '#recycle/1.jpg',
  '@Recycle/1.jpg',
  '.@__thumb/1.jpg',
  '$RECYCLE.BIN/S-1-5-21/1.jpg',
  'RECYCLER/1.jpg',
  'System Volume Information/IndexerVolumeGuid',
  'FOUND.000/FILE0000.CHK',
  'lost+found/#123',
  'LOST.DIR/1.jpg',
  '.Spotlight-V100/Store-V2/x',
  '.Trashes/501/1.jpg',
  '.ipynb_checkpoints/1-checkpoint.jpg',
  '.AppleDouble/1.jpg',
  '._1.jpg',
  '.DS_Store',
  'Icon\r',
  'Thumbs.db',
  'Desktop.ini',
]


@pytest.mark.parametrize('part', ['', 'train', 'train/cat', 'train/cat/deep'])
def test_what_systems_put_there_is_passed_over(part, tmp_path):
  for name in ('1.jpg', '2.jpg', 'deep/3.jpg'):
    touch(tmp_path / 'train' / 'cat' / name, tmp_path / 'train' / 'dog' / name)
  without = image_folder.find(tmp_path)
  touch(*(tmp_path / part / name for name in SYSTEMS))
  assert image_folder.find(tmp_path) == without
  assert without.class_names == ('cat', 'dog') and not without.strays


def test_classes_may_be_called_much_like_what_systems_put_there(tmp_path):
  classes = ('recycled', 'lost', 'found', 'thumbs', 'trash', '@home')
  touch(*(tmp_path / name / '1.jpg' for name in classes))
  assert set(image_folder.find(tmp_path).class_names) == set(classes)


# The same to people: one character, and a letter with its accent.
COMPOSED, DECOMPOSED = 'caf\u00e9', 'cafe\u0301'


def test_names_of_classes_in_another_normalisation_are_the_same(tmp_path):
  touch(*(tmp_path / 'train' / DECOMPOSED / f'{i}' for i in range(3)))
  touch(tmp_path / 'train' / 'ant' / '1')
  touch(tmp_path / 'val' / COMPOSED / '1', tmp_path / 'test' / DECOMPOSED / '1')
  found = image_folder.find(tmp_path)
  assert found.class_names == ('ant', COMPOSED)
  assert [x.class_name for x in found.splits['validation']] == [COMPOSED]
  (file,) = found.splits['test']
  assert os.path.exists(file.path) and file.class_name == COMPOSED


def test_two_classes_that_look_the_same_are_named_apart(tmp_path):
  touch(tmp_path / COMPOSED / '1', tmp_path / DECOMPOSED / '1')
  with pytest.raises(errors.InputError) as raised:
    image_folder.find(tmp_path)
  assert r"'cafe\u0301' and 'caf\xe9'" in str(raised.value)
  assert 'merge or rename them' in str(raised.value)


def test_a_folder_copied_by_macos_is_divided_alike(tmp_path):
  found = []
  for form in (COMPOSED, DECOMPOSED):
    root = tmp_path / form
    touch(*(root / form / f'{form}{i}' for i in range(40)))
    touch(*(root / 'ant' / f'{i}' for i in range(40)))
    found.append(image_folder.find(root))
  first, second = found
  assert names(first.splits['validation']) != names(second.splits['validation'])
  for split in first.splits:
    normal = [paths.normal_form(x) for x in names(second.splits[split])]
    assert sorted(normal) == sorted(names(first.splits[split]))
  assert first.listing == second.listing
  # The folder itself may be typed in either form.
  (tmp_path / COMPOSED).rename(tmp_path / 'moved')
  assert image_folder.find(tmp_path / COMPOSED).listing == second.listing


def test_copies_under_names_that_look_the_same_stay_together(tmp_path):
  for form in (COMPOSED, DECOMPOSED):
    touch(*(tmp_path / 'cat' / f'{form}{i}' for i in range(50)))
  touch(tmp_path / 'dog' / COMPOSED, tmp_path / 'dog' / DECOMPOSED)
  found = image_folder.find(tmp_path)
  sides = [
    {paths.normal_form(name) for name in names(files)}
    for files in found.splits.values()
  ]
  assert not sides[0] & sides[1]
  assert sum(x.class_name == 'cat' for x in found.splits['validation']) == 10
  assert sum(x.class_name == 'dog' for x in found.splits['train']) == 2


def test_a_file_stays_on_its_side_when_other_classes_change(tmp_path):
  touch(*(tmp_path / 'cat' / f'{i}' for i in range(30)))
  touch(*(tmp_path / 'dog' / f'{i}' for i in range(30)))
  before = names(image_folder.find(tmp_path).splits['validation'])
  shutil.rmtree(tmp_path / 'dog')
  touch(*(tmp_path / 'ant' / f'{i}' for i in range(9)))
  after = names(image_folder.find(tmp_path).splits['validation'])
  is_cat = lambda name: name.startswith('cat')
  assert list(filter(is_cat, before)) == list(filter(is_cat, after))
  assert len(list(filter(is_cat, before))) == 3


@pytest.mark.parametrize('part', ['validation', 'val', 'valid', 'Val'])
def test_parts(part, tmp_path):
  for folder in ('train', part, 'test'):
    touch(*(tmp_path / folder / 'cat' / f'{folder}{i}.jpg' for i in range(3)))
  touch(tmp_path / 'train' / 'dog' / '1.jpg')
  touch(tmp_path / 'train' / 'stray.jpg')
  found = image_folder.find(tmp_path)
  assert found.class_names == ('cat', 'dog')
  assert {split: len(files) for split, files in found.splits.items()} == {
    'train': 4,
    'validation': 3,
    'test': 3,
  }
  assert found.splits['validation'][0].name == f'{part}/cat/{part}0.jpg'
  assert found.strays == {'train/stray.jpg': 'it lies in no class folder'}


def test_listing_changes_with_names_and_sizes(tmp_path):
  touch(tmp_path / 'cat' / 'a', tmp_path / 'dog' / 'a')
  before = image_folder.find(tmp_path).listing
  assert image_folder.find(tmp_path).listing == before
  (tmp_path / 'cat' / 'a').write_bytes(b'xy')
  assert image_folder.find(tmp_path).listing != before
  (tmp_path / 'cat' / 'a').write_bytes(b'x')
  assert image_folder.find(tmp_path).listing == before
  (tmp_path / 'cat' / 'a').rename(tmp_path / 'cat' / 'b')
  assert image_folder.find(tmp_path).listing != before


def fifo(path):
  path.parent.mkdir()
  os.mkfifo(path)


def link(path):
  touch(path / 'cat' / '1')
  (path / 'cat' / 'again').symlink_to(path / 'cat')


BAD = {
  'missing': (lambda root: root.rmdir(), 'does not exist'),
  'file': (lambda root: (root.rmdir(), touch(root)), 'is no folder'),
  'bare': (lambda root: touch(root / '1.jpg'), 'has no class folders'),
  'empty': (lambda root: None, 'has no class folders'),
  'bare train': (lambda root: touch(root / 'train' / '1.jpg'), 'no class fold'),
  'empty class': (
    lambda root: (touch(root / 'dog' / '1'), (root / 'cat').mkdir()),
    'class folder .*/cat is empty',
  ),
  'hidden only': (
    lambda root: touch(root / 'dog' / '1', root / 'cat' / '.x'),
    'class folder .*/cat is empty',
  ),
  'case': (
    lambda root: touch(root / 'cat' / '1', root / 'Cat' / '1'),
    "'Cat' and 'cat' .* differ in case only",
  ),
  'no train': (
    lambda root: touch(root / 'val' / 'cat' / '1'),
    "a part 'val' but no folder 'train'",
  ),
  'two validations': (
    lambda root: touch(
      *(root / p / 'a' / '1' for p in ('train', 'val', 'valid'))
    ),
    "two validation parts, 'val' and 'valid'",
  ),
  'neighbour': (
    lambda root: touch(root / 'train' / 'a' / '1', root / 'validatoin' / 'b'),
    'validatoin lies beside .* no part',
  ),
  'strange class': (
    lambda root: touch(
      root / 'train' / 'cat' / '1', root / 'val' / 'cats' / '1'
    ),
    "class 'cats' of validation .* is no class of train.*'cat'",
  ),
  'blanks': (lambda root: touch(root / ' cat' / '1'), 'blanks at an end'),
  'line break': (lambda root: touch(root / 'c\nat' / '1'), 'cannot be printed'),
  'one too high': (
    lambda root: touch(root / 'data' / 'a' / '1', root / 'data' / 'b' / '1'),
    "one class folder, 'data', which holds folders",
  ),
  'pipe': (
    lambda root: fifo(root / 'a' / 'p'),
    'empty but for a/p: .* no file',
  ),
  'loop': (link, 'again is a link to a folder that it lies in'),
  'run': (
    lambda root: touch(root / 'config.json', root / 'checkpoints' / '1'),
    'is the folder of a run; give the folder of pictures',
  ),
}


@pytest.mark.parametrize('case', BAD)
def test_bad_folders_get_a_sentence(case, tmp_path):
  make, message = BAD[case]
  root = tmp_path / 'pictures'
  root.mkdir()
  make(root)
  with pytest.raises(errors.InputError, match=message):
    image_folder.find(root)


def test_links_to_nothing_and_pipes_are_left_out(tmp_path):
  touch(tmp_path / 'a' / '1', tmp_path / 'b' / '1')
  (tmp_path / 'a' / 'gone').symlink_to('x')
  (tmp_path / 'a' / 'circle').symlink_to('circle')
  os.mkfifo(tmp_path / 'b' / 'pipe')
  (tmp_path / 'top').symlink_to('x')
  found = image_folder.find(tmp_path)
  assert [x.name for x in found.splits['train']] == ['a/1', 'b/1']
  assert found.strays == {
    'top': 'it lies in no class folder',
    'a/circle': 'it is a link to nothing',
    'a/gone': 'it is a link to nothing',
    'b/pipe': 'it is no file',
  }


def test_unreadable_files_are_errors_and_not_bad_pictures(
  tmp_path, monkeypatch
):
  touch(tmp_path / 'cat' / '1', tmp_path / 'dog' / '1')
  folder = image_folder.find(tmp_path)
  # The tests may run as root, whom no permission binds.
  monkeypatch.setattr(os, 'access', lambda path, mode: 'dog' not in str(path))
  with pytest.raises(errors.InputError, match='dog/1 cannot be read .Permiss'):
    image_folder.find(tmp_path)
  monkeypatch.undo()
  shutil.rmtree(tmp_path / 'dog')
  with pytest.raises(errors.InputError, match='dog/1 cannot be read'):
    list(
      examples.read_examples(
        'train', folder.splits['train'], [], copies.Copies()
      )
    )


def test_unreadable_folder(tmp_path, monkeypatch):
  touch(tmp_path / 'cat' / 'inner' / '1')
  scandir = os.scandir

  def fail(path):
    if str(path).endswith('inner'):
      raise PermissionError(13, 'Permission denied', str(path))
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', fail)
  with pytest.raises(errors.InputError, match='inner cannot be read .Permiss'):
    image_folder.find(tmp_path)


def test_examples_are_in_order_and_leave_out_by_name(tmp_path):
  for name in ('cat/1.jpg', 'cat/2.jpg', 'dog/1.jpg', 'dog/ä.jpg'):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    # A PNG under a JPEG's name.
    Image.fromarray(np.full((5, 6, 3), 9, np.uint8)).save(path, 'PNG')
  (tmp_path / 'cat' / '0.jpg').write_bytes(b'')
  (tmp_path / 'cat' / '3.jpg').write_bytes(b'text')
  files = sorted(
    (f for fs in image_folder.find(tmp_path).splits.values() for f in fs),
    key=lambda file: file.name,
  )
  left_out, seen = [], copies.Copies()
  found = list(examples.read_examples('train', files, left_out, seen))
  assert [example['file_name'] for _, example in found] == [
    'cat/1.jpg',
    'cat/2.jpg',
    'dog/1.jpg',
    'dog/ä.jpg',
  ]
  assert [example['label'] for _, example in found] == ['cat'] * 2 + ['dog'] * 2
  assert len({key for key, _ in found}) == 4
  assert [entry['file'] for entry in left_out] == ['cat/0.jpg', 'cat/3.jpg']
  assert 'empty' in left_out[0]['reason'] and 'JPEG' in left_out[1]['reason']
  (tmp_path / 'dog' / '1.jpg').write_bytes(b'')
  (tmp_path / 'dog' / 'ä.jpg').write_bytes(b'')
  with pytest.raises(
    errors.InputError, match="no picture of class 'dog' is left .*dog/1.jpg"
  ):
    list(examples.read_examples('train', files, [], copies.Copies()))
  # Elsewhere a class may be missing, but not all of them.
  assert (
    len(list(examples.read_examples('validation', files, [], copies.Copies())))
    == 2
  )
  with pytest.raises(errors.InputError, match='left for validation'):
    list(examples.read_examples('validation', files[3:], [], copies.Copies()))


def test_copies_in_other_classes_and_parts_are_named(tmp_path, caplog):
  names = (
    'train/cat/1',
    'train/cat/2',
    'train/dog/1',
    'val/cat/3',
    'val/dog/2',
  )
  contents = {'train/dog/1': 'train/cat/1', 'val/cat/3': 'train/cat/2'}
  for number, name in enumerate(names):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name in contents:
      shutil.copy(tmp_path / contents[name], path)
      continue
    Image.fromarray(np.full((5, 6, 3), number, np.uint8)).save(path, 'PNG')
  seen = copies.Copies()
  for split, files in image_folder.find(tmp_path).splits.items():
    list(examples.read_examples(split, files, [], seen))
  assert seen.found == [
    ('train/dog/1', 'train/cat/1', False, True, True),
    ('val/cat/3', 'train/cat/2', True, False, True),
  ]
  copies.warn(seen.found)
  of_classes, of_parts = caplog.messages
  assert 'a picture is in the folders of two classes' in of_classes
  assert "'train/dog/1' and 'train/cat/1'); delete each from" in of_classes
  assert 'a picture is in two parts' in of_parts and 'val/cat/3' in of_parts
  caplog.clear()
  copies.warn([copies.Copy('cat/2', 'cat/1', True, True)])
  assert not caplog.messages


def test_copies_of_another_size_are_named(tmp_path, caplog):
  rng = np.random.RandomState(0)
  for name in ('train/cat/1', 'train/dog/1', 'val/cat/1', 'val/dog/1'):
    path = tmp_path / f'{name}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = rng.randint(0, 256, (6, 8, 3)).astype(np.uint8)
    Image.fromarray(noise).resize((320, 240)).save(path)
  # The same again, smaller and as a JPEG.
  with Image.open(tmp_path / 'train' / 'cat' / '1.png') as image:
    copy = image.resize((100, 75), Image.Resampling.LANCZOS)
  copy.save(tmp_path / 'val' / 'dog' / '2.jpg', quality=80)
  seen = copies.Copies()
  for split, files in image_folder.find(tmp_path).splits.items():
    list(examples.read_examples(split, files, [], seen))
  assert not seen.found
  alike = seen.alike()
  assert alike == [('val/dog/2.jpg', 'train/cat/1.png', False, False, False)]
  copies.warn(alike)
  (text,) = caplog.messages
  assert 'like one of the training part' in text and 'val/dog/2.jpg' in text


def test_what_pillow_refuses_has_no_look():
  assert looks.look(b'no picture') is None
  seen = copies.Copies()
  seen.add(b'1', None, 'train', None)
  assert not seen.alike()
