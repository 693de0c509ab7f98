"""Tests of the loop around the step, with steps that NumPy can make."""

import dataclasses
import json
import math
import os
import signal
import time
import types

from absl import logging
import jax
import numpy as np
import pytest

from inception_jax.runtime import errors
from inception_jax.training import loop as loop_lib
from inception_jax.training import loop_options, metric_window, stop_signal

CLASSES = 10
CHANCE = math.log(CLASSES)


@dataclasses.dataclass(frozen=True)
class State:
  step: int


class Scalar:
  """A metric that tells when it is read, as the host waits for the device."""

  def __init__(self, value, on_read=lambda: None):
    self._value = value
    self._on_read = on_read

  def item(self):
    self._on_read()
    return self._value


def metrics_of(step):
  """Exact in binary, so that means are exact too."""
  return {
    'loss': 4.0 - step / 64,
    'loss_main': 2.5 - step / 64,
    'top1_main': step / 64,
    'learning_rate': 0.5,
    'gradient_norm': 1.0 + step,
    'param_norm': 2.0 + step,
  }


class Recorder:
  """Keeps what a run's files would hold."""

  def __init__(self, happened):
    self.train, self.evaluations, self.timings = [], [], []
    self._happened = happened

  def train_metrics(self, step, values):
    self._happened.append(('log', step))
    self.train.append((step, dict(values)))

  def evaluation(self, step, values):
    self.evaluations.append((step, values))

  def timing(self, step, values):
    self.timings.append((step, dict(values)))

  def flush(self, sync=False):
    self._happened.append(('flush', None))


class Run:
  """A loop with everything around it, and what happened in order.

  Args:
    metadata: of the checkpoint to go on from.
    change: step -> metrics that differ from `metrics_of`.
    at: step -> what to call while that step is dispatched.
    stops_in_evaluation: steps whose evaluations are stopped by a signal.
    **options: changes to the options.
  """

  def __init__(
    self,
    metadata=None,
    change=None,
    at=None,
    stops_in_evaluation=(),
    **options,
  ):
    self.happened = []
    self.recorder = Recorder(self.happened)
    self.saves = []
    self._change = change or {}
    self._at = at or {}
    self._stops_in_evaluation = stops_in_evaluation
    self.options = loop_options.LoopOptions(
      **{
        'num_train_steps': 12,
        'batch_size': 8,
        'num_classes': CLASSES,
        'log_every_steps': 4,
        'eval_every_steps': 100,
        'checkpoint_every_steps': 100,
        'dead_head_steps': 1000,
        **options,
      }
    )
    # As a checkpoint keeps it.
    self._metadata = json.loads(json.dumps(metadata or {}))
    self.loop = loop_lib.TrainLoop(
      options=self.options,
      train_step=self._train_step,
      evaluate_fn=self._evaluate,
      save_fn=self._save,
      recorder=self.recorder,
      metadata=self._metadata,
    )

  def __call__(self):
    start = self._metadata.get('step', 0)
    batches = ({'number': number} for number in range(start, 10**6))
    return self.loop.run(State(start), batches)

  def steps(self, kind):
    return [step for what, step in self.happened if what == kind]

  def _train_step(self, state, batch):
    assert batch['number'] == state.step
    step = state.step + 1
    self.happened.append(('dispatch', step))
    values = {**metrics_of(step), **self._change.get(step, {})}
    values.setdefault('stop', int(np.asarray(batch['stop']).max()))
    metrics = {name: Scalar(value) for name, value in values.items()}
    metrics['loss'] = Scalar(
      values['loss'], lambda: self.happened.append(('read', step))
    )
    self._at.get(step, lambda: None)()
    return State(step), metrics

  def _evaluate(self, state, stop):
    if state.step in self._stops_in_evaluation:
      raise stop_signal.EvaluationStoppedError(signal.SIGTERM)
    self.happened.append(('evaluate', state.step))
    return {'raw': {'top1': state.step / 64}}

  def _save(self, state, metadata):
    assert state.step == metadata['step']
    self.happened.append(('save', state.step))
    self.saves.append(metadata)


def mean_metrics(steps):
  rows = [metrics_of(step) for step in steps]
  return {name: np.mean([row[name] for row in rows]) for name in rows[0]}


# --- Reading, logging, evaluating, saving ------------------------------------


def test_lines_are_means_over_their_window():
  run = Run(num_train_steps=10)
  assert run() == State(10)
  assert [step for step, _ in run.recorder.train] == [4, 8, 10]
  windows = [range(1, 5), range(5, 9), range(9, 11)]
  for (_, values), window in zip(run.recorder.train, windows, strict=True):
    assert values == mean_metrics(window)


def test_every_step_is_read_one_step_late_and_in_order():
  run = Run(num_train_steps=6, log_every_steps=2)
  run()
  events = [e for e in run.happened if e[0] in ('dispatch', 'read')]
  late = [('dispatch', 1)]
  for step in range(2, 6):
    late += [('dispatch', step), ('read', step - 1)]
  # At the end there is nothing left to dispatch.
  late += [('dispatch', 6), ('read', 5), ('read', 6)]
  assert events == late


def test_a_checkpoint_waits_for_its_own_step_to_be_read():
  run = Run(num_train_steps=9, checkpoint_every_steps=3, eval_every_steps=3)
  run()
  assert run.steps('dispatch') == run.steps('read') == list(range(1, 10))
  for step in (3, 6, 9):
    where = run.happened.index
    assert (
      where(('dispatch', step))
      < where(('read', step))
      < where(('evaluate', step))
      < where(('save', step))
    )
    assert step == 9 or where(('save', step)) < where(('dispatch', step + 1))


@pytest.mark.parametrize(
  'num_steps, logs, evaluations, saves',
  [
    (12, [4, 8, 12], [3, 6, 9, 12], [5, 10, 12]),
    (13, [4, 8, 12, 13], [3, 6, 9, 12, 13], [5, 10, 13]),
    (2, [2], [2], [2]),
  ],
)
def test_cadence(num_steps, logs, evaluations, saves):
  run = Run(
    num_train_steps=num_steps, eval_every_steps=3, checkpoint_every_steps=5
  )
  run()
  assert run.steps('log') == logs
  assert [step for step, _ in run.recorder.timings] == logs
  assert run.steps('evaluate') == evaluations
  assert [step for step, _ in run.recorder.evaluations] == evaluations
  assert run.steps('save') == saves
  assert run.recorder.evaluations[-1] == (
    num_steps,
    {'raw': {'top1': num_steps / 64}},
  )


def test_lines_are_on_disk_before_a_checkpoint():
  run = Run(checkpoint_every_steps=5)
  run()
  for index, (what, _) in enumerate(run.happened):
    if what == 'save':
      assert run.happened[index - 1] == ('flush', None)


def test_timing_counts_the_images_of_its_window():
  run = Run(num_train_steps=10)
  run()
  for (_, values), steps in zip(run.recorder.timings, (4, 4, 2), strict=True):
    assert values['seconds'] > 0
    images = values['images_per_second'] * values['seconds']
    assert images == pytest.approx(steps * 8)
    assert 0 <= values['input_wait_share'] < 1


@pytest.mark.parametrize(
  ('input_seconds', 'step_seconds', 'warned'),
  [(0.2, 0.8, [12]), (0.01, 0.99, []), (3.0, 0.1, [12])],
)
def test_input_that_is_the_bottleneck_is_warned_of_once(
  input_seconds, step_seconds, warned, monkeypatch, caplog
):
  now = [0.0]

  def pass_time(seconds):
    now[0] += seconds

  monkeypatch.setattr(loop_lib.time, 'perf_counter', lambda: now[0])
  run = Run(
    num_train_steps=24,
    at=dict.fromkeys(range(1, 25), lambda: pass_time(step_seconds)),
  )

  def batches():
    for number in range(10**6):
      pass_time(input_seconds)
      yield {'number': number}

  with caplog.at_level('WARNING'):
    run.loop.run(State(0), batches())
  share = input_seconds / (input_seconds + step_seconds)
  for _, timing in run.recorder.timings[1:]:
    assert timing['input_wait_share'] == pytest.approx(share, abs=0.05)
  lines = [r.getMessage() for r in caplog.records if 'bottleneck' in r.message]
  assert [int(line.split()[1].rstrip(':')) for line in lines] == warned
  assert all(f'{100 * share:.0f} %' in line for line in lines)


# --- Going on ----------------------------------------------------------------


@pytest.mark.parametrize('saved_at', [4, 5, 7])
def test_going_on_from_a_checkpoint_gives_the_lines_of_an_unbroken_run(
  saved_at,
):
  unbroken = Run(num_train_steps=20)
  unbroken()
  first = Run(num_train_steps=20, checkpoint_every_steps=saved_at)
  first()
  metadata = first.saves[0]
  assert metadata['step'] == saved_at
  assert metadata['window']['count'] == saved_at % 4
  second = Run(num_train_steps=20, metadata=metadata)
  assert second() == State(20)
  assert second.steps('dispatch') == list(range(saved_at + 1, 21))
  before = [line for line in first.recorder.train if line[0] <= saved_at]
  assert before + second.recorder.train == unbroken.recorder.train


@pytest.mark.parametrize('signalled_at', range(1, 9))
@pytest.mark.parametrize('checkpoint_every_steps', [1, 3, 100])
def test_going_on_after_a_signal_gives_the_lines_of_an_unbroken_run(
  signalled_at, checkpoint_every_steps
):
  unbroken = Run(num_train_steps=20)
  unbroken()
  first = Run(
    num_train_steps=20,
    at={signalled_at: lambda: os.kill(os.getpid(), signal.SIGTERM)},
    checkpoint_every_steps=checkpoint_every_steps,
  )
  with pytest.raises(errors.Interrupted):
    first()
  second = Run(num_train_steps=20, metadata=first.saves[-1])
  assert second() == State(20)
  lines = first.recorder.train + second.recorder.train
  assert lines == unbroken.recorder.train


def test_a_finished_run_does_nothing_more():
  first = Run()
  first()
  second = Run(metadata=first.saves[-1])
  assert second() == State(12)
  assert second.happened == []


def test_the_metadata_given_is_left_alone():
  metadata = {'step': 2, 'window': {'sums': {'loss': 1.0}, 'count': 2}}
  run = Run(metadata=metadata)
  run()
  assert run._metadata == metadata


# --- What is not finite ------------------------------------------------------

BAD = [
  (name, value)
  for name in ('loss', 'gradient_norm', 'param_norm')
  for value in (math.nan, math.inf, -math.inf)
]


@pytest.mark.parametrize('name, value', BAD)
def test_what_is_not_finite_stops_the_run(name, value):
  run = Run(change={5: {name: value}}, checkpoint_every_steps=3)
  with pytest.raises(errors.NotFiniteError) as caught:
    run()
  message = str(caught.value)
  assert f'{name} is not finite at step 5;' in message
  assert 'checkpoint 3 is the last good one' in message
  assert caught.value.last_good == 3
  assert run.steps('save') == [3]
  assert run.steps('dispatch')[-1] <= 6
  assert run.happened[-1] == ('flush', None)


@pytest.mark.parametrize(
  'bad_step, saves, kept',
  [
    (2, [], 'there is no checkpoint yet'),
    (3, [], 'there is no checkpoint yet'),
    (6, [3], 'checkpoint 3 is'),
    (8, [3, 6], 'checkpoint 6 is'),
    (12, [3, 6, 9], 'checkpoint 9 is'),  # The last step.
  ],
)
def test_a_bad_state_is_never_saved_nor_evaluated(bad_step, saves, kept):
  run = Run(
    change={bad_step: {'loss': math.nan}},
    checkpoint_every_steps=3,
    eval_every_steps=3,
  )
  with pytest.raises(errors.TrainingError, match=kept) as caught:
    run()
  assert f'at step {bad_step};' in str(caught.value)
  assert run.steps('save') == run.steps('evaluate') == saves


def test_the_checkpoint_gone_on_from_counts_as_good():
  run = Run(metadata={'step': 4}, change={6: {'loss': math.nan}})
  with pytest.raises(errors.TrainingError, match='checkpoint 4 is the last'):
    run()
  assert run.saves == []


def test_a_signal_does_not_save_a_bad_state():
  run = Run(
    at={3: lambda: os.kill(os.getpid(), signal.SIGTERM)},
    change={5: {'param_norm': math.inf}},
  )
  with pytest.raises(errors.TrainingError, match='param_norm .* at step 5'):
    run()
  assert run.saves == []


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_an_evaluation_that_is_not_finite_stops_the_run(value):
  run = Run(checkpoint_every_steps=3, eval_every_steps=6)
  good = {'top1': 0.5, 'loss': 1.0}
  results = {'raw': good, 'ema': {**good, 'loss': value}}
  run.loop._evaluate_fn = lambda *unused: results
  with pytest.raises(errors.TrainingError) as caught:
    run()
  message = str(caught.value)
  assert 'the evaluation with ema weights is not finite at step 6;' in message
  assert 'checkpoint 3 is the last good one' in message
  assert run.steps('save') == [3] and not run.recorder.evaluations


def test_all_that_is_bad_is_named():
  bad = {'loss': math.nan, 'gradient_norm': math.inf, 'param_norm': math.inf}
  run = Run(change={2: bad})
  message = 'loss, gradient_norm and param_norm are not finite at step 2'
  with pytest.raises(errors.TrainingError, match=message):
    run()


# --- Signals -----------------------------------------------------------------


@pytest.mark.parametrize(
  'signum, status', [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_saves_once_and_leaves(signum, status):
  before = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
  run = Run(at={5: lambda: os.kill(os.getpid(), signum)}, num_train_steps=50)
  with pytest.raises(errors.Interrupted) as caught:
    run()
  assert caught.value.exit_status == status
  (saved,) = run.steps('save')
  assert 5 <= saved <= 8
  assert f'stopped by {signum.name} at step {saved},' in str(caught.value)
  assert run.steps('read') == run.steps('dispatch') == [*range(1, saved + 1)]
  after = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
  assert after == before


def test_a_signal_does_not_save_a_checkpoint_twice():
  run = Run(
    at={5: lambda: os.kill(os.getpid(), signal.SIGTERM)},
    checkpoint_every_steps=1,
  )
  with pytest.raises(errors.Interrupted):
    run()
  saves = run.steps('save')
  assert saves == list(range(1, saves[-1] + 1))


@pytest.mark.parametrize('step', [8, 12])
def test_an_evaluation_that_was_stopped_is_made_up_for(step):
  first = Run(eval_every_steps=4, stops_in_evaluation=[step])
  with pytest.raises(errors.Interrupted, match=f'step {step}, which is saved'):
    first()
  evaluated = list(range(4, step, 4))
  assert [x for x, _ in first.recorder.evaluations] == evaluated
  assert first.steps('save') == [step]
  (saved,) = first.saves
  assert saved['owes_evaluation']
  # It may be stopped again; nothing is saved twice.
  again = Run(metadata=saved, eval_every_steps=4, stops_in_evaluation=[step])
  with pytest.raises(errors.Interrupted):
    again()
  assert not again.happened
  last = Run(metadata=saved, eval_every_steps=4)
  assert last() == State(12)
  assert [x for x, _ in last.recorder.evaluations] == list(range(step, 13, 4))
  assert all('owes_evaluation' not in x for x in last.saves)


def test_a_second_signal_would_kill():
  seen = []

  def interrupt():
    ours = signal.getsignal(signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    seen.extend([ours, signal.getsignal(signal.SIGTERM)])

  with pytest.raises(errors.Interrupted):
    Run(at={2: interrupt})()
  assert callable(seen[0])
  assert seen[1] == signal.SIG_DFL


@pytest.mark.parametrize('signalled_at', [11, 12])  # Seen in step 12, never.
def test_a_signal_in_the_last_steps_is_too_late_to_matter(signalled_at):
  run = Run(at={signalled_at: lambda: os.kill(os.getpid(), signal.SIGTERM)})
  assert run() == State(12)
  assert run.steps('save') == [12]
  assert run.recorder.train[-1][1] == mean_metrics(range(9, 13))


@pytest.mark.parametrize('ends_by', ['finishing', 'error'])
def test_handlers_are_put_back(ends_by):
  before = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
  inside = []

  def look():
    inside.append(signal.getsignal(signal.SIGTERM))
    if ends_by == 'error':
      raise OSError('disk full')

  run = Run(at={3: look})
  if ends_by == 'error':
    with pytest.raises(OSError, match='disk full'):
      run()
  else:
    run()
  assert inside[0] not in before
  after = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
  assert after == before


def test_flags_are_one_a_device():
  with stop_signal.StopSignal() as stop:
    np.testing.assert_array_equal(stop.flags(), [0])
    os.kill(os.getpid(), signal.SIGTERM)
    np.testing.assert_array_equal(stop.flags(), [2 * signal.SIGTERM])
    stop.is_save_due = True
    np.testing.assert_array_equal(stop.flags(), [2 * signal.SIGTERM + 1])


def test_a_signal_that_comes_again_by_others_kills_nothing(monkeypatch):
  before = signal.getsignal(signal.SIGTERM)
  monkeypatch.setattr(stop_signal.StopSignal, 'second_kills', False)
  with stop_signal.StopSignal() as stop:
    pass
  assert signal.getsignal(signal.SIGTERM) is before
  try:
    with stop_signal.StopSignal() as stop:
      for _ in range(3):
        os.kill(os.getpid(), signal.SIGTERM)
      assert stop.signum == signal.SIGTERM
    os.kill(os.getpid(), signal.SIGTERM)  # What was saved is being written.
  finally:
    signal.signal(signal.SIGTERM, before)
    signal.signal(signal.SIGINT, signal.default_int_handler)


class FailingInput:
  """Batches whose image at `bad` is no image."""

  def __init__(self, bad):
    self._numbers = iter(range(10**6))
    self._bad = bad

  def __iter__(self):
    return self

  def __next__(self):
    number = next(self._numbers)
    if number == self._bad:
      raise errors.InputError('record 7 is no image')
    return {'number': number}


def test_bad_input_of_one_process_alone_is_raised_as_it_is():
  with stop_signal.StopSignal() as stop:
    found = []
    with pytest.raises(errors.InputError, match='record 7'):
      found.extend(batch['number'] for batch in stop.guard(FailingInput(3)))
    assert stop.flags().max() == 0


def test_bad_input_of_one_of_several_processes_stops_all(monkeypatch):
  monkeypatch.setattr(stop_signal.cluster, 'num_processes', lambda: 2)
  said = []
  monkeypatch.setattr(
    stop_signal.agreement,
    'exchange',
    lambda mine: said.append(mine) or [None, 'record 7 is bad'],
  )
  with stop_signal.StopSignal() as stop:
    batches = stop.guard(FailingInput(3))
    numbers = [next(batches)['number'] for _ in range(6)]
    assert numbers == [0, 1, 2, 2, 2, 2]  # Nobody has to wait.
    request, _ = stop_signal.read(int(stop.flags().max()))
    for other in (0, signal.SIGTERM):
      stop.check(other)
    with pytest.raises(errors.InputError, match='record 7'):
      stop.check(max(request, signal.SIGTERM))
    # A signal that comes after it must not hide it, or the state of repeated
    # batches would be saved.
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.signum == stop_signal.FAILED
  with stop_signal.StopSignal() as elsewhere:
    with pytest.raises(
      errors.TrainingError, match='process 1 of 2 has ended: record 7 is bad'
    ):
      elsewhere.check(request)
  # All of them have said why, or that they do not know.
  assert 'record 7' in said[0] and said[1] is None


def test_steps_after_bad_input_are_neither_logged_nor_saved(monkeypatch):
  monkeypatch.setattr(
    stop_signal.agreement, 'exchange', lambda mine: [mine, 'bad']
  )
  run = Run(
    log_every_steps=1,
    checkpoint_every_steps=1,
    change={6: {'stop': 2 * stop_signal.FAILED}},
  )
  with pytest.raises(errors.TrainingError, match='has ended: bad'):
    run()
  assert run.steps('save') == run.steps('log') == [1, 2, 3, 4, 5]


@pytest.mark.parametrize('number, expected', [(0, [4, 8, 12]), (1, [12])])
def test_a_checkpoint_is_written_once_the_last_is_old(
  monkeypatch, number, expected
):
  clock = [0.0]
  monkeypatch.setattr(
    loop_lib,
    'time',
    types.SimpleNamespace(
      perf_counter=time.perf_counter, monotonic=lambda: clock[0]
    ),
  )
  # The clock of the first process decides.
  monkeypatch.setattr(loop_lib.jax, 'process_index', lambda: number)

  def half_a_minute():
    clock[0] += 30

  run = Run(
    checkpoint_every_minutes=1.0,
    at=dict.fromkeys(range(1, 13), half_a_minute),
  )
  run()
  assert run.steps('save') == expected


def test_all_processes_save_where_one_is_due():
  run = Run(change={5: {'stop': 1}})
  run()
  assert run.steps('save') == [6, 12]
  assert stop_signal.read(2 * signal.SIGTERM) == (signal.SIGTERM, False)
  assert stop_signal.read(1) == (0, True)


# --- Dead heads --------------------------------------------------------------


@pytest.fixture
def warned(monkeypatch):
  # On a busy machine the loop may wait for its input too.
  monkeypatch.setattr(loop_lib, 'INPUT_BOUND_SHARE', math.inf)
  lines = []
  monkeypatch.setattr(
    logging, 'warning', lambda form, *args: lines.append(form % args)
  )
  return lines


ALL_DEAD = {step: {'loss_main': CHANCE} for step in range(1, 41)}


def test_a_dead_head_is_warned_of_once_and_not_too_early(warned):
  Run(change=ALL_DEAD, num_train_steps=40, dead_head_steps=10)()
  (line,) = warned
  assert line.startswith('step 12: head main has learnt nothing')


def test_going_on_does_not_warn_again(warned):
  first = Run(change=ALL_DEAD, dead_head_steps=4)
  first()
  assert len(warned) == 1
  assert first.saves[-1]['warned'] == ['main']
  Run(
    metadata=first.saves[-1],
    change=ALL_DEAD,
    num_train_steps=40,
    dead_head_steps=4,
  )()
  assert len(warned) == 1


def test_no_warning_before_its_time(warned):
  Run(change=ALL_DEAD, num_train_steps=40, dead_head_steps=41)()
  Run(num_train_steps=40, dead_head_steps=1)()
  assert warned == []


# --- Options -----------------------------------------------------------------


@pytest.mark.parametrize(
  'name', [field.name for field in dataclasses.fields(loop_options.LoopOptions)]
)
@pytest.mark.parametrize('value', [0, -1])
def test_options_must_be_positive(name, value):
  with pytest.raises(ValueError, match=f'{name} must be positive, not {value}'):
    Run(**{name: value})


def test_windows_add_up():
  window = metric_window.MetricWindow()
  window.add({'loss': 1.0})
  window.add({'loss': 2.0})
  assert window.means() == {'loss': 1.5}
  again = metric_window.MetricWindow(**dataclasses.asdict(window))
  again.add({'loss': 6.0})
  assert again.means() == {'loss': 3.0}
  assert window.means() == {'loss': 1.5}


def test_implicit_transfers_to_the_devices_are_errors():
  """Only what `data.device` puts there may cross while steps run."""
  double = jax.jit(lambda x: 2 * x)
  array = np.ones(3, np.float32)
  double(array)  # Compiled, and allowed elsewhere.
  with pytest.raises(Exception, match='Disallowed host-to-device transfer'):
    Run(at={2: lambda: double(array)})()
  Run(at={2: lambda: double(jax.device_put(array))})()
