"""Tests of the account of images; tests/commands evaluates whole sets."""

import types

import pytest

from inception_jax.ensemble import predictions
from inception_jax.runtime import errors


@pytest.mark.parametrize(
  ('counted', 'skipped', 'on_bad_image', 'error', 'message'),
  [
    (9, 0, 'fail', RuntimeError, 'counted 9 images and skipped 0 where .* 10'),
    (11, 0, 'skip', RuntimeError, 'counted 11'),
    (9, 1, 'fail', errors.InputError, "1 of 10 .*on_bad_image='skip'"),
    (9, 1, 'skip', None, None),
    (10, 0, 'fail', None, None),
  ],
)
def test_every_picture_is_accounted_for(
  counted, skipped, on_bad_image, error, message
):
  answered = types.SimpleNamespace(
    ensemble=types.SimpleNamespace(num_images=10),
    dataset=types.SimpleNamespace(on_bad_image=on_bad_image),
  )
  arguments = (answered, counted, skipped)
  if error is None:
    predictions.check_count(*arguments)
    return
  with pytest.raises(error, match=message):
    predictions.check_count(*arguments)


@pytest.mark.parametrize('of_first', [[40, 30], [50, 50]])
def test_all_ask_the_networks_that_the_first_has_found(monkeypatch, of_first):
  loaded = []

  def load_run(workdir, weights, step=None):
    loaded.append((workdir, step))
    step = step or 50  # The newest here.
    return types.SimpleNamespace(step=step, digest=f'{workdir} at {step}')

  said = {}
  monkeypatch.setattr(predictions.run, 'load_run', load_run)
  monkeypatch.setattr(
    predictions.agreement, 'exchange', lambda mine: [of_first, mine]
  )
  monkeypatch.setattr(
    predictions.agreement,
    'agree',
    lambda what, value: said.update({what: value}),
  )
  predictions._load_runs(['a', 'b'], 'ema')
  again = [] if of_first == [50, 50] else [('a', 40), ('b', 30)]
  assert loaded == [('a', None), ('b', None), *again]
  assert said == {
    'number of runs': 2,
    'network in --workdir': [f'a at {of_first[0]}', f'b at {of_first[1]}'],
  }


def test_hosts_may_differ_in_folders_and_threads_only():
  data = {
    'name': 'digits',
    'data_dir': '/a',
    'num_threads': 2,
    'image_size': 32,
  }
  assert predictions._shared(data, 64) == {
    'config.data.name': 'digits',
    'config.data.image_size': 32,
    'config.train.eval_batch_size': 64,
  }
