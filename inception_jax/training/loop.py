"""The training loop: dispatch, read one step late, log, evaluate, save."""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import copy
import dataclasses
import math
import signal
import time
from typing import Any, NoReturn, Protocol

from absl import logging
import jax
import tqdm

from inception_jax.runtime import errors, progress, signal_watch, words
from inception_jax.training import dead_heads as dead_heads_lib
from inception_jax.training import (
  loop_options,
  metric_window,
  stop_signal,
  train_state,
)

# Waiting for more than this share of the time means that input is the
# bottleneck.
INPUT_BOUND_SHARE = 0.1
# Metrics that must stay finite; the parameters' norm covers the update itself.
_FINITE = ('loss', 'gradient_norm', 'param_norm')

Evaluation = dict[str, dict[str, float]]


class MetricsRecorder(Protocol):
  """Where the loop writes what it has seen."""

  def train_metrics(self, step: int, values: Mapping[str, float]) -> None: ...

  def evaluation(self, step: int, values: Evaluation) -> None: ...

  def timing(self, step: int, values: Mapping[str, float]) -> None: ...

  def flush(self, sync: bool = False) -> None: ...


class TrainLoop:
  """Runs training steps and everything that happens between them.

  Args:
    options: when to do what.
    train_step: compiled `(state, batch) -> (state, metrics)`.
    evaluate_fn: from a state and a `StopSignal` to the results of its weights,
      by name; may raise EvaluationStoppedError.
    save_fn: saves a state and the loop's own metadata.
    recorder: where metrics go.
    metadata: the loop's metadata of the checkpoint to go on from, or empty.
    draw_fn: draws what the recorder holds, after each evaluation but the last.
    describe_fn: an evaluation in words, for the log.
  """

  def __init__(
    self,
    *,
    options: loop_options.LoopOptions,
    train_step: Callable[..., Any],
    evaluate_fn: Callable[..., Evaluation],
    save_fn: Callable[[train_state.TrainState, dict[str, Any]], None],
    recorder: MetricsRecorder,
    metadata: Mapping[str, Any],
    draw_fn: Callable[[], None] = lambda: None,
    describe_fn: Callable[[Evaluation], str] = str,
  ):
    self._options = options
    self._train_step = train_step
    self._evaluate_fn = evaluate_fn
    self._save_fn = save_fn
    self._recorder = recorder
    self._draw_fn = draw_fn
    self._describe_fn = describe_fn
    self._window = metric_window.MetricWindow(
      **copy.deepcopy(metadata.get('window', {}))
    )
    self._warned = set(metadata.get('warned', ()))
    self._last_saved = metadata.get('step')
    self._owes_evaluation = bool(metadata.get('owes_evaluation'))
    self._saved_at = time.monotonic()
    self._is_save_due = False
    # Of this process, not of the run: speed differs every time.
    self._num_timings = 0
    self._warned_of_input = False
    self._stop_at = 0
    self._stop = stop_signal.StopSignal()
    self._has_unsaved, self._has_work = contextlib.ExitStack(), False
    self._start_clock(int(metadata.get('step', 0)))

  def run(
    self,
    state: train_state.TrainState,
    batches: Iterator[dict[str, jax.Array]],
  ) -> train_state.TrainState:
    """Trains to the end.

    Args:
      state: state to go on from, replicated on the local devices; donated.
      batches: device batches from the state's step on.

    Returns:
      The final state, evaluated and saved.

    Raises:
      Interrupted: after SIGTERM or SIGINT, once the state is saved.
      NotFiniteError: if a loss or norm is not finite; nothing is saved then.
      TrainingError: if the input of another process fails; likewise.
    """
    step = int(state.step)
    self._start_clock(step)
    with (
      self._stop as stop,
      self._has_unsaved,
      self._progress_bar(step) as bar,
      # What crosses to the devices is put there by name (`data.device`), so a
      # transfer that slips into the step is an error and not a slow run.
      jax.transfer_guard_host_to_device('disallow'),
    ):
      if self._owes_evaluation:
        self._evaluate(state, step)
      state, step = self._run_steps(state, step, stop.guard(batches), bar)
      if step != self._last_saved:
        self._save(state, step)
    is_whole = step == self._options.num_train_steps
    if self._stop_at and (self._owes_evaluation or not is_whole):
      raise errors.Interrupted(
        f'stopped by {signal.Signals(self._stop_at).name} at step {step}, which'
        ' is saved; the same command goes on from there',
        self._stop_at,
      )
    return state

  def _run_steps(
    self,
    state: train_state.TrainState,
    step: int,
    batches: Iterator[dict[str, jax.Array]],
    bar: tqdm.tqdm,
  ) -> tuple[train_state.TrainState, int]:
    """Trains to the end or to a signal; returns the state and its step."""
    options = self._options
    pending = None
    while step < options.num_train_steps and not self._stop_at:
      batch = self._next(batches)
      self._stop.is_save_due = self._is_checkpoint_old()
      batch['stop'] = self._stop.flags()
      state, metrics = self._train_step(state, batch)
      if pending is not None:
        self._take(*pending, bar)
      step += 1
      pending = (step, metrics)
      saves = (
        self._is_due(step, options.checkpoint_every_steps) or self._is_save_due
      )
      evaluates = self._is_due(step, options.eval_every_steps)
      if saves or evaluates:
        self._take(*pending, bar)
        pending = None
        if evaluates:
          self._evaluate(state, step)
        if saves:
          self._save(state, step)
    if pending is not None:
      self._take(*pending, bar)
    return state, step

  def _is_due(self, step: int, every_steps: int) -> bool:
    return step % every_steps == 0 or step == self._options.num_train_steps

  def _is_checkpoint_old(self) -> bool:
    minutes = self._options.checkpoint_every_minutes
    if minutes is None or jax.process_index():
      return False  # One clock decides for all.
    return time.monotonic() - self._saved_at >= 60 * minutes

  def _next(self, batches: Iterator[dict[str, Any]]) -> dict[str, Any]:
    start = time.perf_counter()
    batch = dict(next(batches))
    self._waited += time.perf_counter() - start
    return batch

  def _take(self, step: int, metrics: Any, bar: tqdm.tqdm) -> None:
    """Reads a step's metrics; this is where the host waits for the device."""
    values = {k: v.item() for k, v in jax.device_get(metrics).items()}
    if not self._has_work:  # From here on a signal waits until it is saved.
      self._has_work = True
      self._has_unsaved.enter_context(signal_watch.unsaved_work())
    stop, is_save_due = stop_signal.read(values.pop('stop'))
    self._is_save_due |= is_save_due
    self._stop.check(stop)
    self._stop_at = self._stop_at or stop
    self._check_finite(step, values)
    self._window.add(values)
    bar.update(self._options.batch_size)
    if self._is_due(step, self._options.log_every_steps):
      means = self._window.means()
      self._window = metric_window.MetricWindow()
      self._recorder.train_metrics(step, means)
      timing = self._timing(step)
      self._recorder.timing(step, timing)
      self._recorder.flush()
      self._warn_of_input(step, timing['input_wait_share'])
      self._warn_of_dead_heads(step, means)
      bar.set_postfix(
        step=step,
        loss=f'{means["loss"]:.4f}',
        top1=f'{means["top1_main"]:.3f}',
        refresh=False,
      )

  def _timing(self, step: int) -> dict[str, float]:
    """Speed since the last line, without evaluations and saves."""
    start, start_step = self._clock
    seconds = max(time.perf_counter() - start - self._paused, 1e-9)
    images = (step - start_step) * self._options.batch_size
    result = {
      'seconds': seconds,
      'images_per_second': images / seconds,
      'input_wait_share': self._waited / seconds,
    }
    self._start_clock(step)
    return result

  def _start_clock(self, step: int) -> None:
    self._clock = (time.perf_counter(), step)
    self._waited = self._paused = 0.0

  def _check_finite(self, step: int, values: Mapping[str, float]) -> None:
    bad = [name for name in _FINITE if not math.isfinite(values[name])]
    if bad:
      verb = 'is' if len(bad) == 1 else 'are'
      self._stop_not_finite(step, f'{words.join(bad)} {verb}')

  def _stop_not_finite(self, step: int, what: str) -> NoReturn:
    kept = (
      'there is no checkpoint yet'
      if self._last_saved is None
      else f'checkpoint {self._last_saved} is the last good one'
    )
    self._recorder.flush()
    raise errors.NotFiniteError(
      f'{what} not finite at step {step}; {kept}', self._last_saved
    )

  def _warn_of_input(self, step: int, wait_share: float) -> None:
    """Warns once, and not of the first lines, when input has yet to start."""
    self._num_timings += 1
    if self._num_timings < 3 or self._warned_of_input:
      return
    if wait_share > INPUT_BOUND_SHARE:
      self._warned_of_input = True
      logging.warning(
        'step %d: input is the bottleneck: %.0f %% of the time is spent waiting'
        ' for it; give this process more cores, raise data.num_threads if it'
        ' is set below their number, or divide the batch over more hosts'
        ' (--mode=inspect measures the input alone)',
        step,
        100 * wait_share,
      )

  def _warn_of_dead_heads(self, step: int, means: Mapping[str, float]) -> None:
    if step < self._options.dead_head_steps:
      return
    for name, warning in dead_heads_lib.dead_heads(
      means, self._options.num_classes
    ).items():
      if name not in self._warned:
        self._warned.add(name)
        logging.warning('step %d: %s', step, warning)

  def _evaluate(self, state: train_state.TrainState, step: int) -> None:
    start = time.perf_counter()
    try:
      results = self._evaluate_fn(state, self._stop)
    except stop_signal.EvaluationStoppedError as error:
      # The next start of the run begins with it.
      self._stop_at, self._owes_evaluation = error.signum, True
      return
    self._owes_evaluation = False
    self._check_evaluation(step, results)
    self._recorder.evaluation(step, results)
    self._recorder.flush(sync=True)
    if step < self._options.num_train_steps:
      self._draw_fn()
    if jax.process_index() == 0:
      logging.info(
        'step %d: top-1 of the evaluation: %s',
        step,
        self._describe_fn(results),
      )
    self._paused += time.perf_counter() - start

  def _check_evaluation(self, step: int, results: Evaluation) -> None:
    bad = [
      kind
      for kind, scores in results.items()
      if not all(map(math.isfinite, scores.values()))
    ]
    if bad:
      self._stop_not_finite(
        step, f'the loss of the evaluation with {words.join(bad)} weights is'
      )

  def _save(self, state: train_state.TrainState, step: int) -> None:
    start = time.perf_counter()
    # The log must not lag behind a checkpoint, or resuming would lose lines.
    self._recorder.flush(sync=True)
    metadata = {
      'step': step,
      'window': dataclasses.asdict(self._window),
      'warned': sorted(self._warned),
    }
    if self._owes_evaluation:
      metadata['owes_evaluation'] = True
    self._save_fn(state, metadata)
    self._last_saved, self._saved_at = step, time.monotonic()
    self._is_save_due = False
    self._paused += time.perf_counter() - start

  def _progress_bar(self, step: int) -> tqdm.tqdm:
    batch_size = self._options.batch_size
    return progress.progress_bar(
      desc='train',
      total=self._options.num_train_steps * batch_size,
      initial=step * batch_size,
      unit='img',
      unit_scale=True,
      disable=jax.process_index() != 0,
    )
