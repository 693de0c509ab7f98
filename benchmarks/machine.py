"""The machine, versions and command of a measurement, and what is kept of it.

A result is kept only if the machine did nothing else: the time that other
processes had on the cores is counted from the import of this module on.
"""

import contextlib
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import resource
import sys
import time
from typing import Any

import jax

# Cores that other processes may use on average, for the system's own work.
LARGEST_LOAD = 0.15


def _cores() -> set[int]:
  """The cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return os.sched_getaffinity(0)
  return set(range(os.cpu_count() or 1))


def _busy_seconds() -> float | None:
  """Seconds for which these cores were busy since the system started."""
  try:
    lines = pathlib.Path('/proc/stat').read_text().splitlines()
  except OSError:
    return None
  cores, ticks = {f'cpu{n}' for n in _cores()}, 0
  for name, *counts in (line.split() for line in lines):
    if name in cores:
      user, nice, system, _, _, irq, softirq = map(int, counts[:7])
      ticks += user + nice + system + irq + softirq
  return ticks / os.sysconf('SC_CLK_TCK')


def _own_seconds() -> float:
  """Seconds that this process and its ended children have used."""
  uses = [
    resource.getrusage(who)
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  ]
  return sum(use.ru_utime + use.ru_stime for use in uses)


_START = (time.monotonic(), _busy_seconds(), _own_seconds())


def cores_used_by_others() -> float | None:
  """Cores that others have used on average, since the import of this module.

  None where the system does not say. Children that have not ended count as
  others, so that this is called after them.
  """
  busy = _busy_seconds()
  start, busy_at_start, own_at_start = _START
  if busy is None or busy_at_start is None:
    return None
  # Less than a few seconds cannot be told from the resolution of the counts.
  seconds = max(time.monotonic() - start, 1.0)
  others = busy - busy_at_start - (_own_seconds() - own_at_start)
  return round(max(others, 0.0) / seconds, 3)


def environment(more_packages: tuple[str, ...] = ()) -> dict[str, Any]:
  """Hardware, versions (of these packages too), command and date."""
  cpu = platform.processor() or platform.machine()
  with contextlib.suppress(OSError):
    for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
      if line.startswith('model name'):
        cpu = line.split(':', 1)[1].strip()
        break
  packages = ('jax', 'jaxlib', 'flax', 'optax', *more_packages)
  return {
    'hardware': {
      'backend': jax.default_backend(),
      'devices': [d.device_kind for d in jax.devices()],
      'cpu': cpu,
      'cores': len(_cores()),
    },
    'versions': {
      'python': platform.python_version(),
      **{name: importlib.metadata.version(name) for name in packages},
    },
    'command': ' '.join(['python', *sys.argv]),
    'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
  }


def keep(record: dict[str, Any], output: str | pathlib.Path | None) -> None:
  """Prints a measurement as JSON and, if asked to, writes it to a file.

  Raises:
    SystemExit: if it is to be kept and other processes used the machine.
  """
  others = cores_used_by_others()
  hardware = {**record['hardware'], 'cores_used_by_others': others}
  text = json.dumps({**record, 'hardware': hardware}, indent=2)
  print(text, flush=True)
  if not output:
    return
  if others is not None and others > LARGEST_LOAD:
    sys.exit(
      f'{output} is not written: other processes used {others:.2f} cores on '
      f'average during the measurement, and at most {LARGEST_LOAD} are '
      'allowed; stop them, and run the script again.'
    )
  pathlib.Path(output).write_text(text + '\n')
