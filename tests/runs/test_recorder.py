"""Tests of what a run reports while it trains."""

import errno

from etils import epath

from inception_jax.runs import recorder as recorder_lib


def test_events_that_cannot_be_written_stop_no_run(
  tmp_path, monkeypatch, caplog
):
  from tensorboardX import event_file_writer

  recorder = recorder_lib.Recorder(tmp_path, 0, True, '')

  def full(self):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(event_file_writer.EventsWriter, 'flush', full)
  for step in range(1, 40):  # More than a queue of events would hold.
    recorder.train_metrics(step, {'loss': 1.0})
    recorder.flush()
  recorder.close()
  warnings = [x for x in caplog.messages if 'without TensorBoard' in x]
  assert len(warnings) == 1 and 'No space left' in warnings[0]
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  assert len(lines) == 39


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
