"""Tests of imports of modules that need TensorFlow."""

import pytest
import tensorflow as tf

from inception_jax.data import records, tensorflow_modules
from inception_jax.runtime import errors


def test_tensorflow_gets_no_gpu(monkeypatch):
  asked = []
  monkeypatch.setattr(
    tf.config, 'set_visible_devices', lambda *what: asked.append(what)
  )
  assert tensorflow_modules.import_module('records', 'testing') is records
  assert asked == [([], 'GPU')]


def test_gpus_that_tensorflow_has_are_no_error(monkeypatch, caplog):
  def fail(*what):
    raise RuntimeError('Visible devices cannot be modified')

  monkeypatch.setattr(tf.config, 'set_visible_devices', fail)
  with caplog.at_level('WARNING'):
    tensorflow_modules.import_module('records', 'testing')
  assert 'restart to leave them to JAX' in caplog.text


def test_what_is_missing_is_named():
  with pytest.raises(
    errors.InputError, match=r"testing needs .*no_such.*inception_jax\[data\]'"
  ):
    tensorflow_modules.import_module('no_such', 'testing')
