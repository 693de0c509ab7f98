"""Tests of what a run reports while it trains."""

import collections
import errno
import json
import os

from etils import epath
import numpy as np
import tensorboard_events

from inception_jax.runs import recorder as recorder_lib
from inception_jax.runtime import durable, errors
from inception_jax.visualisation import plots


def test_events_that_cannot_be_written_stop_no_run(
  tmp_path, monkeypatch, caplog
):
  from tensorboardX import record_writer

  recorder = recorder_lib.Recorder(tmp_path, 0, True, '')

  def full(self):
    raise OSError(errno.ENOSPC, 'No space left on device')

  closed = []
  monkeypatch.setattr(record_writer.RecordWriter, 'flush', full)
  monkeypatch.setattr(
    record_writer.RecordWriter, 'close', lambda self: closed.append(self)
  )
  for step in range(1, 40):  # More than a queue of events would hold.
    recorder.train_metrics(step, {'loss': 1.0})
    recorder.flush()
  recorder.close()
  warnings = [x for x in caplog.messages if 'without TensorBoard' in x]
  assert len(warnings) == 1 and 'No space left' in warnings[0]
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  assert len(lines) == 39
  # Else Python tries to write the rest when it ends, and complains.
  assert len(closed) == 1


def test_a_file_system_that_cannot_sync_has_events(
  tmp_path, monkeypatch, caplog
):
  monkeypatch.setattr(durable, '_refused', {'warned of'})

  def refuse(descriptor):
    raise OSError(errno.EINVAL, 'Invalid argument')

  monkeypatch.setattr(os, 'fsync', refuse)
  recorder = recorder_lib.Recorder(tmp_path, 0, True, '')
  for step in (1, 2):
    recorder.train_metrics(step, {'loss': 1.0 * step})
    recorder.flush(sync=True)
  # Already now, not when it is closed.
  found = tensorboard_events.scalars(tmp_path / 'tensorboard')
  assert found == {('train/loss', 1): 1.0, ('train/loss', 2): 2.0}
  recorder.close()
  assert 'cannot be' not in caplog.text


def test_damaged_timings_are_left_out(tmp_path, caplog):
  (tmp_path / 'timing.jsonl').write_bytes(b'{"step": 1}\n\xff\n[1]\n{"st')
  recorder = recorder_lib.Recorder(tmp_path, 5, True, '')
  recorder.timing(6, {'seconds': 1.0})
  recorder.close()
  steps = [
    x['step']
    for x in recorder_lib.json_files.JsonLines(
      epath.Path(tmp_path / 'timing.jsonl')
    )
  ]
  assert steps == [1, 6]
  assert len([x for x in caplog.messages if 'left out' in x]) == 3


def metrics(num_steps):
  """The text of a `metrics.jsonl`."""
  line = {'train': {'loss': 2.5, 'loss_main': 1.25, 'top1_main': 0.5}}
  lines = [{'step': step, **line} for step in range(1, num_steps + 1)]
  scores = {'loss': 1.0, 'top1': 0.5, 'num_images': 10}
  lines.append({'step': num_steps, 'evaluation': {'raw': scores}})
  return ''.join(json.dumps(x) + '\n' for x in lines)


def flips(contents, num, rng):
  """The contents with one bit flipped, so many times."""
  for place in rng.choice(8 * len(contents), num, replace=False):
    flipped = bytearray(contents)
    flipped[place // 8] ^= 1 << place % 8
    yield bytes(flipped)


def test_any_damage_of_the_metrics_is_mended_from_the_checkpoint(
  tmp_path, caplog
):
  path, known = tmp_path / 'metrics.jsonl', metrics(3)
  damages = [*flips(known.encode(), 150, np.random.RandomState(0)), b'']
  for damage in damages:
    path.write_bytes(damage + b'{"step": 9}\n{"st')  # Of later steps.
    caplog.clear()
    recorder = recorder_lib.Recorder(tmp_path, 3, False, known)
    recorder.metrics.flush()
    assert path.read_text() == known
    assert recorder.last_evaluation()['raw']['top1'] == 0.5
    assert [x for x in caplog.messages if 'from the checkpoint' in x]


def test_damaged_metrics_of_an_earlier_version_are_one_sentence(tmp_path):
  path, whole = tmp_path / 'metrics.jsonl', metrics(3)
  outcomes = collections.Counter()
  damages = [
    *flips(whole.encode(), 150, np.random.RandomState(0)),
    *(
      whole.encode().replace(*x)
      for x in (
        (b'2.5', b'"x"'),
        (b'2.5', b'1' + 400 * b'0'),
        (b'{"loss": 2.5', b'{"lo": 2.5'),
        (b'2.5', b'1e999'),
        (b'1.25', b'NaN'),
        (b'{"raw"', b'[], "x": {"raw"'),
      )
    ),
  ]
  for number, damage in enumerate(damages):
    path.write_bytes(damage)
    try:
      recorder = recorder_lib.Recorder(tmp_path, 3, False)
      if not number % 30 or number >= 150:
        plots.to_png(plots.learning_curves(recorder.metrics, 2.3))
      recorder.last_evaluation()
      outcomes['taken'] += 1
    except errors.InputError as error:
      assert 'metrics.jsonl is damaged in line' in str(error)
      outcomes['sentence'] += 1
  assert outcomes['sentence'] > 70 and outcomes['taken'] > 20


def test_empty_metrics_of_an_earlier_version_are_said(tmp_path, caplog):
  (tmp_path / 'metrics.jsonl').write_bytes(b'')
  recorder_lib.Recorder(tmp_path, 3, False)
  assert 'it begins after step 3' in caplog.text
  caplog.clear()
  recorder_lib.Recorder(tmp_path, 0, False, '')
  assert not caplog.messages


def test_what_was_not_finite_in_an_earlier_version_is_null(tmp_path):
  known = (
    '{"step": 1, "train": {"loss": 1.0, "loss_main": NaN}}\n'
    '{"step": 2, "evaluation": {"ema": {"top1": 0.5, "loss": Infinity}}}\n'
  )
  for _ in range(2):  # Resumed, and resumed again.
    recorder = recorder_lib.Recorder(tmp_path, 2, True, known)
    recorder.close()
    known = recorder.metrics.text
    assert 'NaN' not in known and 'Infinity' not in known
    assert known == (tmp_path / 'metrics.jsonl').read_text()
  plots.to_png(plots.learning_curves(recorder.metrics, 2.3))
