"""Which values an argument takes, declared once, beside its type.

An argument or a field of a dataclass that is annotated

  momentum: Annotated[float, ranges.Range(0, 0.9999)] = 0.9

is checked by `check`, in the function itself and so for whoever calls it. The
fields of a config are such arguments: `experiment.field_table` reads the same
annotations for the command line, and for what is said of a wrong value.
"""

from collections.abc import Iterator, Mapping
import dataclasses
import types
import typing
from typing import Annotated, Any, Protocol

from inception_jax.runtime import errors, words

# The largest step that a run may have; twice as many fit into an int32.
MAX_STEPS = 1_000_000_000
MAX_EPOCHS = 1_000_000


class Values(Protocol):
  """Some of the values of a type; `str` says which."""

  def __contains__(self, value: Any) -> bool: ...


@dataclasses.dataclass(frozen=True)
class Range:
  """The finite numbers from `low` to `high`; never NaN.

  Attributes:
    low: the smallest.
    high: the largest.
    is_open: whether `low` itself is left out.
  """

  low: float
  high: float
  is_open: bool = False

  def __contains__(self, value: Any) -> bool:
    # False of NaN, unlike the opposite comparisons.
    return self.low <= value <= self.high and not (
      self.is_open and value == self.low
    )

  def __str__(self) -> str:
    if self.is_open:
      return f'above {self.low:,} and at most {self.high:,}'
    return f'from {self.low:,} to {self.high:,}'


@dataclasses.dataclass(frozen=True)
class OneOf:
  """One of a few texts.

  Attributes:
    values: these.
    shown: those that a message names; None is all.
  """

  values: tuple[str, ...]
  shown: tuple[str, ...] | None = None

  def __contains__(self, value: Any) -> bool:
    return value in self.values

  def __str__(self) -> str:
    shown = words.join(self.shown or self.values, 'or')
    return f'one of {shown}'


@dataclasses.dataclass(frozen=True)
class Text:
  """Texts that are not empty, and that the system takes as names."""

  def __contains__(self, value: Any) -> bool:
    return bool(value.strip()) and '\0' not in value

  def __str__(self) -> str:
    return 'a text that is not empty'


# Fields of several sections.
Steps = Annotated[int, Range(1, MAX_STEPS)]
Epochs = Annotated[float, Range(0, MAX_EPOCHS, is_open=True)]
BatchSize = Annotated[int, Range(1, 65_536)]
# Equal to 1 in float32 would be an average, or a velocity, that never moves.
Decay = Annotated[float, Range(0, 0.9999)]
# JAX takes the lower 32 bits, so that others would draw what these do.
Seed = Annotated[int, Range(-(2**31), 2**32 - 1)]


def check(declared: Any, values: Mapping[str, Any]) -> None:
  """Checks arguments against the declarations of a function or dataclass.

  Args:
    declared: function, or class of dataclass, with annotated arguments.
    values: by name, of the declared type; `locals()` at the beginning of the
      function, or `vars(self)`. Others than the declared are left alone.

  Raises:
    ValueError: if a value is not among those declared, with name and remedy.
  """
  for name, annotation in hints(declared).items():
    if name in values and not contains(annotation, values[name]):
      raise ValueError(
        f'{name} must be {describe(annotation)}, not {show(values[name])}'
        f'{suggestion(annotation, values[name])}'
      )


def hints(declared: Any) -> dict[str, Any]:
  """Annotations of a function or dataclass, by name of the argument."""
  found = typing.get_type_hints(declared, include_extras=True)
  return {name: x for name, x in found.items() if name != 'return'}


def contains(annotation: Any, value: Any) -> bool:
  """Whether a value of the declared type is among those declared."""
  return all(value in values for value, values in _pairs(annotation, value))


def suggestion(annotation: Any, value: Any) -> str:
  """`; did you mean 'x'?` where a text must be one of a few, or nothing."""
  for element, values in _pairs(annotation, value):
    if isinstance(values, OneOf) and element not in values:
      return errors.suggestion(element, values.shown or values.values)
  return ''


def _pairs(annotation: Any, value: Any) -> Iterator[tuple[Any, Values]]:
  """A value, or its elements, with what each must be among."""
  if typing.get_origin(annotation) is Annotated:
    yield from ((value, x) for x in annotation.__metadata__)
    yield from _pairs(annotation.__origin__, value)
  elif is_union(annotation):
    for one in typing.get_args(annotation):
      if one is not types.NoneType and value is not None:
        yield from _pairs(one, value)
  elif typing.get_origin(annotation) is tuple:
    for element, one in zip(
      value, element_types(annotation, value), strict=True
    ):
      yield from _pairs(one, element)


def element_types(annotation: Any, value: Any) -> tuple[Any, ...]:
  """Annotations of the elements of a tuple."""
  found = typing.get_args(annotation)
  return found[:1] * len(value) if found[-1] is Ellipsis else found


def is_union(annotation: Any) -> bool:
  """Whether it is `X | Y`."""
  return typing.get_origin(annotation) in (types.UnionType, typing.Union)


def allows_none(annotation: Any) -> bool:
  """Whether None is among the declared types."""
  return is_union(annotation) and types.NoneType in typing.get_args(annotation)


def without_none(annotation: Any) -> Any:
  """The declaration of values other than None."""
  if not allows_none(annotation):
    return annotation
  (found,) = set(typing.get_args(annotation)) - {types.NoneType}
  return found


def strip(annotation: Any) -> Any:
  """The declaration without what it is among, and without None."""
  annotation = without_none(annotation)
  while typing.get_origin(annotation) is Annotated:
    annotation = annotation.__origin__
  return annotation


def plain_type(annotation: Any) -> Any:
  """The type itself, such as float or tuple."""
  annotation = strip(annotation)
  return typing.get_origin(annotation) or annotation


_NAMES: Mapping[Any, str] = types.MappingProxyType(
  {
    int: 'a whole number',
    float: 'a number',
    bool: 'true or false',
    str: 'a text',
    dict: 'a dict',
    tuple: 'a tuple',
  }
)


def describe(annotation: Any) -> str:
  """In words what a value must be."""
  if allows_none(annotation):
    return f'{describe(without_none(annotation))}, or None'
  if typing.get_origin(annotation) is Annotated:
    values = annotation.__metadata__
    if all(isinstance(x, (OneOf, Text)) for x in values):
      return ' and '.join(map(str, values))
    return ' '.join([describe(annotation.__origin__), *map(str, values)])
  if typing.get_origin(annotation) is tuple:
    return _describe_tuple(typing.get_args(annotation))
  kind = plain_type(annotation)
  return _NAMES.get(kind, getattr(kind, '__name__', str(kind)))


def _describe_tuple(elements: tuple[Any, ...]) -> str:
  if elements[-1] is Ellipsis:
    return f'a tuple, each {describe(elements[0])}'
  return f'a tuple of {len(elements)}, each {describe(elements[0])}'


def show(value: Any) -> str:
  """A value for a message, however long it is."""
  text = repr(value) if not isinstance(value, int) else _show_int(value)
  return text if len(text) <= 80 else f'{text[:77]}...'


def _show_int(value: int) -> str:
  # Python does not write out those of thousands of digits.
  return str(value) if abs(value) < 10**80 else 'a number of over 80 digits'
