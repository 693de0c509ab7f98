"""Whether a run goes on, by the data that there is."""

import json
import shutil

import numpy as np
from PIL import Image
import pytest
import tiny_config

from inception_jax.data import dataset, records
from inception_jax.data.preparation import census, prepare
from inception_jax.runs import train, trained_data
from inception_jax.runtime import errors, json_files


def write_pictures(folder, num_train=6, num_eval=2, shade=0):
  """Pictures of two classes, all of the same number of bytes."""
  for part, count in (('train', num_train), ('validation', num_eval)):
    for name in ('cat', 'dog'):
      (folder / part / name).mkdir(parents=True, exist_ok=True)
      for i in range(count):
        pixels = np.full((8, 8, 3), i, np.uint8)
        pixels[0, 0] = 100 + shade if i == 1 else 0
        file = folder / part / name / f'{i}.png'
        Image.fromarray(pixels).save(file, compress_level=0)
  return str(folder)


@pytest.fixture
def prepared(tmp_path):
  pictures = write_pictures(tmp_path / 'pictures')
  prepare.prepare('pets', tmp_path / 'data', pictures)
  return tmp_path / 'data'


def open_pets(data_dir, **options):
  return dataset.open_dataset(
    name='pets', image_size=8, data_dir=str(data_dir), **options
  )


def prepare_again(data_dir, **options):
  shutil.rmtree(data_dir)
  pictures = data_dir.parent / 'pictures'
  shutil.rmtree(pictures)
  prepare.prepare('pets', data_dir, write_pictures(pictures, **options))


def begin(workdir, data_dir, num_train_steps=6, **options):
  """As at the beginning of training; returns what it has kept."""
  workdir.mkdir(exist_ok=True)
  data = trained_data.check(
    workdir, open_pets(data_dir, **options).identity, num_train_steps
  )
  json_files.write_json(workdir / trained_data.FILE, data)
  (workdir / 'training.json').write_text(
    json.dumps({'num_train_steps': num_train_steps})
  )
  return (workdir / 'data.json').read_text()


def remove_census(data_dir):
  (data_dir / 'pets' / '1.0.0' / census.FILE).unlink()


def test_no_record_is_read(prepared, monkeypatch):
  for name in ('read', 'read_examples'):
    monkeypatch.setattr(records.Records, name, None)
  found = open_pets(prepared).identity
  assert found['train']['num_images'] == 12
  assert list(found['train']['splits']) == ['train']
  assert list(found['eval']['splits']) == ['validation']
  assert len(found['eval']['splits']['validation']['sha256']) == 64


def test_parts_of_splits(prepared):
  found = open_pets(
    prepared, train_split='train+validation', eval_split='train[:50%]'
  ).identity
  assert list(found['train']['splits']) == ['train', 'validation']
  assert found['train']['num_images'] == 16
  assert found['eval']['num_images'] == 6
  assert found['eval']['splits']['train']['num_images'] == 12


def test_the_same_pictures_prepared_again_elsewhere(prepared, tmp_path):
  first = begin(tmp_path / 'run', prepared)
  assert begin(tmp_path / 'run', prepared) == first
  elsewhere = tmp_path / 'elsewhere'
  shutil.copytree(prepared, elsewhere)
  assert begin(tmp_path / 'run', elsewhere) == first
  prepare_again(prepared)
  assert begin(tmp_path / 'run', prepared) == first


@pytest.mark.parametrize(
  'other, message',
  [
    ({'shade': 1}, "'pets train',.*12 images in split 'train' .* other pict"),
    ({'num_train': 7}, "training set, 'pets train', .*12 images there, 14 he"),
    ({'num_eval': 3}, "evaluation set, 'pets validation'.*4 .* there, 6 here"),
  ],
)
def test_other_pictures(other, message, prepared, tmp_path):
  workdir = tmp_path / 'run'
  begin(workdir, prepared)
  before = {x: x.read_bytes() for x in workdir.iterdir()}
  prepare_again(prepared, **other)
  with pytest.raises(errors.InputError, match=message) as caught:
    begin(workdir, prepared)
  assert f'{workdir} was trained with' in str(caught.value)
  assert 'give another --workdir, or the earlier data' in str(caught.value)
  assert {x: x.read_bytes() for x in workdir.iterdir()} == before


def test_a_label_or_the_order_is_other_data(prepared, tmp_path, monkeypatch):
  first = open_pets(prepared).train
  found = {census.take(first)['sha256']}
  read = records.Records.read_examples

  def swap(examples, index, other):
    examples[index], examples[other] = examples[other], examples[index]

  def relabel(examples, index, other):
    del other
    label = examples[index]['label']
    examples[index] = {**examples[index], 'label': 1 - label}

  for change in (swap, relabel):

    def read_other(self, indices, change=change):
      examples = read(self, indices)
      if len(indices) > 1:
        change(examples, 0, 1)
      return examples

    monkeypatch.setattr(records.Records, 'read_examples', read_other)
    found.add(census.take(first)['sha256'])
  assert len(found) == 3


def test_without_a_digest_sizes_are_compared(prepared, tmp_path, caplog):
  caplog.set_level('INFO')
  workdir = tmp_path / 'run'
  remove_census(prepared)
  first = begin(workdir, prepared)
  assert 'pets train has no digest' in caplog.text
  assert 'not what is in them; --mode=prepare' in caplog.text
  info = prepared / 'pets' / '1.0.0' / 'dataset_info.json'
  text = info.read_text()
  described = json.loads(text)
  split = next(x for x in described['splits'] if x['name'] == 'train')
  split['numBytes'] = str(int(split['numBytes']) + 1)
  info.write_text(json.dumps(described))
  with pytest.raises(
    errors.InputError, match="'pets train', .* bytes in split 'train' there,"
  ):
    begin(workdir, prepared)
  info.write_text(text)
  assert begin(workdir, prepared) == first
  # What is taken later is kept from then on, also where it is not known.
  caplog.clear()
  prepare.prepare('pets', prepared)
  covered = begin(workdir, prepared)
  assert 'no digest' not in caplog.text
  assert 'sha256' not in first and covered.count('sha256') == 2
  remove_census(prepared)
  assert begin(workdir, prepared) == covered
  prepare_again(prepared, shade=1)
  with pytest.raises(errors.InputError, match='but other pictures'):
    begin(workdir, prepared)


def test_a_census_of_an_earlier_version_is_taken_again(prepared):
  file = prepared / 'pets' / '1.0.0' / census.FILE
  whole = json.loads(file.read_text())
  earlier = {
    name: {k: v for k, v in split.items() if k != 'sha256'}
    for name, split in whole.items()
  }
  file.write_text(json.dumps(earlier))
  assert (
    'sha256' not in open_pets(prepared).identity['train']['splits']['train']
  )
  assert census.load_or_take('pets', prepared) == whole
  assert json.loads(file.read_text()) == whole


@pytest.mark.parametrize('text', ['', '{', '[]', '{"train": {}}', '{"a": 1}'])
def test_a_damaged_file_is_written_anew(text, prepared, tmp_path, caplog):
  workdir = tmp_path / 'run'
  first = begin(workdir, prepared)
  (workdir / 'data.json').write_text(text)
  assert begin(workdir, prepared) == first
  assert 'data.json is damaged; it is written anew' in caplog.text


def test_a_run_of_an_earlier_version(prepared, tmp_path):
  workdir = tmp_path / 'run'
  first = begin(workdir, prepared)
  (workdir / 'data.json').unlink()
  with pytest.raises(errors.InputError, match='would end at step 18, not 6;'):
    begin(workdir, prepared, num_train_steps=18)
  assert not (workdir / 'data.json').exists()
  assert begin(workdir, prepared) == first


def test_noise_and_digits_are_told_too(tfds_data_dir):
  noise = dataset.open_dataset(name='fake', image_size=8).identity
  assert noise['train']['num_images'] == 1_281_167
  assert noise['train']['splits']['noise']['sha256']
  digits = dataset.open_dataset(
    name='digits', image_size=8, eval_split='test'
  ).identity
  assert len(digits['train']['splits']['train']['sha256']) == 64
  assert json.loads(json.dumps(digits)) == digits


def test_training_does_not_go_on_with_other_data(
  trained, tmp_path, monkeypatch
):
  """With a checkpoint, which knows the data as well as the file does."""
  workdir = tmp_path / 'run'
  shutil.copytree(trained[0], workdir)
  real = dataset.Dataset.identity.fget

  def other(self):
    found = real(self)
    split = found['train']['splits']['train']
    splits = {'train': {**split, 'sha256': 'of others'}}
    return {**found, 'train': {**found['train'], 'splits': splits}}

  for damage in (None, '', '{"train": 7}'):
    if damage is not None:
      (workdir / 'data.json').write_text(damage)
    before = {x: x.stat().st_mtime_ns for x in workdir.rglob('*.json*')}
    with monkeypatch.context() as patch:
      patch.setattr(dataset.Dataset, 'identity', property(other))
      with pytest.raises(
        errors.InputError, match="'digits train', .* other pi"
      ):
        train.train(tiny_config.get_config(), workdir)
    assert before == {x: x.stat().st_mtime_ns for x in workdir.rglob('*.json*')}
  assert train.train(tiny_config.get_config(), workdir) == {
    **trained[1],
    'workdir': str(workdir),
  }
  assert (workdir / 'data.json').read_text() == (
    trained[0] / 'data.json'
  ).read_text()
