"""One network's arrays among all that a checkpoint holds.

Programs that train put prefixes before names (`module.`, `_orig_mod.`,
`model.`), dictionaries around state dicts (`state_dict`, `model`, `net`), and
several networks into one file: a moving average beside the weights, a teacher
beside a student. Names are matched from their ends, so that no prefix has to be
known.
"""

from collections.abc import Collection, Iterable, Mapping
import dataclasses
import re
import shlex

import numpy as np

from inception_jax.runtime import errors

# What PyTorch's own wrappers add, anywhere in a name.
_WRAPPERS = frozenset(
  {
    'module',
    '_orig_mod',
    '_fsdp_wrapped_module',
    '_checkpoint_wrapped_module',
  }
)
# In the name of a moving average.
_AVERAGE = re.compile(
  r'(?<![a-zA-Z])([Ee]ma|swa|avg|averaged?|shadow)(?![a-z])|EMA|SWA'
)
# `torch.optim.swa_utils.AveragedModel` keeps it beside the module.
_COUNTER = 'n_averaged'
# Of the names wanted, below which it is no such network.
_MIN_SHARE = 0.5


@dataclasses.dataclass(frozen=True)
class Network:
  """Arrays of a network, by their own names.

  Attributes:
    arrays: without the prefix.
    prefix: what was before each name, without the last point; often empty.
    is_average: whether they are moving averages.
    others: prefixes of other such networks in the file.
  """

  arrays: Mapping[str, np.ndarray]
  prefix: str
  is_average: bool
  others: tuple[str, ...] = ()

  @property
  def where(self) -> str:
    """Where in the file, for a sentence; empty if it is all of it."""
    return f' under {self.prefix!r}' if self.prefix else ''


def find(
  arrays: Mapping[str, np.ndarray],
  wanted: Collection[str],
  weights: str | None,
  source: str,
) -> Network:
  """The network that a checkpoint holds, or one of several.

  Args:
    arrays: all of the checkpoint's, by dotted names.
    wanted: names that the network has in any case.
    weights: 'raw', 'ema', or the prefix of one; None is the moving average
      where there is one of all arrays, batch statistics too.
    source: name of the file, for messages.

  Returns:
    The network; one that lacks most names if nothing fits better.

  Raises:
    InputError: if it holds no such weights, or several networks and `weights`
      does not say which.
  """
  plain = _plain_names(arrays)
  counts = _count_prefixes(plain, frozenset(wanted))
  best = max(counts.values(), default=0)
  prefixes = [
    prefix
    for prefix, count in counts.items()
    if count >= max(_MIN_SHARE * len(wanted), _MIN_SHARE * best)
  ]
  if not prefixes:
    prefix = max(counts, key=counts.__getitem__, default='')
    return Network(_under(plain, prefix, ()), prefix, False)
  networks = _different(
    Network(_under(plain, x, prefixes), x, _is_average(x, plain))
    for x in prefixes
  )
  if weights is None:
    whole = [x for x in networks if counts[x.prefix] == best]
    chosen = _choose(whole, None, source)
  else:
    chosen = _choose(networks, weights, source)
  others = tuple(x.prefix for x in networks if x is not chosen)
  return dataclasses.replace(chosen, others=others)


def _plain_names(
  arrays: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
  """Without what PyTorch's wrappers add, unless two become one so."""
  plain = {}
  for name, array in arrays.items():
    short = '.'.join(x for x in name.split('.') if x not in _WRAPPERS)
    plain[name if short in plain else short] = array
  return plain


def _count_prefixes(
  names: Iterable[str], wanted: Collection[str]
) -> dict[str, int]:
  """How many of the wanted names follow each prefix."""
  counts = {}
  for name in names:
    parts = name.split('.')
    for start in range(len(parts)):
      if '.'.join(parts[start:]) in wanted:
        prefix = '.'.join(parts[:start])
        counts[prefix] = counts.get(prefix, 0) + 1
  return counts


def _under(
  arrays: Mapping[str, np.ndarray], prefix: str, prefixes: Iterable[str]
) -> dict[str, np.ndarray]:
  """What has a prefix, and no longer one of those given."""
  start = f'{prefix}.' if prefix else ''
  inner = tuple(
    f'{x}.' for x in prefixes if x != prefix and x.startswith(start)
  )
  return {
    name[len(start) :]: array
    for name, array in arrays.items()
    if name.startswith(start)
    and not (inner and name.startswith(inner))
    and not name.endswith(_COUNTER)
  }


def _is_average(prefix: str, arrays: Collection[str]) -> bool:
  counter = f'{prefix}.{_COUNTER}' if prefix else _COUNTER
  return bool(_AVERAGE.search(prefix)) or counter in arrays


def _different(networks: Iterable[Network]) -> list[Network]:
  """Those that are not the same bits under another name."""
  found = []
  for network in networks:
    if not any(_is_same(network.arrays, x.arrays) for x in found):
      found.append(network)
  return found


def _is_same(
  one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]
) -> bool:
  return one.keys() == other.keys() and all(
    np.array_equal(array, other[name]) for name, array in one.items()
  )


def _choose(
  networks: list[Network], weights: str | None, source: str
) -> Network:
  """The one that `weights` says."""
  named = [x for x in networks if weights is not None and x.prefix == weights]
  if named:
    return named[0]
  averages = [x for x in networks if x.is_average]
  raw = [x for x in networks if not x.is_average]
  known = ', '.join(repr(x.prefix) if x.prefix else 'none' for x in networks)
  if weights not in (None, 'raw', 'ema'):
    raise errors.InputError(
      f'--weights={weights} is not in {source}, which holds weights under the'
      f' names {known}; give one of these, or ema or raw'
    )
  found = {'ema': averages, 'raw': raw, None: averages or raw}[weights]
  # Names without any prefix are those of the file itself.
  found = [x for x in found if not x.prefix] or found
  if not found:
    raise errors.InputError(
      f'{source} holds no {weights} weights, only those under the names'
      f' {known}; leave --weights out'
    )
  if len(found) > 1:
    flags = ' or '.join(shlex.quote(f'--weights={x.prefix}') for x in found)
    raise errors.InputError(
      f'{source} holds {len(found)} networks; give {flags}'
    )
  return found[0]
