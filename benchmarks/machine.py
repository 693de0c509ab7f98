"""The machine, versions and command of a measurement."""

import contextlib
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
from typing import Any

import jax


def environment(more_packages: tuple[str, ...] = ()) -> dict[str, Any]:
  """Hardware, versions (of these packages too), command and date."""
  cpu = platform.processor() or platform.machine()
  with contextlib.suppress(OSError):
    for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
      if line.startswith('model name'):
        cpu = line.split(':', 1)[1].strip()
        break
  cores = os.cpu_count()
  if hasattr(os, 'sched_getaffinity'):
    cores = len(os.sched_getaffinity(0))
  load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else None
  packages = ('jax', 'jaxlib', 'flax', 'optax', *more_packages)
  return {
    'hardware': {
      'backend': jax.default_backend(),
      'devices': [d.device_kind for d in jax.devices()],
      'cpu': cpu,
      'cores': cores,
      'load_average_at_start': load,
    },
    'versions': {
      'python': platform.python_version(),
      **{name: importlib.metadata.version(name) for name in packages},
    },
    'command': ' '.join(['python', *sys.argv]),
    'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
  }


def keep(record: dict[str, Any], output: str | pathlib.Path | None) -> None:
  """Prints a measurement as JSON and, if asked to, writes it to a file."""
  text = json.dumps(record, indent=2)
  if output:
    pathlib.Path(output).write_text(text + '\n')
  print(text)
