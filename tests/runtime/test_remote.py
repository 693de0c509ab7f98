"""Buckets that cannot be used are one sentence each."""

import sys
import time
import types

import pytest

from inception_jax.runtime import errors, paths, remote


class HttpError(Exception):
  """As gcsfs raises it."""

  def __init__(self, code, text):
    super().__init__(text)
    self.code = code


@pytest.fixture
def answer(monkeypatch):
  """Gives gcsfs something to do when a bucket is asked for; counts that."""
  remote._why_not.cache_clear()
  monkeypatch.setattr(remote, '_is_installed', lambda package: True)
  asked = []

  def set_to(action):
    def call(method, path, bucket, **unused):
      asked.append(bucket)
      return action()

    fake = types.SimpleNamespace(
      GCSFileSystem=lambda: types.SimpleNamespace(call=call)
    )
    monkeypatch.setitem(sys.modules, 'gcsfs', fake)
    return asked

  yield set_to
  remote._why_not.cache_clear()


def raise_(error):
  raise error


def test_a_bucket_is_asked_for_once(answer):
  asked = answer(dict)
  for path in ('gs://b/x', 'gs://b', 'gs://c/y'):
    assert paths.expand(path, '--workdir') == path
  assert asked == ['b', 'c']


@pytest.mark.parametrize(
  'error, words',
  [
    (FileNotFoundError('b'), "there is no bucket 'b'; make it"),
    (HttpError(404, 'The specified bucket'), "there is no bucket 'b'; make it"),
    (
      HttpError(403, 'no access'),
      'refuses \\(no access\\); log in with gcloud',
    ),
    (PermissionError('x'), 'refuses \\(x\\); log in'),
    (RuntimeError('Your default credentials were not found'), 'log in with'),
    (OSError('Name or service not known'), 'cannot be used just now .*network'),
  ],
)
def test_what_is_wrong_is_said(answer, error, words):
  answer(lambda: raise_(error))
  with pytest.raises(
    errors.InputError, match=f'^--workdir=gs://b/x: .*{words}'
  ):
    paths.expand('gs://b/x', '--workdir')


def test_a_bucket_that_does_not_answer(answer, monkeypatch):
  monkeypatch.setattr(remote, '_SECONDS', 0.1)
  answer(lambda: time.sleep(2))
  with pytest.raises(errors.InputError, match="'b' does not answer; check"):
    paths.expand('gs://b/x', '--workdir')


def test_missing_packages_and_buckets(answer, monkeypatch):
  with pytest.raises(errors.InputError, match='has no bucket; give gs://BUCK'):
    paths.expand('gs:///x', '--workdir')
  monkeypatch.setattr(remote, '_is_installed', lambda package: False)
  with pytest.raises(
    errors.InputError, match='needs gcsfs and google.cloud.storage; pip install'
  ):
    paths.expand('gs://b/x', '--workdir')


def test_whether_a_package_is_installed():
  assert remote._is_installed('json')
  assert not remote._is_installed('no_such_package.inside')
