"""The folder of compiled programs: where it is, and when it is not used."""

import os
import stat
import types

import pytest

from inception_jax.runtime import compilation_cache


@pytest.fixture
def config(monkeypatch, tmp_path):
  """JAX's settings, as far as they matter; the user's cache is new."""

  class Config(types.SimpleNamespace):
    def update(self, name, value):
      setattr(self, name, value)

  found = Config(
    jax_compilation_cache_dir=None,
    jax_enable_compilation_cache=True,
    jax_compilation_cache_max_size=-1,
  )
  monkeypatch.setattr(compilation_cache.jax, 'config', found)
  monkeypatch.setattr(
    compilation_cache.pooch, 'os_cache', lambda name: tmp_path / 'home' / name
  )
  return found


@pytest.fixture
def warned(monkeypatch):
  lines = []
  monkeypatch.setattr(
    compilation_cache.logging,
    'warning',
    lambda text, *values: lines.append(text % values),
  )
  return lines


def test_the_folder_is_the_users_own_and_of_this_version(config, warned):
  folder = compilation_cache.enable()
  assert config.jax_compilation_cache_dir == str(folder)
  assert config.jax_compilation_cache_max_size > 2**30
  assert compilation_cache.jax.__version__ in folder.name
  for path in (folder, folder.parent):
    assert not path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
  assert not warned


@pytest.mark.parametrize('mode', [0o777, 0o720])
def test_a_folder_that_others_write_to_is_not_used(config, warned, mode):
  folder = compilation_cache.enable()
  config.jax_compilation_cache_dir = None
  for path in (folder, folder.parent):
    path.chmod(mode)
    assert compilation_cache.enable() is None
    assert config.jax_compilation_cache_dir is None
    assert f'others may write to {path}' in warned.pop()
    path.chmod(0o700)


def test_a_folder_of_another_user_is_not_used(config, warned, monkeypatch):
  monkeypatch.setattr(os, 'getuid', lambda: 4711)
  assert compilation_cache.enable() is None
  assert 'belongs to another user' in warned[0]


def test_a_folder_that_cannot_be_made_is_said(config, warned, tmp_path):
  (tmp_path / 'home').write_text('a file')
  assert compilation_cache.enable() is None
  (line,) = warned
  assert '(Not a directory); give another' in line


@pytest.mark.parametrize(
  'setting',
  [
    {'jax_compilation_cache_dir': 'gs://mine'},
    {'jax_enable_compilation_cache': False},
  ],
)
def test_what_the_user_has_set_up_stays(config, setting):
  vars(config).update(setting)
  before = dict(vars(config))
  assert compilation_cache.enable() is None
  assert vars(config) == before
