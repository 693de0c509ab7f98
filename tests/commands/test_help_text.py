"""Help is made of the registry, the flags and the declarations of fields."""

import re

import launch
import pytest

from inception_jax.commands import flags, help_text, registry
from inception_jax.experiment import config_files, field_table
from inception_jax.runtime import errors, ranges


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
  more = registry.CLUSTER_FLAGS if command.is_shared else ()
  of_all = {'json', 'compilation_cache', 'config.SECTION.FIELD'}
  assert shown - of_all == {
    *command.needs,
    *command.takes,
    *more,
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
    shown = ' '.join(text.split())
    type_of_field = ranges.describe(field.declared)
    default = 'needed' if field.is_required else 'default '
    assert f'{field.help} ({type_of_field}; {default}' in shown, path
  assert '\n  image_size=80\n' in text
  assert max(map(len, text.splitlines())) <= 80


# Sections of the paper that speak of a field.
SECTIONS = {
  4: ['model.module_form'],
  5: ['model.name', 'model.use_aux', 'data.image_size', 'train.aux_weight'],
  6: [
    'data.train_crop',
    'data.area_range',
    'data.aspect_ratio_range',
    'data.aspect_ratio_law',
    'data.interpolations',
    'augmentation.brightness',
    'augmentation.contrast',
    'augmentation.saturation',
    'learning_rate.schedule',
    'learning_rate.decay_rate',
    'learning_rate.decay_epochs',
    'optimizer.name',
    'optimizer.momentum',
    'averaging.polyak_start_epoch',
    'averaging.inference_weights',
  ],
  7: [
    'model.width',
    'data.name',
    'data.eval_split',
    'ensemble.members',
    'ensemble.same_initial_weights',
  ],
}


def test_fields_say_which_section_of_the_paper_speaks_of_them():
  found = {}
  for path, field in field_table.fields().items():
    for number in re.findall(r'\bsection (\d)', field.help):
      found.setdefault(int(number), []).append(path)
  assert found == SECTIONS


def test_fields_that_the_recipe_gives_a_section_say_it_too():
  text = (config_files.folder() / 'googlenet_imagenet.py').read_text()
  given = re.findall(r"^ +'(\w+)': .*# Section (\d)", text, re.MULTILINE)
  assert len(given) > 5
  for name, number in given:
    if name != 'mirror':  # Section 7 says it of testing.
      listed = [x.rpartition('.')[2] for x in SECTIONS[int(number)]]
      assert name in listed


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
