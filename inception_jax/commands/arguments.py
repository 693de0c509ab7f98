"""Words of a command line that cannot be used, and what was meant by them."""

import collections
from collections.abc import Sequence
import os
import re

from absl import flags as absl_flags

from inception_jax.commands import registry
from inception_jax.runtime import errors, ranges, words

# What word processors, chats and web pages make of hyphens.
_DASHES = '‐‑‒–—―−﹘﹣－'
# Flags of the program, not of one command.
_OF_ALL = ('mode', 'json', 'help', 'version')
_KINDS = {
  'bool': 'true or false',
  'int': 'a whole number',
  'float': 'a number',
}


def check(arguments: Sequence[str], flags: absl_flags.FlagValues) -> None:
  """Checks a command line, without the fields of its config.

  Args:
    arguments: after the name of the program.
    flags: all of the program.

  Raises:
    InputError: if a flag is unknown, or has no value or a wrong one, with what
      was probably meant.
  """
  command = _command(arguments)
  remaining, before = collections.deque(arguments), None
  while remaining:
    word = remaining.popleft()
    if word == '--':
      return
    # A hyphen may be left of two that became a dash.
    if word.lstrip('-')[:1] in _DASHES or not word.startswith('-'):
      _check_word(word, before, flags)
      before = None
      continue
    name, equals, text = _divided(word)
    flag = _find(name, flags)
    if flag is None:
      raise errors.InputError(_unknown(word, command, before, flags))
    _check_flag(flag, name, text if equals else None, remaining)
    before = flag if flag.boolean and not equals else None


def _command(arguments: Sequence[str]) -> registry.Command:
  """The command that is asked for; 'train' where that cannot be told."""
  line = '\n'.join(arguments)
  found = re.findall(r'^-{1,2}mode[=\n](.*)$', line, re.MULTILINE)
  return registry.COMMANDS.get(
    found[-1] if found else 'train', next(iter(registry.COMMANDS.values()))
  )


def _divided(word: str) -> tuple[str, str, str]:
  """Name of a flag, `=` or nothing, and its value."""
  return re.sub('^--?', '', word).partition('=')


def _find(name: str, flags: absl_flags.FlagValues) -> absl_flags.Flag | None:
  """The flag of a name, which may be that of a switch with a no before it."""
  if name in flags:
    return flags[name]
  switch = name.removeprefix('no')
  if switch != name and switch in flags and flags[switch].boolean:
    return flags[switch]
  return None


def _check_flag(
  flag: absl_flags.Flag,
  name: str,
  text: str | None,
  remaining: collections.deque[str],
) -> None:
  """Checks the value of a flag, which may be the next word; takes that."""
  if flag.boolean and name != flag.name and text is not None:
    raise errors.InputError(
      f'--{name} takes no value; give --{name} or --{flag.name}={text}'
    )
  if flag.boolean and text is None:
    return
  if text is None:
    if not remaining or remaining[0].startswith('--'):
      known = words.join(registry.choices(name), 'or')
      raise errors.InputError(
        f'--{name} needs a value after a =' + (known and f', which is {known}')
      )
    text = remaining.popleft()
  if name == 'mode':
    registry.check_mode(text)
  try:
    flag.parser.parse(text)
  except (TypeError, ValueError) as error:
    choices = getattr(flag.parser, 'enum_values', ())
    kind = words.join(choices, 'or') or _KINDS.get(flag.flag_type())
    low = getattr(flag.parser, 'lower_bound', None)
    if low is not None:
      kind = f'{kind} from {low:,} to {flag.parser.upper_bound:,}'
    raise errors.InputError(
      f'--{name}={ranges.show(text)} must be {kind or flag.flag_type()}'
    ) from error


def _check_word(
  word: str, before: absl_flags.Flag | None, flags: absl_flags.FlagValues
) -> None:
  """Raises InputError for the value of a switch, or a flag without hyphens.

  Args:
    word: that does not begin with hyphens.
    before: the switch before it, if there is one.
    flags: all of the program.
  """
  is_truth = word.lower() in ('true', 'false') and not os.path.exists(word)
  if before is not None and is_truth:
    raise errors.InputError(
      f'{ranges.show(word)} stands alone; write --{before.name}={word}'
    )
  bare = word.lstrip(_DASHES + '-')
  name, equals, _ = bare.partition('=')
  is_flag = (
    name in _OF_ALL
    or _find(name, flags) is not None
    or re.match(r'(no)?config\.', name)
  )
  if not is_flag or os.path.lexists(word):
    return
  if bare != word:
    dash = word.lstrip('-')[0]
    raise errors.InputError(
      f'{ranges.show(word)} begins with the dash {dash!r}, and flags begin'
      f' with two hyphens; write --{bare}'
    )
  if equals:
    raise errors.InputError(
      f'{ranges.show(word)} is no flag, since flags begin with two hyphens;'
      f' write --{bare}'
    )


def _unknown(
  word: str,
  command: registry.Command,
  before: absl_flags.Flag | None,
  flags: absl_flags.FlagValues,
) -> str:
  """The sentence about a word that begins as a flag and is none."""
  if os.path.lexists(word):
    return (
      f'{word} is a file whose name begins as flags do; give it as ./{word}, or'
      ' put -- before the names of files'
    )
  if words.is_number(word):
    if before is not None:
      return f'--{before.name}={ranges.show(word)} must be true or false'
    return f'{word} is no flag; write the value of a flag after a ='
  name, equals, text = _divided(word)
  shown = word.partition('=')[0][:200]
  if meant := _meant(name, text, command, flags):
    return (
      f'unknown flag {shown}; did you mean'
      f' {ranges.show(f"--{meant}{equals}{text}")}?'
    )
  mode = next(k for k, v in registry.COMMANDS.items() if v is command)
  remedy = f'--mode={mode} --help lists the flags'
  if 'config' in (*command.needs, *command.takes):
    remedy += ', and --config=digits --help the fields of a config'
  if command.takes_files:
    remedy += '; put -- before files whose names begin with -'
  return f'unknown flag {shown}; {remedy}'


def _meant(
  name: str,
  text: str,
  command: registry.Command,
  flags: absl_flags.FlagValues,
) -> str | None:
  """The flag or field of a config that an unknown flag is nearest to."""
  known = (*command.needs, *command.takes, *_OF_ALL)
  plain = name.lower().replace('-', '_')
  if _find(plain, flags) is not None:
    return plain
  near = errors.nearest(plain, known)
  if 'config' not in known:
    return near
  from inception_jax.experiment import overrides  # JAX, not for --help.

  path, is_exact = overrides.meant(plain, text)
  if near and not is_exact:
    return near
  return f'config.{path}' if path else None
