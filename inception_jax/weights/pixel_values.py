"""What the pixels of an imported network become: the flag `--preprocessing`.

No file of weights says it. The flag has a name of `preprocess.NAMED`, a mean
file of Caffe's, or numbers, in parts with a plus between them:

```
imagenet_mean_std
mean=0.49,0.48,0.45+std=0.25,0.24,0.26
mean=104,117,123+scale=0.017+bgr
imagenet_mean.binaryproto
```

The network takes `(pixel - mean) / std * scale`; channels are in the order in
which it takes them. Numbers up to 1 are of pixels from 0 to 1, and larger ones
of pixels from 0 to 255.
"""

from collections.abc import Sequence
import dataclasses
import io
import math

from absl import logging
from etils import epath
import numpy as np

from inception_jax import preprocess
from inception_jax.runtime import durable, errors, paths
from inception_jax.weights import caffe_model, download, imported

FLAG = '--preprocessing'
_MEAN_FILES = ('.binaryproto', '.npy')
_ORDERS = {'rgb': False, 'bgr': True}
_REMEDY = (
  f'give {", ".join(preprocess.NAMED)}, a mean file'
  f' ({" or ".join(_MEAN_FILES)}), or mean=A,B,C+std=A,B,C with one number for'
  ' each channel'
)
# Which networks take other pixels than the published one, and the values of
# --preprocessing for them.
_OTHERS = {
  'google': ('trained on other pixels', 'mean_rgb or mean=R,G,B'),
  'caffe': (
    'trained with a mean file or another mean_value',
    'FILE or mean=B,G,R',
  ),
  'torchvision': (
    'trained without transform_input, as torchvision does from scratch',
    'imagenet_mean_std or mean=R,G,B+std=R,G,B',
  ),
  'tf_slim': ('trained on other pixels', 'mean_rgb or mean=R,G,B+std=R,G,B'),
}


@dataclasses.dataclass
class _Parts:
  """What the parts of the flag say; None is nothing."""

  bgr: bool
  mean: np.ndarray | None = None
  std: np.ndarray | None = None
  scale: float = 1.0
  image: np.ndarray | None = None


def settle(
  network: imported.ImportedNetwork, source: str, text: str | None
) -> imported.ImportedNetwork:
  """A network with the preprocessing that is given, or assumed; says which.

  Args:
    network: as it was read, with the preprocessing of the published one.
    source: name of the reader.
    text: value of the flag; None if it is not given.

  Returns:
    The network, whose card says it too.

  Raises:
    InputError: if `text` says none, or the file says it itself.
  """
  about = network.preprocessing.describe()
  if 'digest' in network.card:
    if text is not None:
      raise errors.InputError(
        f'{FLAG} is of no use with files that --mode=export wrote, which say it'
        ' themselves; leave it out'
      )
    logging.info('preprocessing, as the file says: %s', about)
    return network
  if text is not None:
    values = parse(text, network.preprocessing, network.eval_crop.size)
    network = dataclasses.replace(network, preprocessing=values)
    logging.info('preprocessing, as given: %s', values.describe())
  elif network.card.get('is_published') or network.card.get(
    'sha256_is_published'
  ):
    logging.info('preprocessing, as published: %s', about)
  else:
    logging.warning(
      'preprocessing is assumed to be that of the published network: %s; import'
      ' one that was %s with %s=%s',
      about,
      _OTHERS[source][0],
      FLAG,
      _OTHERS[source][1],
    )
  values = {
    'is_assumed': text is None,
    'values': network.preprocessing.describe(),
  }
  card = {**network.card, 'preprocessing': values}
  return dataclasses.replace(network, card=card)


def parse(
  text: str, default: preprocess.Preprocessing, side: int
) -> preprocess.Preprocessing:
  """The preprocessing that the flag says.

  Args:
    text: value of the flag.
    default: of the source; its order of channels holds if `text` has none.
    side: of the network's images, in pixels. Of a larger mean image the centre
      is taken, as Caffe does for its evaluation.

  Returns:
    The preprocessing.

  Raises:
    InputError: if it says none.
  """
  # The name of a file may have a plus.
  words = [text] if _is_file(text) else text.split('+')
  if words[0] in preprocess.NAMED:
    named = preprocess.NAMED[words[0]]
    if len(words) == 1:
      return named
    if len(words) == 2 and words[1] in _ORDERS:
      return dataclasses.replace(named, bgr=_ORDERS[words[1]])
    raise _refused(text, f'{words[0]!r} is whole')
  parts = _Parts(default.bgr)
  for word in words:
    key, _, value = word.partition('=')
    if word in _ORDERS:
      parts.bgr = _ORDERS[word]
    elif key in ('mean', 'std'):
      setattr(parts, key, np.array(_numbers(text, value, (1, 3))))
    elif key == 'scale':
      (parts.scale,) = _numbers(text, value, (1,))
    elif _is_mean_file(word):
      parts = _with_file(parts, word, side)
    else:
      known = (*preprocess.NAMED, 'mean', 'std', 'scale', *_ORDERS)
      hint = errors.suggestion(key, known)
      raise _refused(text, f'{word!r} is unknown{hint}')
  return _create(parts, text)


def _is_mean_file(word: str) -> bool:
  return word.lower().endswith(_MEAN_FILES)


def _is_file(text: str) -> bool:
  return _is_mean_file(text) and epath.Path(paths.expand(text, FLAG)).exists()


def _refused(text: str, reason: str) -> errors.InputError:
  return errors.InputError(f'{FLAG}={text}: {reason}; {_REMEDY}')


def _numbers(text: str, value: str, counts: Sequence[int]) -> list[float]:
  try:
    found = [float(x) for x in value.split(',')]
  except ValueError:
    found = []
  if len(found) not in counts or not all(map(math.isfinite, found)):
    count = ' or '.join(map(str, counts))
    raise _refused(text, f'{value!r} is not {count} numbers')
  return found


def _create(parts: _Parts, text: str) -> preprocess.Preprocessing:
  """The preprocessing of parts, in RGB as ours is."""
  std = np.ones(3) if parts.std is None else parts.std * np.ones(3)
  if (std <= 0).any() or parts.scale == 0:
    raise _refused(text, 'std must be positive, and scale not 0')
  if parts.image is not None and parts.mean is not None:
    raise _refused(text, 'it has two means')
  image, mean = parts.image, np.zeros(3)
  if image is not None:
    mean = image.mean((0, 1))
  elif parts.mean is not None:
    mean = parts.mean * np.ones(3)
  unit = 1.0
  if image is not None or parts.mean is not None or parts.std is not None:
    unit = _unit(mean, std, text)
  factor, shift = unit / std * parts.scale, mean / std * parts.scale
  if image is not None:
    image = image * parts.scale / std
  if parts.bgr:
    factor, shift = factor[::-1], shift[::-1]
    image = None if image is None else image[..., ::-1]
  return preprocess.Preprocessing(
    scale=tuple(map(float, factor)),
    mean=tuple(map(float, shift)),
    bgr=parts.bgr,
    mean_image=None if image is None else image.astype('<f4').tobytes(),
  )


def _unit(mean: np.ndarray, std: np.ndarray, text: str) -> float:
  """Factor from pixels of 0 to 255 to those that mean and std are of."""
  values = np.abs(np.concatenate([mean, std]))
  # Zero and one do nothing to pixels of either kind.
  telling = values[(values != 0) & (values != 1)]
  if telling.size and (telling <= 1).all():
    return 1 / 255
  if telling.size and (telling > 1).all():
    return 1.0
  raise _refused(
    text,
    'mean and std must both be of pixels from 0 to 1, or both of pixels from 0'
    ' to 255',
  )


def _with_file(parts: _Parts, name: str, side: int) -> _Parts:
  """Parts with the mean of a file, of each channel or of each place."""
  path = epath.Path(paths.expand(name, FLAG))
  try:
    mean = _read_mean(path)
  except errors.InputError:
    raise
  except Exception as error:  # Of remote files, of several kinds.
    if durable.is_local(path):
      raise
    raise errors.InputError(
      f'{FLAG}: {path} cannot be read ({errors.first_line(error)}); copy it'
      ' here and give the copy'
    ) from error
  if mean.shape[:2] == (1, 1):
    return dataclasses.replace(parts, mean=mean[0, 0])
  height, width, _ = mean.shape
  if min(height, width) < side:
    raise errors.InputError(
      f'{FLAG}: the mean in {path} has {height}x{width} places, fewer than the'
      f' {side}x{side} pixels of the network; give mean=A,B,C with one number'
      ' for each channel'
    )
  top, left = (height - side) // 2, (width - side) // 2
  image = mean[top : top + side, left : left + side]
  return dataclasses.replace(parts, image=image)


def _read_mean(path: epath.Path) -> np.ndarray:
  """The mean in a file, float64 `[height, width, 3]`."""
  data = download.read_bounded(path, FLAG)
  try:
    if path.suffix.lower() == '.npy':
      array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    else:
      array = caffe_model.blob(data)
    array = array.astype(np.float64)
  except (ValueError, TypeError, EOFError, MemoryError, SyntaxError) as error:
    raise errors.InputError(
      f'{FLAG}: {path} is no mean file, or is damaged'
      f' ({errors.first_line(error)}); copy it again'
    ) from error
  array = array.reshape([x for x in array.shape if x != 1] or [1])
  if array.shape == (3,):
    array = array[None, None]
  elif array.ndim == 3 and array.shape[0] == 3:
    array = array.transpose(1, 2, 0)
  if array.ndim != 3 or array.shape[2] != 3 or not np.isfinite(array).all():
    raise errors.InputError(
      f'{FLAG}: {path} holds the shape {list(array.shape)}, which is no finite'
      ' mean of three channels; give another'
    )
  return array
