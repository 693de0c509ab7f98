"""The command line: exit status, last line, and sentences instead of traces."""

import contextlib
import csv
import json
import os
import pathlib
import re
import shlex
import stat

from absl.testing import flagsaver
import launch
import pytest

from configs import googlenet_imagenet
from inception_jax.commands import flags, registry, summary


def refused(*arguments, call=launch.call, **options):
  """The last line of a run that must fail, which must be a sentence."""
  status, out, err = call(*arguments, **options)
  assert status == 1, (status, out, err)
  assert 'Traceback' not in err and not out
  sentence = err.strip().splitlines()[-1]
  assert sentence.startswith('error: ')
  return sentence


def test_main_is_short():
  text = (launch.ROOT / 'main.py').read_text()
  assert len(text.splitlines()) <= 70


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    ((), ['--mode=train needs --config']),
    (('--config=configs/digits.py',), ['--mode=train needs --workdir']),
    (('--mode=evaluate',), ['--mode=evaluate needs --workdir']),
    (('--mode=evaluat',), ['evaluat', 'train', 'summary']),
    (('--wordir=x',), ['wordir', 'workdir']),
    (('--config=configs/none.py',), ['configs/none.py']),
    (
      ('--config=configs/digits.py', '--config.train.bach_size=8'),
      ['bach_size', 'batch_size'],
    ),
    (
      ('--config=configs/digits.py', '--config.train.batch_size=many'),
      ['batch_size', 'many'],
    ),
    (('stray', '--mode=summary', '--config=configs/digits.py'), ["'stray'"]),
    (('--mode=evaluate', '--workdir=/nowhere/at/all'), ['does not exist']),
    (
      ('--mode=predict', '--workdir=x', '--download', 'photo.jpg'),
      ['--download is of no use with --mode=predict'],
    ),
  ],
  ids=lambda value: ' '.join(value) if isinstance(value, tuple) else '',
)
def test_bad_flags_get_a_sentence(arguments, words):
  sentence = refused(*arguments)
  for word in words:
    assert word in sentence


@pytest.mark.parametrize(
  ('arguments', 'word'),
  [
    (('--wordir=x',), 'workdir'),
    (('--mode=evaluate', '--workdir=/nowhere/at/all'), 'does not exist'),
  ],
)
def test_a_process_ends_as_a_call_does(arguments, word):
  sentence = refused(*arguments)
  assert word in sentence
  assert refused(*arguments, call=launch.run) == sentence


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    (('--config.model.name=None',), ['config.model.name is missing']),
    (('--config.train.num_epochs=inf',), ['num_epochs=inf must be']),
    (('--config.train.seed',), ['--config.train.seed needs a value']),
    (
      ('--config.data.on_bad_image=skip', '--config.averaging.ema_decay=nan'),
      ['ema_decay=nan must be'],
    ),
  ],
)
def test_fields_that_cannot_be_get_a_sentence(arguments, words, tmp_path):
  sentence = refused(
    '--config=configs/digits.py', f'--workdir={tmp_path / "run"}', *arguments
  )
  for word in words:
    assert word in sentence
  assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_wrong_platform_gets_a_sentence(tmp_path):
  sentence = refused(
    f'--config={launch.TINY}',
    f'--workdir={tmp_path / "run"}',
    '--config.data.name=fake',
    call=launch.run,
    JAX_PLATFORMS='cuda',
  )
  assert "JAX_PLATFORMS='cuda' is nothing that JAX can start here" in sentence
  assert not list(tmp_path.iterdir())


def test_batch_that_does_not_divide_over_the_devices(tmp_path):
  sentence = refused(
    f'--config={launch.TINY}',
    f'--workdir={tmp_path / "run"}',
    '--config.train.batch_size=6',
    call=launch.run,
    num_devices=4,
  )
  assert 'batch_size=6 does not divide over 4 devices' in sentence
  assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_read_only_workdir(tmp_path):
  tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
  sentence = refused(f'--config={launch.TINY}', f'--workdir={tmp_path / "run"}')
  assert 'cannot be written' in sentence


def test_summary_mode(tmp_path, capsys):
  output = pathlib.Path(tmp_path / 'table.json')
  config = '--config=configs/googlenet_imagenet.py'
  result = launch.called('--mode=summary', config, f'--output={output}')
  assert result['params'] == 6_998_552
  assert result['params_with_heads'] == 13_378_280
  assert result['multiply_adds'] == 1_582_671_872
  assert {'name', 'output_shape', 'params', 'multiply_adds'} <= (
    result['rows'][0].keys()
  )
  assert json.loads(output.read_text()) == result
  # The other endings, in this process.
  for name in ('table.csv', 'table.txt'):
    summary.summarize(googlenet_imagenet.get_config(), str(tmp_path / name))
  rows = list(csv.DictReader((tmp_path / 'table.csv').open()))
  assert [row['name'] for row in rows] == [r['name'] for r in result['rows']]
  text = (tmp_path / 'table.txt').read_text()
  assert 'inception_4a' in text and '8.71' in text
  assert text in capsys.readouterr().out


def test_summary_refuses_other_endings(tmp_path):
  sentence = refused(
    '--mode=summary',
    '--config=configs/digits.py',
    f'--output={tmp_path / "table.pdf"}',
  )
  assert 'must end in .txt, .json or .csv' in sentence
  assert not list(tmp_path.iterdir())


def commands_of_the_readme():
  """Arguments of each command in its blocks, without the forms of commands."""
  text = (launch.ROOT / 'README.md').read_text()
  blocks = '\n'.join(text.split('\n```')[1::2]).replace('\\\n', ' ')
  for line in blocks.splitlines():
    words = shlex.split(line, comments=True) if line[:6] == 'python' else []
    if words[1:2] == ['main.py'] and not re.search('[|[]', line):
      yield words[2:]


def test_every_command_of_the_readme_is_one():
  found = list(commands_of_the_readme())
  assert len(found) > 20
  for words in found:
    with flagsaver.flagsaver(), contextlib.chdir(launch.ROOT):
      rest = flags.parse(['main.py', *words])
      registry.check(flags.FLAGS, rest[1:])
