"""Tests of what is said about names that no dataset has."""

import pytest

from inception_jax.data import dataset_name, records
from inception_jax.data.preparation import prepare
from inception_jax.runtime import errors


def said(name, data_dir):
  with pytest.raises(errors.InputError) as raised:
    records.open_records(name, 'train', data_dir)
  return str(raised.value)


# Of four and five letters, most words are a bit like some name of hundreds.
@pytest.mark.parametrize(
  'name', ['basic', 'birds', 'cats', 'data', 'photos', 'train', 'pictures']
)
def test_what_is_not_close_is_not_suggested(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  text = said(name, tmp_path)
  assert 'did you mean' not in text
  assert f'--config.data.name={name}' in text and '--input=FOLDER' in text


@pytest.mark.parametrize(
  ('name', 'meant'),
  [
    ('mnits', 'mnist'),
    ('cifar_10', 'cifar10'),
    ('CIFAR10', 'cifar10'),
    ('ImageNet2012', 'imagenet2012'),
    ('digit', 'digits'),
  ],
)
def test_what_is_close_is_suggested(name, meant, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert f'did you mean {meant!r}?' in said(name, tmp_path)


# TFDS takes these for the dataset, which would have two names then.
@pytest.mark.parametrize(
  ('name', 'known'),
  [
    ('Digits', 'digits'),
    ('MNIST', 'mnist'),
    ('Mnist:3.0.1', 'mnist'),
    ('OxfordIIITPet', 'oxford_iiit_pet'),
  ],
)
def test_another_spelling_is_refused(name, known, tmp_path):
  text = said(name, tmp_path)
  assert f'data.name={name!r} is called {known!r}; write it so' in text
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ('folder', 'name'),
  [
    ('basic', 'basic'),
    ('./basic', 'basic'),
    ('photos/Our Cats!', 'our_cats'),
    ('2024', 'photos_2024'),
  ],
)
def test_folders_are_to_be_prepared(folder, name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / folder).mkdir(parents=True)
  text = said(folder, None)
  command = dataset_name.prepare_command(name, None, folder)
  assert 'is a folder and no prepared dataset' in text
  assert f'run `{command}`' in text and '--mode=prepare' in text
  assert ('and then set data.name=' in text) == (folder != name)
  if folder != name:
    with pytest.raises(errors.InputError, match='is a folder') as raised:
      prepare.prepare(folder, tmp_path)
    assert '--input=' in str(raised.value)


@pytest.mark.parametrize(
  'path', ['/data/cats', '~/cats', '../cats', './My Cats']
)
def test_paths_that_are_not_there_are_called_paths(path, tmp_path):
  text = said(path, tmp_path)
  assert 'looks like a path, and there is no such folder' in text
  assert '--mode=prepare' in text and '--input=FOLDER' in text
  assert 'cats' in text.rsplit('data.name=', 1)[1]


def test_a_command_can_be_copied_whatever_the_names():
  command = dataset_name.prepare_command('x', '/my data', "it's here")
  assert "'--config.data.data_dir=/my data'" in command
  assert command.endswith("""'--input=it'"'"'s here'""")
