"""Tests of the flags of the command line, above all of a config's fields."""

from absl.testing import flagsaver
import launch
import pytest

from inception_jax.commands import flags
from inception_jax.ensemble import train as train_ensemble
from inception_jax.runs import announcement
from inception_jax.runs import train as train_run
from inception_jax.runtime import errors

OLD = '--config.train.polyak_start_epoch'
FILE = """
import ml_collections
def get_config():
  return SECTIONS
"""


@pytest.fixture
def parse():
  """What is no flag, and the config, of a command line."""

  def parsed(*arguments):
    argv = ['main.py', *map(str, arguments)]
    with flagsaver.flagsaver():
      rest = flags.parse(argv)
      config = flags.FLAGS.config
      config = config and getattr(config, 'to_dict', lambda: config)()
    return rest[1:], config

  return parsed


@pytest.fixture
def file(tmp_path):
  def write(sections, form='ml_collections.ConfigDict({})'):
    path = tmp_path / f'config_{len(list(tmp_path.iterdir()))}.py'
    path.write_text(FILE.replace('SECTIONS', form.format(repr(sections))))
    return path

  return write


@pytest.mark.parametrize('form', [(f'{OLD}=1.0',), (OLD, '1.0')])
@pytest.mark.parametrize(
  'sections',
  [
    {'averaging': {'polyak_start_epoch': 8.0}, 'train': {}},
    {'averaging': {}, 'train': {'polyak_start_epoch': 8.0}},
  ],
  ids=['new', 'old'],
)
@pytest.mark.parametrize('name', ['--config={}', '-config={}'])
def test_an_earlier_name_stands_for_the_present_one(
  parse, file, form, sections, name
):
  _, config = parse(name.format(file(sections)), *form)
  assert config == {'averaging': {'polyak_start_epoch': 1.0}, 'train': {}}


def test_the_home_folder_of_a_config_is_found(parse, file, monkeypatch):
  path = file({'train': {}})
  monkeypatch.setenv('HOME', str(path.parent))
  for more in ((), ('--config.train.seed=3',)):
    _, config = parse(f'--config=~/{path.name}', *more)
    assert config == {'train': {'seed': 3} if more else {}}


def test_fields_and_flags_may_stand_in_any_order(parse, file, tmp_path):
  path = file({'train': {'seed': 0}})
  listed = tmp_path / 'flags.txt'
  listed.write_text('--config.train.batch_size=8\n')
  rest, config = parse(
    '--config.train.seed=5',
    f'--flagfile={listed}',
    '--config',
    path,
    '--workdir=x',
    '--config.model.use_aux',
    '--noconfig.model.merge_1x1',
    'photo.jpg',
    '--',
    '--config.train.seed=7',
  )
  assert rest == ['photo.jpg', '--config.train.seed=7']
  assert config == {
    'train': {'seed': 5, 'batch_size': 8},
    'model': {'use_aux': True, 'merge_1x1': False},
  }


def test_fields_without_a_config(parse):
  with pytest.raises(Exception, match=r'--config.train.seed needs --config='):
    parse('--config.train.seed=3')


def test_a_plain_dict_is_a_config_too(parse, file):
  path = file({'train': {'seed': 0}}, '{}')
  assert parse(f'--config={path}')[1] == {'train': {'seed': 0}}
  _, config = parse(f'--config={path}', '--config.train.seed=2')
  assert config == {'train': {'seed': 2}}


@pytest.mark.parametrize('form', ['--config={}', '-config={}', '--config {}'])
def test_a_file_of_flags_that_cannot_be_read_is_named(parse, tmp_path, form):
  with pytest.raises(errors.InputError, match='--flagfile cannot be read .No'):
    parse(f'--flagfile={tmp_path / "none"}')
  path = tmp_path / 'none.py'
  with pytest.raises(errors.InputError, match='none.py cannot be read .No su'):
    parse(*form.format(path).split(), '--config.train.seed=2')


def test_what_is_changed_reaches_training(monkeypatch, tmp_path):
  taken = []
  monkeypatch.setattr(
    train_ensemble, 'train_ensemble', lambda *x: taken.append('ensemble') or {}
  )
  monkeypatch.setattr(
    train_run, 'train', lambda *x: taken.append(x[2]) or {'step': 1}
  )
  field = '--config.train.seed=5'
  for config, more in ((launch.TINY, field), (launch.TINY, '--json')):
    launch.called(f'--config={config}', f'--workdir={tmp_path}', more)
  assert taken == [('train.seed: 0 → 5',), ()]
  monkeypatch.setattr(
    announcement, 'announce_changes', lambda x: taken.append(x)
  )
  launch.called(f'--config={launch.TINY}:pair', f'--workdir={tmp_path}', field)
  assert taken[2:] == [('train.seed: 0 → 5',), 'ensemble']
