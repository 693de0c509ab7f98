"""Tests of declarations of values."""

import dataclasses
import math
from typing import Annotated

import pytest

from inception_jax.runtime import ranges

Share = Annotated[float, ranges.Range(0, 1)]


@dataclasses.dataclass(frozen=True)
class Arguments:
  """One of each kind."""

  share: Share = 0.5
  rate: Annotated[float, ranges.Range(0, 10, is_open=True)] | None = None
  pair: tuple[Share, Share] = (0.0, 1.0)
  kind: Annotated[str, ranges.OneOf(('cosine', 'constant'))] = 'cosine'
  names: tuple[Annotated[str, ranges.Text()], ...] = ()
  steps: ranges.Steps = 1

  def __post_init__(self):
    ranges.check(type(self), vars(self))


@pytest.mark.parametrize(
  'values',
  [
    {'share': 0},
    {'share': 1.0},
    {'rate': None},
    {'rate': 1e-300},
    {'pair': [1, 0]},
    {'names': ('a', 'b')},
    {'names': ()},
    {'steps': ranges.MAX_STEPS},
  ],
  ids=str,
)
def test_declared_values_pass(values):
  (name,) = values
  assert getattr(Arguments(**values), name) == values[name]


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    ({'share': math.nan}, 'share must be a number from 0 to 1, not nan'),
    ({'share': -1e-9}, 'share must be a number from 0 to 1, not -1e-09'),
    ({'share': math.inf}, 'not inf'),
    ({'rate': 0}, 'rate must be a number above 0 and at most 10, or None'),
    ({'rate': math.nan}, 'not nan'),
    ({'pair': (0, math.nan)}, 'pair must be a tuple of 2, each a number'),
    ({'kind': 'cosin'}, "one of cosine or constant, not 'cosin'.*'cosine'"),
    ({'names': ('a', ' ')}, 'a text that is not empty'),
    ({'names': ('a\0',)}, 'names must be'),
    ({'steps': 0}, 'from 1 to 1,000,000,000, not 0'),
    ({'steps': 10**5000}, 'not a number of over 80 digits'),
  ],
  ids=lambda x: str(x)[:30] if isinstance(x, dict) and 'steps' not in x else '',
)
def test_others_are_named(values, message):
  with pytest.raises(ValueError, match=message) as caught:
    Arguments(**values)
  assert str(caught.value).startswith(f'{next(iter(values))} must be ')


def test_long_values_are_cut_short():
  with pytest.raises(ValueError, match=r'kind must be .*\.\.\.$') as caught:
    Arguments(kind='x' * 10_000)
  assert len(str(caught.value)) < 200
