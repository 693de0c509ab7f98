"""The files of a folder of pictures as examples of a dataset."""

from collections.abc import Iterable, Iterator
import hashlib
import os
from typing import Any

from inception_jax.data import ahead, decoding, image_file
from inception_jax.data.preparation import copies as copies_lib
from inception_jax.data.preparation import image_folder, looks
from inception_jax.runtime import errors

# Of the largest picture, uncompressed: four channels of 16 bits.
_MAX_BYTES = 8 * decoding.MAX_PIXELS
_DIGEST_SIZE = 16


def read_examples(
  split: str,
  files: Iterable[image_folder.File],
  left_out: list[dict[str, str]],
  copies: copies_lib.Copies,
) -> Iterator[tuple[bytes, dict[str, Any]]]:
  """Reads files as examples for TFDS, by threads and in order.

  Args:
    split: their split; 'train' must keep a file of each of its classes.
    files: of the split.
    left_out: takes `{'file', 'reason'}` of each file that is no picture.
    copies: takes each picture.

  Yields:
    Key and example: 'image' (encoded), 'label' (name), 'file_name'.

  Raises:
    InputError: if a file must not be read, or too little is left.
  """
  complaints: dict[str, str] = {}  # The first of each class.
  num_read: dict[str, int] = {}
  with image_file.patient_pillow():
    for file, encoded, marks, reason in ahead.map_ahead(_read, files):
      num_read.setdefault(file.class_name, 0)
      if reason is not None:
        left_out.append({'file': file.name, 'reason': reason})
        complaints.setdefault(file.class_name, f'{file.name}: {reason}')
        continue
      num_read[file.class_name] += 1
      copies.add(*marks, split, file)
      key = os.fsencode(file.name)
      name = key.decode(errors='backslashreplace')
      example = {'image': encoded, 'label': file.class_name, 'file_name': name}
      yield key, example
  lost = [name for name, number in num_read.items() if not number]
  if lost and (split == 'train' or len(lost) == len(num_read)):
    raise errors.InputError(
      f'no picture of class {lost[0]!r} is left for {split}'
      f' ({complaints[lost[0]]}); replace or delete what cannot be read'
    )


def _read(
  file: image_folder.File,
) -> tuple[
  image_folder.File, bytes | None, tuple[bytes, bytes | None] | None, str | None
]:
  """The file with its record, digest and look, or why it is left out."""
  if file.num_bytes > _MAX_BYTES:
    reason = f'{file.num_bytes:,} bytes are more than a picture has'
    return file, None, None, reason
  try:
    with open(file.path, 'rb') as opened:
      data = opened.read()
  except OSError as error:
    raise errors.InputError(
      f'{file.path} cannot be read ({error.strerror or error}); mend it or take'
      ' it away'
    ) from error
  try:
    encoded = image_file.encode(data)
  except image_file.UnreadableError as error:
    return file, None, None, str(error)
  digest = hashlib.blake2b(data, digest_size=_DIGEST_SIZE).digest()
  return file, encoded, (digest, looks.look(encoded)), None
