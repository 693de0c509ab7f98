"""Cuts the power of a run's disk ten times; the same command must resume.

The run directory lies in an ext4 image on a loop device. A cut shuts the file
system down without writing what is still in memory (`EXT4_IOC_SHUTDOWN`), kills
the process and mounts the image again, as after a loss of power. One run with
`keep_checkpoints=1` is cut at ten moments: when its files are just written,
during saves, right after them, and between them. Its last checkpoint and
`metrics.jsonl` must be those of an unbroken run. Needs root on Linux. Prints
one JSON object; exit status 1 if a resume was refused, began more than two
saves back, or ended elsewhere.

  sudo python benchmarks/power_cut.py [--output=FILE.json]
"""

import argparse
import fcntl
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / 'benchmarks'))

import kills  # noqa: E402
import machine  # noqa: E402

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
_NO_FLUSH = 2  # EXT4_GOING_FLAGS_NOLOGFLUSH
STEPS_A_SAVE = 500
NUM_STEPS = 30 * STEPS_A_SAVE
# What each cut waits for, and for how many seconds more.
CUTS = (
  ('files', 0.0),
  ('files', 2.0),
  ('saving', 0.0),
  ('saving', 0.05),
  ('saved 1', 0.0),
  ('saved 1', 2.5),
  ('saved 2', 0.0),
  ('saved 2', 0.5),
  ('saved 1', 4.0),
  ('saving', 0.01),
)


class Disk:
  """An ext4 file system that can lose its power."""

  def __init__(self, folder: pathlib.Path):
    self._image, self.mount_point = folder / 'image', folder / 'disk'
    with self._image.open('wb') as file:
      file.truncate(512 << 20)
    run('mkfs.ext4', '-q', str(self._image))
    self.mount_point.mkdir()
    self.mount()

  def mount(self) -> None:
    run('mount', '-o', 'loop', str(self._image), str(self.mount_point))

  def unmount(self) -> None:
    for _ in range(100):
      if not subprocess.run(
        ['umount', str(self.mount_point)], capture_output=True, check=False
      ).returncode:
        return
      time.sleep(0.1)
    sys.exit('the disk cannot be unmounted')

  def cut(self) -> None:
    descriptor = os.open(self.mount_point, os.O_RDONLY)
    fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack('I', _NO_FLUSH))
    os.close(descriptor)


def run(*command: str) -> None:
  subprocess.run(command, check=True, capture_output=True)


def steps(workdir: pathlib.Path) -> list[int]:
  names = os.listdir(workdir / 'checkpoints') if workdir.exists() else []
  return sorted(int(name) for name in names if name.isdigit())


def has_come(moment: str, workdir: pathlib.Path, before: int) -> bool:
  """Whether what a cut waits for is there."""
  try:
    if moment == 'files':
      return (workdir / 'config.json').exists()
    names = os.listdir(workdir / 'checkpoints')
  except FileNotFoundError:
    return False
  new = [int(x) for x in names if x.isdigit() and int(x) > before]
  if moment == 'saving':
    return any('tmp' in name for name in names) and bool(before or new)
  return max(new, default=0) >= before + STEPS_A_SAVE * int(moment.split()[1])


def cut(disk: Disk, workdir: pathlib.Path, moment: str, wait: float) -> dict:
  """Trains until the cut; returns what was there, and from where it began."""
  found = steps(workdir) if (workdir / 'checkpoints').exists() else []
  before = max(found, default=0)
  with tempfile.TemporaryFile('w+') as log:
    process = subprocess.Popen(
      [sys.executable, 'main.py', f'--workdir={workdir}', *config()],
      cwd=ROOT,
      stdout=subprocess.DEVNULL,
      stderr=log,
    )
    while not has_come(moment, workdir, before):
      if process.poll() is not None:
        log.seek(0)
        sys.exit(f'training ended before the cut: {log.read()[-2000:]}')
      time.sleep(0.001)
    time.sleep(wait)
    seen = steps(workdir) if (workdir / 'checkpoints').exists() else []
    disk.cut()
    process.send_signal(signal.SIGKILL)
    process.wait()
    log.seek(0)
    text = log.read()
  disk.unmount()
  disk.mount()
  begun = re.findall(r'going on from step (\d+)', text)
  left = {
    path.name: path.stat().st_size for path in sorted(workdir.glob('*.json*'))
  }
  return {
    'moment': moment,
    'seconds_later': wait,
    'resumed_at': int(begun[-1]) if begun else 0,
    'newest_when_cut': max(seen, default=0),
    'warnings': [
      re.sub(r'.*\] ', '', x).replace(str(workdir), 'WORKDIR')
      for x in text.splitlines()
      if re.search('damaged|written anew|moved to', x)
    ],
    'empty_files_left': [name for name, size in left.items() if not size],
  }


def config() -> list[str]:
  return [
    *kills.CONFIG,
    f'--config.train.num_train_steps={NUM_STEPS}',
    '--config.train.log_every_steps=50',
    f'--config.train.eval_every_steps={10 * STEPS_A_SAVE}',
    f'--config.train.checkpoint_every_steps={STEPS_A_SAVE}',
    '--config.train.keep_checkpoints=1',
  ]


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--output')
  output = parser.parse_args().output
  record = {**machine.environment(), 'cuts': []}
  folder = pathlib.Path(tempfile.mkdtemp())
  os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', f'{folder}/cache')
  start = time.time()
  kills.train(folder / 'unbroken', config())
  record['seconds_a_save'] = round(
    (time.time() - start) * STEPS_A_SAVE / NUM_STEPS, 1
  )
  disk = Disk(folder)
  try:
    workdir = disk.mount_point / 'run'
    for moment, wait in CUTS:
      record['cuts'].append(cut(disk, workdir, moment, wait))
    kills.train(workdir, config())
    same = kills.final_state(workdir) == kills.final_state(folder / 'unbroken')
  finally:
    disk.unmount()
    shutil.rmtree(folder)
  record['ends_as_unbroken'] = same
  resumed = [x['resumed_at'] for x in record['cuts'][1:]]
  record['saves_lost'] = [
    (x['newest_when_cut'] - y) // STEPS_A_SAVE
    for x, y in zip(record['cuts'], resumed, strict=False)
  ]
  machine.keep(record, output)
  if not same or max(record['saves_lost']) > 2:
    sys.exit(1)


if __name__ == '__main__':
  main()
