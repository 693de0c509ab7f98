"""What benchmarks keep of a measurement."""

import json
import pathlib
import subprocess
import sys
import time

import pytest

from benchmarks import machine


@pytest.mark.parametrize(('others', 'is_kept'), [(0.0, True), (1.0, False)])
def test_nothing_is_kept_of_a_machine_with_load(
  tmp_path, monkeypatch, capsys, others, is_kept
):
  start = (time.monotonic() - 100, 50.0, machine._own_seconds())
  monkeypatch.setattr(machine, '_START', start)
  monkeypatch.setattr(machine, '_busy_seconds', lambda: 50 + 100 * others)
  path = tmp_path / 'result.json'
  path.write_text('earlier')
  record = {**machine.environment(), 'seconds': 1}
  if is_kept:
    machine.keep(record, path)
    assert json.loads(path.read_text())['seconds'] == 1
  else:
    with pytest.raises(SystemExit, match='other processes used 1.00 cores'):
      machine.keep(record, path)
    assert path.read_text() == 'earlier'
  printed = json.loads(capsys.readouterr().out)
  assert printed['hardware']['cores_used_by_others'] == pytest.approx(
    others, abs=0.01
  )


@pytest.mark.skipif(
  not pathlib.Path('/proc/stat').exists(), reason='the system does not count'
)
def test_children_are_ours():
  before = machine._own_seconds()
  busy = machine._busy_seconds()
  code = 'import time\nwhile time.process_time() < 0.3: pass'
  subprocess.run([sys.executable, '-c', code], check=True)
  assert machine._own_seconds() - before >= 0.3
  assert machine._busy_seconds() - busy >= 0.2
