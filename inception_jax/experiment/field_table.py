"""Every field of a config: its type, its values, its default, what it means.

Nothing is declared here: a section is the arguments of a function or dataclass,
whose annotations (see `runtime.ranges`), defaults and docstring are read. They
are what the function itself checks.
"""

from collections.abc import Iterable, Mapping
import dataclasses
import functools
import inspect
import re
import types
from typing import Annotated, Any

from inception_jax import models
from inception_jax.data import dataset
from inception_jax.runtime import errors, ranges, words
from inception_jax.training import (
  augment,
  averaging,
  last_layer,
  learning_rate,
  optimizer,
  options,
)

_ABSENT = inspect.Parameter.empty


@dataclasses.dataclass(frozen=True)
class Start:
  """The fields beside the sections.

  Attributes:
    init_from: run directory, trained or imported, whose weights a new run
      starts from.
    init_weights: which of its weights, by default those it is used with.
    freeze: globs over modules that are left as they are, such as
      'inception_[34]*'.
  """

  init_from: Annotated[str, ranges.Text()] | None = None
  init_weights: averaging.Kind | None = None
  freeze: tuple[Annotated[str, ranges.Text()], ...] | None = None


@dataclasses.dataclass(frozen=True)
class Ensemble:
  """Section `ensemble`, of several runs.

  Attributes:
    members: by name, the fields in which a member's config differs, a section
      at a time: `{'wide': {'model': {'width': 1.25}}}`. Each has a seed of its
      own, `train.seed` plus its number from 0, unless it gives one. The paper
      has seven (section 7).
    same_initial_weights: whether all begin with the weights that `train.seed`
      draws (section 7: "trained with the same initialization (even with the
      same initial weights, mainly because of an oversight)"), or each with
      weights of its own. A wider member has others in any case.
    only: the members to train now, as a tuple or one text with commas; none is
      all. Give each machine some of them, and the same folder, to train them at
      the same time.
    num_parallel: members that this machine trains at the same time, each in a
      process with its share of the GPUs.
  """

  members: dict[str, Any]
  same_initial_weights: bool = True
  only: tuple[Annotated[str, ranges.Text()], ...] = ()
  num_parallel: Annotated[int, ranges.Range(1, 1024)] = 1


# What the fields of each section are the arguments of; '' are those beside
# the sections.
SOURCES: Mapping[str, Any] = types.MappingProxyType(
  {
    '': Start,
    'model': models.create_model,
    'data': dataset.open_dataset,
    'augmentation': augment.Augmentation,
    'learning_rate': learning_rate.create_learning_rate_fn,
    'optimizer': optimizer.create_optimizer,
    'averaging': averaging.create_averaging,
    'last_layer': last_layer.LastLayerOptions,
    'train': options.TrainOptions,
    'ensemble': Ensemble,
  }
)
# Arguments that the program gives.
_NO_FIELDS = {
  'model': ('axis_name',),
  'learning_rate': ('steps_per_epoch', 'num_train_steps'),
  'optimizer': ('learning_rate_fn',),
  'averaging': ('steps_per_epoch', 'num_train_steps'),
}
# A network and its preprocessing go by this; there is no network by default.
_REQUIRED = ('model.name',)
# What users of other programs call a field.
_OTHER_NAMES = {
  'arch': 'model.name',
  'base': 'learning_rate.init_value',
  'base_lr': 'learning_rate.init_value',
  'batch': 'train.batch_size',
  'bs': 'train.batch_size',
  'dataset': 'data.name',
  'epochs': 'train.num_epochs',
  'epoch': 'train.num_epochs',
  'learning_rate': 'learning_rate.init_value',
  'lr': 'learning_rate.init_value',
  'num_workers': 'data.num_threads',
  'network': 'model.name',
  'pretrained': 'init_from',
  'profile': 'model.name',
  'resolution': 'data.image_size',
  'steps': 'train.num_train_steps',
  'wd': 'optimizer.weight_decay',
  'workers': 'data.num_threads',
}
# Those whose default is the data's.
_DEFAULTS = {'model.num_classes': None}


@dataclasses.dataclass(frozen=True)
class Field:
  """A field of a config.

  Attributes:
    path: its name, such as 'train.seed'.
    declared: annotation: its type and what it must be among.
    default: its value where a config does not give it; `is_required` otherwise.
    is_required: whether a config must give it.
    help: what it means.
  """

  path: str
  declared: Any
  default: Any
  is_required: bool
  help: str

  @property
  def type(self) -> Any:
    """bool, int, float, str, tuple or dict."""
    return ranges.plain_type(self.declared)

  @property
  def allows_none(self) -> bool:
    return ranges.allows_none(self.declared)

  def check(self, value: Any) -> None:
    """Raises InputError if a value is missing, or not among those declared."""
    if value is None:  # As if it were not given.
      if not self.is_required:
        return
      raise errors.InputError(
        f'field config.{self.path} is missing; it must be'
        f' {ranges.describe(self.declared)}'
      )
    problem = suggestion = ''
    if is_of_type(self.declared, value):
      if ranges.contains(self.declared, value):
        return
      suggestion = ranges.suggestion(self.declared, value)
    elif self.type is not tuple or not isinstance(value, (tuple, list)):
      problem = f'is of the wrong type {type(value).__name__}; it '
    raise errors.InputError(
      f'config.{self.path}={ranges.show(value)} {problem}must be'
      f' {ranges.describe(self.declared)}{suggestion}'
    )


def declared(section: str, source: Any) -> dict[str, Field]:
  """The fields that a function or dataclass declares, by name.

  Args:
    section: whose they are; '' for those beside the sections.
    source: whose annotations, defaults and docstring say all.
  """
  hints, texts = ranges.hints(source), _help_texts(source)
  found = {}
  for name, parameter in inspect.signature(source).parameters.items():
    if name in _NO_FIELDS.get(section, ()):
      continue
    path = f'{section}.{name}'.removeprefix('.')
    default = _DEFAULTS.get(path, parameter.default)
    is_required = default is _ABSENT or path in _REQUIRED
    found[name] = Field(
      path,
      hints.get(name, Any),
      None if is_required else default,
      is_required,
      texts.get(name, ''),
    )
  return found


@functools.cache
def in_section(section: str) -> Mapping[str, Field]:
  """The fields of a section of a config by name; see `SOURCES`."""
  return types.MappingProxyType(declared(section, SOURCES[section]))


@functools.cache
def fields() -> Mapping[str, Field]:
  """All fields by their paths, such as 'train.seed' and 'init_from'."""
  return types.MappingProxyType(
    {
      field.path: field
      for section in SOURCES
      for field in in_section(section).values()
    }
  )


def find(
  section: str, name: str, known: Mapping[str, Field] | None = None
) -> Field:
  """A field.

  Args:
    section: '' for those beside the sections.
    name: of the field, in the section.
    known: the fields of the section; None is those of a config.

  Raises:
    InputError: if there is none, with the nearest name.
  """
  known = in_section(section) if known is None else known
  if name not in known:
    path = f'{section}.{name}'.removeprefix('.')
    near = nearest(name, known)
    raise errors.InputError(
      f'unknown field config.{path[:200]}; {contents(section, known)}'
      + (f'; did you mean {near!r}?' if near else '')
    )
  return known[name]


def contents(section: str, known: Mapping[str, Field]) -> str:
  """Says which fields a section has; '' has those beside the sections."""
  if section:
    return f'config.{section} has {words.join(known)}'
  sections = words.join(x for x in SOURCES if x)
  return f'config has {words.join(known)}, and the sections {sections}'


def nearest(name: str, known: Iterable[str] = ()) -> str | None:
  """The field that is meant by a name that none has.

  Args:
    name: path or last part of a path, as a user wrote it.
    known: names that come first, such as those of one section.

  Returns:
    One of `known`, or the path of a field or section, or None if nothing is
    near.
  """
  paths = {}  # The first field of each name.
  for path in fields():
    paths.setdefault(path.rpartition('.')[2], path)
  last = name.rpartition('.')[2]
  if last in paths:
    return paths[last]
  near = errors.nearest(name, known)
  if meant := _OTHER_NAMES.get(last):
    return near if near and meant.endswith(near) else meant
  if near:
    return near
  if near := errors.nearest(name, SOURCES, cutoff=0.85):
    return near
  if near := errors.nearest(name, fields()):
    return near
  near = errors.nearest(last, paths)
  if near is None and len(last) > 2:
    parts = [x for x in paths if any(y.startswith(last) for y in x.split('_'))]
    near = errors.nearest(last, parts, cutoff=0)
  return near and paths[near]


def check_section(
  section: str,
  values: Mapping[str, Any],
  known: Mapping[str, Field] | None = None,
) -> None:
  """Checks the fields that a section gives.

  Args:
    section: '' for those beside the sections.
    values: plain data.
    known: see `find`.

  Raises:
    InputError: if a field is unknown, or not among its values.
  """
  for name, value in values.items():
    find(section, name, known).check(value)


def check_required(
  values: Mapping[str, Any], known: Mapping[str, Field]
) -> None:
  """Raises InputError if a section lacks a field that it must give."""
  for name, field in known.items():
    if field.is_required:
      field.check(values.get(name))


def given(
  values: Mapping[str, Any], known: Mapping[str, Field]
) -> dict[str, Any]:
  """Without the fields whose None can only mean that they are not given."""
  return {
    name: value
    for name, value in values.items()
    if value is not None or known[name].allows_none
  }


def is_of_type(annotation: Any, value: Any) -> bool:
  """Whether a config value can stand where `annotation` is declared."""
  if value is None:
    return ranges.allows_none(annotation)
  kind = ranges.plain_type(annotation)
  if kind is tuple:
    inner = ranges.strip(annotation)
    if not isinstance(value, (tuple, list)):
      return False
    elements = ranges.element_types(inner, value)
    return len(value) == len(elements) and all(map(is_of_type, elements, value))
  if kind is float:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
  if kind is int:
    return isinstance(value, int) and not isinstance(value, bool)
  return not isinstance(kind, type) or isinstance(value, kind)


def _help_texts(source: Any) -> dict[str, str]:
  """What a docstring says of each argument or attribute, on one line."""
  text = inspect.getdoc(source) or ''
  part = re.search(r'^(?:Args|Attributes):\n(.*?)(?=^\S|\Z)', text, re.M | re.S)
  found = re.findall(
    r'^  (\w+): (.*?)(?=^  \w+: |\Z)', part[1] if part else '', re.M | re.S
  )
  return {name: ' '.join(meaning.split()) for name, meaning in found}
