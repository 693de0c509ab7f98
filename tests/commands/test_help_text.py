"""Help is made of the registry, the flags and the declarations of fields."""

import launch
import pytest

from inception_jax.commands import flags, help_text, registry
from inception_jax.experiment import config_files, field_table
from inception_jax.runtime import errors


def of(*arguments):
  return help_text.text(['inception-jax', *arguments], flags.FLAGS)


@pytest.mark.parametrize(
  ('arguments', 'is_help'),
  [
    (('--help',), True),
    (('-h',), True),
    (('help',), True),
    (('--mode=train', '--help'), True),
    (('--mode=predict', 'help.jpg'), False),
    (('--mode=predict', 'x', 'help'), False),
    ((), False),
  ],
)
def test_when_help_is_asked_for(arguments, is_help):
  assert help_text.is_asked_for(['inception-jax', *arguments]) == is_help


def test_overview_has_all_commands_and_configs():
  text = of('--help')
  for name, command in registry.COMMANDS.items():
    assert f'  {name} ' in text and command.help in text
  assert set(config_files.names()) <= set(text.replace(',', ' ').split())


@pytest.mark.parametrize('mode', registry.COMMANDS)
def test_commands_have_their_flags_and_no_others(mode):
  text, command = of(f'--mode={mode}', '-h'), registry.COMMANDS[mode]
  shown = {
    line.strip()[2:] for line in text.splitlines() if line.startswith('  --')
  }
  assert shown - {'json', 'config.SECTION.FIELD'} == {
    *command.needs,
    *command.takes,
  }
  assert text.count('(needed)') == len(command.needs)
  assert text.endswith(command.example)
  assert max(map(len, text.splitlines()[:-1])) <= 80


def test_fields_of_a_config():
  text = of('--mode=train', '--config=plain_digits', '--help')
  for path, field in field_table.fields().items():
    section, _, name = path.rpartition('.')
    assert f'\nconfig.{section}\n' in text or not section
    assert f'\n  {name}\n' in text or f'\n  {name}=' in text, path
    assert field.help, f'{path} does not say what it means'
  assert '\n  image_size=80\n' in text


@pytest.mark.parametrize(
  ('arguments', 'reason'),
  [
    (('--mode=evaluat', '--help'), "did you mean 'evaluate'"),
    (('--config=digit', '--help'), "did you mean 'digits'"),
    (('--config', 'none.py', '--help'), 'none.py cannot be read'),
  ],
)
def test_what_there_is_no_help_of(arguments, reason):
  with pytest.raises(errors.InputError, match=reason):
    of(*arguments)


def test_the_program_prints_it():
  status, out, err = launch.call('--mode=summary', '--help')
  assert status == 0 and 'Prints Table 1' in out and not err
  status, out, _ = launch.call('--version')
  assert status == 0 and out.startswith('inception_jax 0.')
