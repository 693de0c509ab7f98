"""Two processes of one run, and what becomes of them when one goes wrong.

Each case starts a pair on this machine, in which one is killed, stopped, late
or started differently, and records the time until both have ended, their exit
statuses and last sentences. Where the run can resume, the same pair is started
again, and its last checkpoint and `metrics.jsonl` must be those of an unbroken
pair, to the bit. Prints one JSON object; exit status 1 if a process ended with
a traceback or another status than it must, or a run differs.

  python benchmarks/processes.py [--output=FILE.json] [--cases late kill_0]
"""

import argparse
import dataclasses
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / 'benchmarks'))

import kills  # noqa: E402
import machine  # noqa: E402

NUM_STEPS = 120
CONFIG = [
  *kills.CONFIG,
  f'--config.train.num_train_steps={NUM_STEPS}',
  '--config.train.eval_every_steps=100',
]
# Real pictures, of which one process has damaged copies.
PICTURES = [
  '--config=configs/digits.py',
  '--config.model.name=inception_v1_bn_shallow',
  '--config.model.width=0.05',
  '--config.data.image_size=32',
  '--config.train.batch_size=8',
  '--config.train.num_train_steps=100',
  '--config.train.eval_every_steps=5',
]
TIMEOUT = 400


@dataclasses.dataclass(frozen=True)
class Case:
  """What is done to a pair.

  Attributes:
    more: arguments of process 1 only.
    workdir: name of the folder that process 1 is given.
    seconds_late: of process 1.
    signum: sent to process `target`; None for none.
    target: the process that gets the signal.
    after: sent once so many lines of the log are there; 0 is a second after
      both were started.
    ends_well: whether the pair trains to the end.
    damages: the set of pictures that is damaged where process 1 reads it.
  """

  more: tuple[str, ...] = ()
  workdir: str = 'run'
  seconds_late: float = 0.0
  signum: signal.Signals | None = None
  target: int = 1
  after: int = 10
  ends_well: bool = False
  damages: str | None = None


CASES = {
  'kill_0': Case(signum=signal.SIGKILL, target=0),
  'kill_1': Case(signum=signal.SIGKILL),
  'terminate_1': Case(signum=signal.SIGTERM),
  'terminate_1_at_start': Case(signum=signal.SIGTERM, after=0),
  'kill_1_at_start': Case(signum=signal.SIGKILL, after=0),
  'late': Case(seconds_late=60.0, ends_well=True),
  'other_learning_rate': Case(('--config.learning_rate.init_value=0.5',)),
  'other_eval_every_steps': Case(('--config.train.eval_every_steps=7',)),
  'other_mode': Case(('--mode=evaluate',)),
  'other_workdir': Case(workdir='other'),
  'unknown_field': Case(('--config.train.batchsize=8',)),
  'bad_image': Case(damages='train'),
  'damaged_evaluation_set': Case(damages='test'),
}


def data_folders(folder: pathlib.Path, damages: str) -> list[pathlib.Path]:
  """The digits as they are, and with a damaged set."""
  good, bad = folder / 'good', folder / 'bad'
  subprocess.run(
    [sys.executable, 'main.py', '--mode=prepare', PICTURES[0]]
    + [f'--config.data.data_dir={good}'],
    cwd=ROOT,
    check=True,
    capture_output=True,
  )
  shutil.copytree(good, bad)
  (path,) = bad.glob(f'digits/*/*{damages}.array_record*')
  contents = bytearray(path.read_bytes())
  # Records begin at 64 KiB.
  contents[1 << 16 : 3 << 16] = bytes(2 << 16)
  path.write_bytes(contents)
  return [good, bad]


def start(
  folder: pathlib.Path, case: Case
) -> tuple[list[subprocess.Popen], list[pathlib.Path]]:
  """Starts a pair; returns the processes and the files of their errors."""
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    port = probe.getsockname()[1]
  processes, logs = [], []
  config = CONFIG
  if case.damages:
    config, data = PICTURES, data_folders(folder, case.damages)
  for number in range(2):
    place = folder / ('run' if number == 0 else case.workdir)
    if number and case.seconds_late:
      time.sleep(case.seconds_late)
    logs.append(folder / f'errors_{number}')
    with logs[-1].open('w') as log:
      processes.append(
        subprocess.Popen(
          [
            *(sys.executable, 'main.py', f'--workdir={place}', *config),
            *(case.more if number else ()),
            *(
              [f'--config.data.data_dir={data[number]}'] if case.damages else ()
            ),
          ],
          cwd=ROOT,
          env={
            **os.environ,
            'JAX_COORDINATOR_ADDRESS': f'127.0.0.1:{port}',
            'JAX_NUM_PROCESSES': '2',
            'JAX_PROCESS_ID': str(number),
          },
          stdout=subprocess.DEVNULL,
          stderr=log,
        )
      )
  return processes, logs


def num_lines(path: pathlib.Path) -> int:
  try:
    return len(path.read_text().splitlines())
  except FileNotFoundError:
    return 0


def run_pair(folder: pathlib.Path, case: Case) -> dict:
  """Runs a case to the end of both processes."""
  processes, logs = start(folder, case)
  begun = time.monotonic()
  if case.signum is not None:
    if not case.after:
      time.sleep(1)
    while (
      num_lines(folder / 'run' / 'metrics.jsonl') < case.after
      and processes[0].poll() is None
    ):
      time.sleep(0.02)
    processes[case.target].send_signal(case.signum)
    begun = time.monotonic()
  ends = [None, None]
  while None in ends and time.monotonic() - begun < TIMEOUT:
    for number, process in enumerate(processes):
      if ends[number] is None and process.poll() is not None:
        ends[number] = round(time.monotonic() - begun, 1)
    time.sleep(0.05)
  for process in processes:
    process.kill()
    process.wait()
  texts = [log.read_text().replace(str(folder), 'FOLDER') for log in logs]
  return {
    'seconds_to_end': ends,
    'exit_statuses': [process.returncode for process in processes],
    'last_lines': [
      text.strip().splitlines()[-1][-300:] if text.strip() else ''
      for text in texts
    ],
    'tracebacks': sum('Traceback' in text for text in texts),
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--output')
  parser.add_argument('--cases', nargs='+', default=list(CASES))
  known = parser.parse_args()
  record = {**machine.environment(), 'cases': {}}
  good = True
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', f'{folder}/cache')
    (folder / 'unbroken').mkdir()
    found = run_pair(folder / 'unbroken', Case())
    if found['exit_statuses'] != [0, 0]:
      sys.exit(f'the unbroken pair failed: {found}')
    wanted = kills.final_state(folder / 'unbroken' / 'run')
    for name in known.cases:
      case, place = CASES[name], folder / name
      place.mkdir()
      found = run_pair(place, case)
      if case.signum is not None:
        again = run_pair(place, Case())
        found['exit_statuses_again'] = again['exit_statuses']
      if case.signum is not None or case.ends_well:
        found['equal'] = kills.final_state(place / 'run') == wanted
      good = good and not found['tracebacks'] and found.get('equal', True)
      good = good and all(found['exit_statuses']) != case.ends_well
      record['cases'][name] = found
  machine.keep(record, known.output)
  if not good:
    sys.exit(1)


if __name__ == '__main__':
  main()
