"""Archives that users download by hand, checked before hours of work."""

import tarfile

from etils import epath
import tensorflow_datasets as tfds

from inception_jax.runtime import errors

# Size in bytes and number of images of the archives that image-net.org has.
IMAGENET_TARS = {
  'ILSVRC2012_img_train.tar': (147_897_477_120, 1_281_167),
  'ILSVRC2012_img_val.tar': (6_744_924_160, 50_000),
}
_IMAGENET_TEST_TAR = 'ILSVRC2012_img_test.tar'  # Taken if it is there.
_IMAGENET_SPLITS = {
  'train': 'ILSVRC2012_img_train.tar',
  'validation': 'ILSVRC2012_img_val.tar',
}
# An archive ends with two empty blocks.
_END = bytes(2 * tarfile.BLOCKSIZE)
# Archives are padded to a multiple of their block, which is seldom as large.
_MAX_PADDING = 2**20


def check_wanted(builder: tfds.core.DatasetBuilder, source: str | None) -> None:
  """Checks that a dataset for which `--input` is given can use it.

  Raises:
    InputError: if TFDS needs no help with this dataset.
  """
  if source is not None and not _instructions(builder):
    raise errors.InputError(
      f'--input={source} is of no use to {builder.name!r}, a dataset that TFDS'
      ' gets by itself; leave it out, or give your folder another data.name'
    )


def _instructions(builder: tfds.core.DatasetBuilder) -> str:
  return ' '.join((builder.MANUAL_DOWNLOAD_INSTRUCTIONS or '').split())


def check(builder: tfds.core.DatasetBuilder, source: str | None) -> None:
  """Checks what `--input` names for a dataset of TFDS.

  Args:
    builder: of the dataset.
    source: folder with the archives, or None.

  Raises:
    InputError: if a folder is needed and missing, ImageNet's archives are not
      in it, or one of these (of other datasets: any archive in it) is not
      whole.
  """
  name = builder.name
  instructions = _instructions(builder)
  if not instructions:
    return
  if source is None:
    raise errors.InputError(
      f'{name!r} must be downloaded by hand: {instructions} Give the folder as'
      ' --input'
    )
  folder = epath.Path(source).expanduser()
  if not folder.exists():
    raise errors.InputError(f'--input={source} does not exist')
  if not folder.is_dir():
    raise errors.InputError(f'--input={source} is no folder; give its folder')
  if name == 'imagenet2012':
    missing = [file for file in IMAGENET_TARS if not (folder / file).exists()]
    if missing:
      raise errors.InputError(
        f'--input={source} has no {" and no ".join(missing)}; imagenet2012 is'
        f' prepared from {" and ".join(IMAGENET_TARS)}, which'
        ' https://image-net.org/download-images gives to registered users (a'
        ' folder of pictures needs another data.name)'
      )
    wanted = [folder / file for file in (*IMAGENET_TARS, _IMAGENET_TEST_TAR)]
  else:
    wanted = [path for path in folder.iterdir() if path.suffix == '.tar']
  for path in sorted(wanted):
    if path.exists():
      check_tar(path)


def check_tar(path: epath.Path) -> None:
  """Checks that an archive ends where an archive ends.

  Reads headers only, so that 140 GB take seconds. Python's `tarfile` itself
  takes an archive that was cut between two files for a whole one.

  Raises:
    InputError: if the archive is cut short or none.
  """
  try:
    with path.open('rb') as file:
      with tarfile.open(fileobj=file, mode='r:') as archive:
        for _ in archive:  # Raises if a file ends after the archive.
          archive.members.clear()  # Else it keeps all headers.
        file.seek(archive.offset)
        problem = None if file.read(len(_END)) == _END else 'its end is missing'
        # Some programs make a file at its full size before they fill it.
        if path.stat().length - archive.offset > _MAX_PADDING:
          problem = f'nothing but zeros follows byte {archive.offset:,}'
  except tarfile.TarError as error:
    problem = errors.first_line(error)
  except OSError as error:
    raise errors.InputError(
      f'{path} cannot be read ({error.strerror or error}); mend its permissions'
    ) from error
  if problem:
    raise errors.InputError(
      f'{path} ({path.stat().length:,} bytes) is no whole archive: {problem};'
      ' copy or download it again'
    )


def expected_splits(
  builder: tfds.core.DatasetBuilder, source: str | None
) -> dict[str, tuple[int, int]]:
  """Number of images and of bytes to expect of a split, for the progress bar.

  Args:
    builder: of the dataset.
    source: folder with the archives, or None.

  Returns:
    By split; empty where nothing is known.
  """
  if builder.name != 'imagenet2012':
    return {}
  expected = {}
  for split, file in _IMAGENET_SPLITS.items():
    length = (epath.Path(source).expanduser() / file).stat().length
    num_bytes, num_images = IMAGENET_TARS[file]
    expected[split] = (max(1, round(num_images * length / num_bytes)), length)
  return expected
