"""What `--help` prints, made of the registry, the flags and the fields."""

from collections.abc import Mapping, Sequence
import json
import re
import textwrap
from typing import Any

from absl import flags as absl_flags

from inception_jax.commands import registry

_WIDTH = 80
_PROGRAM = 'inception-jax'
_HELP = ('--help', '-help', '-h', '--helpshort', '--helpfull')


def is_asked_for(argv: Sequence[str]) -> bool:
  """Whether a command line, program first, asks for help."""
  return argv[1:2] == ['help'] or any(x in _HELP for x in argv[1:])


def text(argv: Sequence[str], flags: absl_flags.FlagValues) -> str:
  """The help that a command line asks for.

  Args:
    argv: program and arguments; `--mode` and `--config` say of what.
    flags: all of the program.

  Raises:
    InputError: if there is no such command or config.
  """
  mode, config = (_value(argv, name) for name in ('mode', 'config'))
  if mode is None and config is None:
    return _overview()
  mode = mode or 'train'
  registry.check_mode(mode)
  if config is None:
    return _of_command(mode, flags)
  return _of_config(config)


def _value(argv: Sequence[str], name: str) -> str | None:
  """The last value of a flag on a command line."""
  found = None
  for place, argument in enumerate(argv):
    match = re.fullmatch(rf'-{{1,2}}{name}(?:=(.*))?', argument, re.DOTALL)
    if match:
      found = match[1]
      if found is None:
        following = ''.join(argv[place + 1 : place + 2])
        found = None if following.startswith('-') else following
  return found


def _overview() -> str:
  from inception_jax.experiment import config_files

  width = max(map(len, registry.COMMANDS))
  lines = [
    f'{_PROGRAM} --mode=COMMAND [FLAGS] [FILES], or python main.py ...',
    '',
    'Commands; train is the default:',
    *(
      f'  {name:{width}}  {command.help}'
      for name, command in registry.COMMANDS.items()
    ),
    '',
    'Help of one command, and the fields of a config:',
    f'  {_PROGRAM} --mode=evaluate --help',
    f'  {_PROGRAM} --config=digits --help',
    '',
    'Configs of the package, beside files that end in .py:',
    *_filled(', '.join(config_files.names()), '  '),
    '',
    f'Version: {_PROGRAM} --version',
  ]
  return '\n'.join(lines)


def _of_command(mode: str, flags: absl_flags.FlagValues) -> str:
  command = registry.COMMANDS[mode]
  files = ' FILES' if command.takes_files else ''
  lines = [
    f'{_PROGRAM} --mode={mode}{files}',
    '',
    *_filled(command.help, ''),
    '',
    'Flags:',
  ]
  for name in (*command.flags, 'compilation_cache', 'json'):
    flag = flags[name]
    note = 'needed' if name in command.needs else _default(flag)
    lines += _entry(f'--{name}', flag.help, note)
  if 'config' in command.flags:
    lines += _entry(
      '--config.SECTION.FIELD',
      f'Overrides a field: {_PROGRAM} --mode={mode} --config=NAME --help lists'
      ' them.',
      '',
    )
  if command.takes_files:
    lines += [
      '',
      *_filled(
        'FILES are pictures, folders of them and quoted patterns. Put -- before'
        ' them where a name may begin with -, as of *.jpg in a shell.',
        '',
      ),
    ]
  example = f'{_PROGRAM} --mode={mode} {command.example}'
  return '\n'.join([*lines, '', 'Example:', f'  {example}'])


def _default(flag: absl_flags.Flag) -> str:
  return '' if flag.default in (None, False) else f'default {flag.default}'


def _of_config(name: str) -> str:
  """The fields of all sections, with their values in a config."""
  from inception_jax.experiment import config_files, field_table, fields
  from inception_jax.runtime import ranges

  values = fields.plain(config_files.load(name))
  lines = [
    *_filled(
      f'Fields of --config={name}. --config.SECTION.FIELD=VALUE sets one and'
      ' --config.SECTION.FIELD=None unsets it; the first have no section, as in'
      ' --config.init_from=runs/digits. What stands after a = below is the'
      " config's own value; sections with numbers are those of the paper.",
      '',
    ),
  ]
  for section in field_table.SOURCES:
    lines += ['', f'config.{section}' if section else 'config']
    given = values.get(section, {}) if section else values
    for field in field_table.in_section(section).values():
      note = [ranges.describe(field.declared)]
      if field.is_required:
        note.append('needed')
      else:
        note.append(f'default {_shown(field.default)}')
      name_of_field = field.path.rpartition('.')[2]
      entry = f'{name_of_field}'
      if isinstance(given, Mapping) and given.get(name_of_field) is not None:
        entry += f'={_shown(given[name_of_field])}'
      lines += _entry(entry, field.help, '; '.join(note))
  return '\n'.join(lines)


def _shown(value: Any) -> str:
  if isinstance(value, str | int | float | None):
    return str(value)
  return json.dumps(value, allow_nan=False)


def _entry(name: str, meaning: str, note: str) -> list[str]:
  meaning = f'{meaning} ({note})' if note else meaning
  return [*_filled(name, '  '), *_filled(meaning, '      ')]


def _filled(words: str, indent: str) -> list[str]:
  return textwrap.wrap(
    words, _WIDTH, initial_indent=indent, subsequent_indent=indent
  )
