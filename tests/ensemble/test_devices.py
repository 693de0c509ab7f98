"""Tests of how devices are divided among processes."""

import jax
import pytest

from inception_jax.ensemble import devices as member_devices
from inception_jax.runtime import errors


def shares(*arguments):
  return [x['CUDA_VISIBLE_DEVICES'] for x in member_devices._shares(*arguments)]


def test_each_process_has_an_equal_share_of_the_gpus(caplog):
  gpus = [str(i) for i in range(8)]
  assert shares('gpu', gpus, 2) == ['0,1,2,3', '4,5,6,7']
  assert shares('gpu', gpus, 8) == gpus
  assert shares('gpu', ['GPU-a', 'GPU-b'], 2) == ['GPU-a', 'GPU-b']
  assert 'idle' not in caplog.text
  with caplog.at_level('WARNING'):
    assert shares('gpu', gpus, 7) == gpus[:7]
  assert 'leaves 1 of the 8 GPUs idle' in caplog.text


def test_processors_are_everybodys():
  assert member_devices._shares('cpu', ['0'], 3) == [{}, {}, {}]


def test_too_few_or_other_devices():
  with pytest.raises(errors.InputError, match='=3 is more than the 2 GPUs'):
    shares('gpu', ['0', '1'], 3)
  with pytest.raises(errors.InputError, match='on a tpu, .* set it to 1'):
    shares('tpu', ['0', '1'], 2)


def test_what_is_visible_is_divided(monkeypatch):
  monkeypatch.setattr(member_devices, '_run_probe', lambda: ('gpu', 2))
  monkeypatch.delenv('CUDA_VISIBLE_DEVICES')
  names = lambda: [x['CUDA_VISIBLE_DEVICES'] for x in member_devices.divide(2)]
  assert names() == ['0', '1']
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '5,3')
  assert names() == ['5', '3']


def test_the_probe_finds_what_there_is(monkeypatch):
  flags = '--xla_force_host_platform_device_count=3'
  monkeypatch.setenv('XLA_FLAGS', flags)
  assert member_devices._run_probe() == ('cpu', 3)
  monkeypatch.setattr(member_devices, '_PROBE', 'raise SystemExit(1)')
  with pytest.raises(errors.InputError, match='which JAX cannot open'):
    member_devices._run_probe()


def test_processes_that_cannot_leave_their_devices(monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  with pytest.raises(errors.InputError, match='has not used its devices yet'):
    member_devices.divide(2)
  monkeypatch.setattr(jax.distributed, 'is_initialized', lambda: True)
  with pytest.raises(errors.InputError, match='is for one process; .*only'):
    member_devices.divide(2)
