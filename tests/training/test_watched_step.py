"""Steps that say when they are compiled, and profiles of them."""

import jax
import pytest

from inception_jax.training import watched_step


def test_compilation_is_announced_once(caplog):
  step = watched_step.announced(lambda state, batch: (state + batch, {}))
  with caplog.at_level('INFO'):
    assert step(1, 2) == (3, {}) and step(3, 4) == (7, {})
  texts = [record.getMessage() for record in caplog.records]
  assert [text.split(' in ')[0] for text in texts] == [
    'compiling the training step',
    'compiled',
  ]


@pytest.mark.parametrize(
  ('steps', 'start_step', 'expected'),
  [
    ((2, 3), 0, [1, 'start', 2, 3, 'stop', 4, 5]),
    ((2, 2), 1, ['start', 2, 'stop', 3, 4, 5]),
    ((2, 3), 2, [3, 4, 5]),  # They have begun before.
    (None, 3, [4, 5]),
  ],
)
def test_what_is_profiled(monkeypatch, caplog, steps, start_step, expected):
  happened = []
  monkeypatch.setattr(
    jax.profiler, 'start_trace', lambda folder: happened.append('start')
  )
  monkeypatch.setattr(
    jax.profiler, 'stop_trace', lambda: happened.append('stop')
  )

  def step_fn(state):
    happened.append(state)
    return state

  step = watched_step.profiled(step_fn, steps, start_step, 'folder')
  is_late = steps is not None and 'start' not in expected
  assert ('there will be no profile' in caplog.text) == is_late
  for number in range(start_step + 1, 6):
    assert step(number) == number
  assert happened == expected


def test_a_profile_is_written(tmp_path):
  step = watched_step.profiled(
    jax.jit(lambda x: x + 1), (1, 2), 0, tmp_path / 'profile'
  )
  for number in range(3):
    step(number)
  assert list(tmp_path.rglob('*.xplane.pb'))
