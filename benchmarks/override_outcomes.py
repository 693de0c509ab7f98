"""What came of a drawn override, and whether that is right."""

import ast
import contextlib
import dataclasses
import math
import re
from typing import Any

from benchmarks import override_draws

LIMIT_SECONDS = 10.0
_LONGEST_SENTENCE = 1000


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What came of a command.

  Attributes:
    status: exit status; None after a traceback.
    said: standard error, or the traceback's last line.
    seconds: that it took; of an ensemble, for each network.
    config: of the command line; None if that was refused.
  """

  status: int | None
  said: str
  seconds: float
  config: dict[str, Any] | None


def judge(
  draw: override_draws.Draw, outcome: Outcome, built: list[dict[str, Any]]
) -> str:
  """What came of a draw: 'works', 'one sentence', or what is wrong."""
  if outcome.seconds > LIMIT_SECONDS:
    return 'slow'
  if outcome.status is None:
    return 'traceback'
  if outcome.status:
    found = judge_sentence(draw, outcome.said)
    is_wrong = draw.must_work and found == 'one sentence'
    return 'refused for no reason' if is_wrong else found
  if any(_has_nonfinite(config) for config in built):
    return 'a number that is not finite'
  for field, value in _last_values(draw).items():
    if not is_taken(_value_at(outcome.config, field), value):
      return f'{field} not taken'
  return 'works'


def judge_sentence(draw: override_draws.Draw, said: str) -> str:
  """As `judge`, of what a refused command has said."""
  lines = said.strip().splitlines()
  if 'Traceback' in said:
    return 'traceback'
  if not lines or not lines[-1].startswith('error: '):
    return 'no sentence'
  if not lines[-1].isprintable() or len(lines[-1]) > _LONGEST_SENTENCE:
    return 'no sentence'
  if sum(line.startswith('error: ') for line in lines) > 1:
    return 'several sentences'
  if re.search(
    r"^error: [\"']|KeyError|dict_keys|<class|\\'|ConfigDict", lines[-1]
  ):
    return 'no words for users'
  names = {part for field in draw.fields for part in field.split('.')}
  if not any(name in lines[-1] for name in names):
    return 'names no field'
  return 'one sentence'


def _has_nonfinite(value: Any) -> bool:
  if isinstance(value, dict):
    return any(map(_has_nonfinite, value.values()))
  if isinstance(value, (list, tuple)):
    return any(map(_has_nonfinite, value))
  return isinstance(value, float) and not math.isfinite(value)


def _last_values(draw: override_draws.Draw) -> dict[str, str]:
  """The value that each field must have; of sections none."""
  found = {}
  for field, value in zip(draw.fields, draw.values, strict=True):
    # A section replaces its fields, and several values of a tuple are joined.
    found = {k: v for k, v in found.items() if not k.startswith(f'{field}.')}
    joined = field in found
    found.pop(field, None)
    if (
      value is not None and field not in override_draws.SECTIONS and not joined
    ):
      found[field] = value
  return found


def _value_at(config: Any, field: str) -> Any:
  for name in field.split('.'):
    config = config.get(name) if isinstance(config, dict) else None
  return config


def is_taken(value: Any, text: str) -> bool:
  """Whether a field has the value that its text on the command line means."""
  if text in ('', 'None', 'none'):
    return value is None or value == text
  meanings = [text, [text], text.split(',')]
  with contextlib.suppress(ValueError):
    meanings.append(float(text))
  with contextlib.suppress(ValueError, SyntaxError, MemoryError):
    literal = ast.literal_eval(text)
    meanings += [literal, [literal]]
    if isinstance(literal, tuple):
      meanings.append(list(literal))
  truth = {'true': True, 'false': False}.get(text.lower())
  return value in meanings or (truth is not None and value is truth)
