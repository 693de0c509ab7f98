"""A folder of pictures, one folder a class, as splits of labelled files.

Either `train/CLASS/*`, with `validation/CLASS/*` and `test/CLASS/*` if there
are any, or `CLASS/*` directly. Without a validation part, a fixed tenth of
each class becomes one.
"""

from collections.abc import Iterable
import dataclasses
import errno
import hashlib
import os
import stat

from inception_jax.data import system_files
from inception_jax.runtime import errors, paths, words

# Of the files of each class, round(n * VALIDATION_SHARE) become validation, at
# least one of two or more: those with the smallest SHA-256 of
# 'SEED/class/name', the name being that inside the class folder.
VALIDATION_SHARE = 0.1
SEED = 0

_IN_NO_CLASS = 'it lies in no class folder'
# Folder of a part, in small letters, and its split.
PARTS = {
  'train': 'train',
  'validation': 'validation',
  'val': 'validation',
  'valid': 'validation',
  'test': 'test',
}


@dataclasses.dataclass(frozen=True)
class File:
  """A file of a class.

  Attributes:
    path: where it is.
    name: relative to the folder of the whole, with slashes.
    name_in_class: relative to its class folder, with slashes.
    class_name: name of the class folder, in its normal form.
    num_bytes: its size.
  """

  path: str
  name: str
  name_in_class: str
  class_name: str
  num_bytes: int


@dataclasses.dataclass(frozen=True)
class ImageFolder:
  """Files of a folder by split; nothing has been read yet.

  Attributes:
    root: path of the folder.
    class_names: sorted names of the classes of the training part.
    splits: files of 'train' and, where there are any, 'validation' and 'test'.
    strays: what is no file of a class, by name, with the reason.
  """

  root: str
  class_names: tuple[str, ...]
  splits: dict[str, tuple[File, ...]]
  strays: dict[str, str]

  @property
  def listing(self) -> str:
    """SHA-256 of all names and sizes: changes whenever the folder does."""
    files = [file for split in self.splits.values() for file in split]
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
      name = paths.normal_form(file.name)
      digest.update(os.fsencode(f'{name}\0{file.num_bytes}\n'))
    return digest.hexdigest()


def find(folder: str | os.PathLike[str]) -> ImageFolder:
  """Finds the classes and files of a folder and divides them into splits.

  Args:
    folder: local folder; see the module for its layout.

  Returns:
    The files; every class of every part has at least one.

  Raises:
    InputError: if the folder cannot be used, with what to do about it.
  """
  root = os.path.abspath(paths.existing(os.path.expanduser(folder)))
  if not os.path.exists(root):
    raise errors.InputError(
      f'--input={folder} does not exist; give a local folder of pictures'
    )
  if not os.path.isdir(root):
    raise errors.InputError(f'--input={folder} is no folder; give its folder')
  try:
    if {'config.json', 'checkpoints'} <= set(os.listdir(root)):
      raise errors.InputError(
        f'--input={folder} is the folder of a run; give the folder of pictures'
      )
    parts, strays = _find_parts(root)
    splits = {}
    for split, part in parts.items():
      classes = _find_classes(root, part, strays)
      splits[split] = {
        name: _find_files(root, os.path.join(part, folder), name, strays)
        for name, folder in classes.items()
      }
  except OSError as error:
    raise errors.InputError(
      f'{error.filename or root} cannot be read ({error.strerror or error});'
      ' mend its permissions or take it away'
    ) from error
  _check_classes(root, splits)
  files = {
    split: tuple(file for of_class in classes.values() for file in of_class)
    for split, classes in splits.items()
  }
  if 'validation' not in files:
    files['train'], validation = split_validation(files['train'])
    if validation:
      files['validation'] = validation
  return ImageFolder(
    root=root,
    class_names=tuple(splits['train']),
    splits={s: files[s] for s in ('train', 'validation', 'test') if s in files},
    strays=strays,
  )


def split_validation(
  files: Iterable[File],
) -> tuple[tuple[File, ...], tuple[File, ...]]:
  """Takes the validation files out of those of training.

  A file stays on its side whatever else is in the folder's other classes.

  Args:
    files: of all classes.

  Returns:
    Files for training and for validation, in the given order.
  """

  def draw(file):
    text = f'{SEED}/{file.class_name}/{file.name_in_class}'
    text = paths.normal_form(text)
    return hashlib.sha256(os.fsencode(text)).digest()

  files = tuple(files)
  of_class: dict[str, list[File]] = {}
  for file in files:
    of_class.setdefault(file.class_name, []).append(file)
  drawn = set()
  for members in of_class.values():
    lots = sorted({draw(file) for file in members})
    # Names of one normal form, which are one picture's, have one lot.
    if len(lots) > 1:
      count = max(1, round(len(members) * VALIDATION_SHARE))
      last = sorted(map(draw, members))[:count][-1]
      drawn.update(file for file in members if draw(file) <= last)
  return (
    tuple(file for file in files if file not in drawn),
    tuple(file for file in files if file in drawn),
  )


def _find_parts(root: str) -> tuple[dict[str, str], dict[str, str]]:
  """Folder of each split, '' being the root itself, and the stray files."""
  folders, files = _list(root)
  parts: dict[str, str] = {}
  for folder in folders:
    split = PARTS.get(folder.lower())
    if split in parts:
      raise errors.InputError(
        f'{root} has two {split} parts, {parts[split]!r} and {folder!r}; move'
        ' one of them away'
      )
    if split:
      parts[split] = folder
  if not parts:
    return {'train': ''}, {}  # The root's strays are found with its classes.
  if 'train' not in parts:
    raise errors.InputError(
      f'{root} has a part {next(iter(parts.values()))!r} but no folder'
      " 'train'; move the class folders of training into one"
    )
  for folder in folders:
    if folder not in parts.values():
      raise errors.InputError(
        f'{os.path.join(root, folder)} lies beside {parts["train"]!r} but is no'
        f' part; move it away, or rename it to {words.join(PARTS, "or")}'
      )
  return parts, dict.fromkeys(files, _IN_NO_CLASS)


def _find_classes(
  root: str, part: str, strays: dict[str, str]
) -> dict[str, str]:
  """Folder of each class of a part, within the part."""
  folder = os.path.join(root, part)
  folders, files = _list(folder)
  strays.update({os.path.join(part, file): _IN_NO_CLASS for file in files})
  if not folders:
    raise errors.InputError(
      f'{folder} has no class folders; put the pictures of each class into a'
      ' folder with its name'
    )
  classes: dict[str, str] = {}
  for name in folders:
    twin = classes.setdefault(paths.normal_form(name), name)
    if twin != name:
      raise errors.InputError(
        f'class folders {twin!a} and {name!a} in {folder} look the same: they'
        ' differ in Unicode normalisation only; merge or rename them'
      )
  return dict(sorted(classes.items()))


def _list(folder: str) -> tuple[list[str], list[str]]:
  """Sorted names of the folders and of the files in a folder."""
  names = sorted(
    name for name in os.listdir(folder) if not system_files.is_ignored(name)
  )
  is_folder = {n: os.path.isdir(os.path.join(folder, n)) for n in names}
  return (
    [name for name in names if is_folder[name]],
    [name for name in names if not is_folder[name]],
  )


def _find_files(
  root: str, place: str, class_name: str, strays: dict[str, str]
) -> list[File]:
  """Files of a class, sorted, those in folders of its folder included.

  Args:
    root: folder of the whole.
    place: folder of the class, within the root.
    class_name: name of the class.
    strays: takes what is no file, by name, with the reason.
  """

  def fail(error):
    raise error

  folder = os.path.join(root, place)
  files = []
  for parent, folders, names in os.walk(folder, onerror=fail, followlinks=True):
    if os.path.islink(parent) and _holds(parent, os.path.dirname(parent)):
      raise errors.InputError(
        f'{parent} is a link to a folder that it lies in; delete it'
      )
    folders[:] = sorted(x for x in folders if not system_files.is_ignored(x))
    for name in sorted(names):
      if system_files.is_ignored(name):
        continue
      path = os.path.join(parent, name)
      size = _size_of_file(path)
      if isinstance(size, str):
        strays[os.path.relpath(path, root).replace(os.sep, '/')] = size
        continue
      if not os.access(path, os.R_OK):
        raise PermissionError(13, 'Permission denied', path)
      files.append(
        File(
          path=path,
          name=os.path.relpath(path, root).replace(os.sep, '/'),
          name_in_class=os.path.relpath(path, folder).replace(os.sep, '/'),
          class_name=class_name,
          num_bytes=size,
        )
      )
  if not files:
    inside = [x for x in strays if x.startswith(f'{place}/')]
    other = f' but for {inside[0]}: {strays[inside[0]]}' if inside else ''
    raise errors.InputError(
      f'class folder {folder} is empty{other}; put pictures into it or delete'
      ' it'
    )
  return files


def _size_of_file(path: str) -> int | str:
  """Its bytes, or what it is instead of a file; raises OSError."""
  try:
    found = os.stat(path)
  except OSError as error:
    if os.path.islink(path) and error.errno in (errno.ENOENT, errno.ELOOP):
      return 'it is a link to nothing'
    raise
  if stat.S_ISREG(found.st_mode):
    return found.st_size
  return 'it is no file'


def _holds(folder: str, inner: str) -> bool:
  """Whether `inner` lies in `folder` once links are followed."""
  folder, inner = os.path.realpath(folder), os.path.realpath(inner)
  return os.path.commonpath([folder, inner]) == folder


def _check_classes(root: str, splits: dict[str, dict[str, list[File]]]) -> None:
  classes = list(splits['train'])
  seen: dict[str, str] = {}
  for name in classes:
    # TFDS keeps the names as stripped lines of a text file.
    if name != name.strip() or not name.isprintable():
      raise errors.InputError(
        f'class folder {name!r} in {root} has blanks at an end or characters'
        ' that cannot be printed; rename it'
      )
    twin = seen.setdefault(name.casefold(), name)
    if twin != name:
      raise errors.InputError(
        f'class folders {twin!r} and {name!r} in {root} differ in case only;'
        ' merge or rename them'
      )
  for split, of_split in splits.items():
    for name in of_split:
      if name not in classes:
        raise errors.InputError(
          f'class {name!r} of {split} in {root} is no class of train; rename or'
          f' delete its folder{errors.suggestion(name, classes)}'
        )
  (first, *others) = classes
  if not others and all('/' in f.name_in_class for f in splits['train'][first]):
    raise errors.InputError(
      f'{root} has one class folder, {first!r}, which holds folders itself; if'
      ' those are the classes, give their folder as --input'
    )
