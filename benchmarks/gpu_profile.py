"""Where the time of a step goes on a GPU, by the operation it comes from.

Traces a few steps of our program, adds up the kernels and names each by the
operation of the network that it was compiled from. Prints one JSON object.

  python benchmarks/gpu_profile.py [--work=train] [--dtype=bfloat16]
      [--batch_size=128] [--hlo=FILE] [--output=FILE.json]
"""

import argparse
import collections
import glob
import os
import pathlib
import re
import sys
import tempfile
from typing import Any

# A graph of many kernels would be one event.
os.environ['XLA_FLAGS'] = (
  os.environ.get('XLA_FLAGS', '') + ' --xla_gpu_enable_command_buffer='
)
os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import gpu_jax  # noqa: E402
import gpu_timing  # noqa: E402
import jax  # noqa: E402
import machine  # noqa: E402

NUM_STEPS = 5


def kernel_seconds(program: gpu_jax.Program) -> dict[str, tuple[str, float]]:
  """Kernel and seconds a step of every instruction of the program."""
  for _ in range(gpu_timing.WARM_UP_STEPS):
    program.step()
  program.wait()
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      for _ in range(NUM_STEPS):
        program.step()
      program.wait()
    (path,) = glob.glob(f'{folder}/**/*.xplane.pb', recursive=True)
    profile = jax.profiler.ProfileData.from_file(path)
  seconds = collections.defaultdict(float)
  kernels = {}
  for plane in profile.planes:
    if not plane.name.startswith('/device:GPU'):
      continue
    for line in plane.lines:
      if not line.name.startswith('Stream'):
        continue
      for event in line.events:
        stats = dict(event.stats)
        name = str(stats.get('hlo_op', event.name))
        kernels[name] = event.name
        seconds[name] += event.duration_ns / 1e9 / NUM_STEPS
  return {name: (kernels[name], value) for name, value in seconds.items()}


def sources(program: str) -> dict[str, tuple[str, str]]:
  """Shape and operation of every instruction of a compiled program."""
  found = {}
  pattern = re.compile(r'^\s*(?:ROOT )?%?([\w.\-]+) = (.*)$')
  for line in program.splitlines():
    match = pattern.match(line)
    if not match:
      continue
    name = re.search(r'op_name="([^"]*)"', line)
    shape = match[2].split('{')[0]
    found[match[1]] = (shape, name[1] if name else '')
  return found


def table(program: gpu_jax.Program) -> list[dict[str, Any]]:
  """Instructions of a program, the slowest first."""
  known = sources(program.compiled.as_text())
  rows = []
  for name, (kernel, seconds) in kernel_seconds(program).items():
    shape, source = known.get(name, ('', ''))
    rows.append(
      {
        'microseconds': round(seconds * 1e6, 1),
        'instruction': name,
        'kernel': kernel,
        'shape': shape,
        'source': source,
      }
    )
  return sorted(rows, key=lambda row: -row['microseconds'])


def by_operation(rows: list[dict[str, Any]]) -> dict[str, float]:
  """Microseconds by direction and last part of the source, the most first."""
  total = collections.defaultdict(float)
  for row in rows:
    source = row['source']
    direction = 'backward' if 'transpose(' in source else 'forward'
    operation = source.rsplit('/', 1)[-1] or row['kernel'][:40]
    total[f'{direction} {operation}'] += row['microseconds']
  return dict(sorted(total.items(), key=lambda item: -item[1]))


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--work', choices=['train', 'inference'], default='train')
  parser.add_argument('--form', default='same_work', help='or recipe')
  parser.add_argument('--model', default='inception_v1')
  parser.add_argument('--dtype', default='bfloat16', help='or tf32')
  parser.add_argument('--batch_size', type=int, default=128)
  parser.add_argument('--image_size', type=int, default=224)
  parser.add_argument('--hlo', type=pathlib.Path, help='file for the program')
  parser.add_argument('--output', type=pathlib.Path, help='file for the JSON')
  given = parser.parse_args()
  case = gpu_timing.Case(
    given.work,
    given.form,
    given.model,
    given.dtype,
    given.batch_size,
    given.image_size,
  )
  program = gpu_jax.Program(case)
  if given.hlo:
    given.hlo.write_text(program.compiled.as_text())
  num_steps = gpu_timing.steps_of_round(program.step, program.wait)
  seconds = gpu_timing.seconds(program.step, program.wait, num_steps)
  rows = table(program)
  result = machine.environment()
  result['images_per_second'] = num_steps * case.batch_size / seconds
  result['kernel_microseconds'] = sum(row['microseconds'] for row in rows)
  result['operations'] = by_operation(rows)
  result['instructions'] = rows
  machine.keep(result, given.output)


if __name__ == '__main__':
  main()
