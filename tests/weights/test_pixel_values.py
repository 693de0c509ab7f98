"""What `--preprocessing` can say."""

import io

import jax.numpy as jnp
import numpy as np
import published_files
import pytest

from inception_jax import preprocess
from inception_jax.runtime import errors
from inception_jax.weights import pixel_values

RGB, BGR = preprocess.UNIT, preprocess.CAFFE
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3), np.uint8)


def inputs_of(text, default=RGB, side=6):
  found = pixel_values.parse(text, default, side)
  return np.asarray(found(jnp.asarray(PIXELS)))


def test_names_are_those_of_the_table():
  for name, value in preprocess.NAMED.items():
    assert pixel_values.parse(name, RGB, 6) is value
  turned = pixel_values.parse('imagenet_mean_std+bgr', RGB, 6)
  assert turned.bgr and turned.mean == preprocess.IMAGENET_MEAN_STD.mean


CASES = {
  'mean=0.5+std=0.25': lambda x: (x / 255 - 0.5) / 0.25,
  'mean=0.4,0.5,0.6+std=0.2,0.3,0.4': lambda x: (
    (x / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.4]
  ),
  'mean=0,0,0+std=0.5': lambda x: x / 255 / 0.5,
  'std=50,60,70+mean=123,117,104': lambda x: (
    (x - [123, 117, 104]) / [50, 60, 70]
  ),
  'mean=123,117,104+std=1,1,1': lambda x: x - [123.0, 117, 104],
  'scale=0.0078125+mean=127.5': lambda x: (x - 127.5) / 128,
  'scale=0.00390625': lambda x: x / 256,
  'mean=104,117,123+bgr': lambda x: x[..., ::-1] - [104.0, 117, 123],
  'bgr': lambda x: x[..., ::-1],
}


@pytest.mark.parametrize('text', CASES)
def test_numbers(text):
  expected = CASES[text](PIXELS.astype(np.float64))
  np.testing.assert_allclose(inputs_of(text), expected, rtol=1e-5, atol=1e-5)


def test_the_order_is_the_sources_unless_it_is_given():
  pixels = PIXELS.astype(np.float64)
  np.testing.assert_allclose(
    inputs_of('mean=1.5,2,3', BGR), pixels[..., ::-1] - [1.5, 2, 3]
  )
  np.testing.assert_allclose(
    inputs_of('mean=1.5,2,3+rgb', BGR), pixels - [1.5, 2, 3]
  )


def mean_file(path, array):
  if path.suffix == '.npy':
    np.save(path, array)
  else:
    blob = published_files.caffe_net()().layer.add().blobs.add()
    axes = (1,) * (4 - array.ndim) + array.shape
    blob.num, blob.channels, blob.height, blob.width = axes
    blob.data.extend(array.astype(np.float32).ravel())
    path.write_bytes(blob.SerializeToString())
  return str(path)


@pytest.mark.parametrize('ending', ['.npy', '.binaryproto'])
def test_means_of_channels_in_a_file(tmp_path, ending):
  expected = PIXELS[..., ::-1] - np.array([104.0, 117, 123])
  for number, shape in enumerate([(3,), (3, 1, 1), (1, 3, 1, 1)]):
    if ending == '.binaryproto' and len(shape) == 1:
      continue
    array = np.array([104.0, 117, 123]).reshape(shape)
    path = mean_file(tmp_path / f'{number}{ending}', array)
    np.testing.assert_allclose(inputs_of(path, BGR), expected)


@pytest.mark.parametrize('ending', ['.npy', '.binaryproto'])
def test_means_of_places_in_a_file(tmp_path, ending):
  """The centre, as Caffe takes it, and in the order of the network."""
  mean = np.random.default_rng(1).uniform(0, 255, (3, 10, 9))
  path = mean_file(tmp_path / f'a+b{ending}', mean)
  expected = PIXELS[..., ::-1] - mean.transpose(1, 2, 0)[2:8, 1:7]
  np.testing.assert_allclose(inputs_of(path, BGR), expected, atol=1e-4)
  path = mean_file(tmp_path / f'mean{ending}', mean)
  scaled = inputs_of(f'scale=0.5+{path}', BGR)
  np.testing.assert_allclose(scaled, expected / 2, atol=1e-4)
  with pytest.raises(errors.InputError, match='10x9 places, fewer than the 32'):
    inputs_of(path, BGR, 32)


@pytest.mark.parametrize(
  ('text', 'words'),
  [
    ('imagenet_mean', "unknown; did you mean 'imagenet_mean_std'"),
    ('mean=1,2', "'1,2' is not 1 or 3 numbers"),
    ('mean=a', "'a' is not"),
    ('mean=nan', "'nan' is not"),
    ('std=', "'' is not"),
    ('mean=5+std=0', 'std must be positive'),
    ('scale=0', 'scale not 0'),
    ('mean=0.5+std=58', 'be of pixels from 0 to 1, or both'),
    ('mean=0+std=1', 'be of pixels from 0 to 1, or both'),
    ('unit+mean=3', "'unit' is whole"),
    ('', 'unknown'),
    ('none.npy', 'none.npy cannot be read .*check --preprocessing'),
  ],
)
def test_what_is_refused(text, words):
  with pytest.raises(errors.InputError, match=words) as error:
    pixel_values.parse(text, RGB, 6)
  assert '--preprocessing' in str(error.value)


def test_damaged_mean_files_are_sentences(tmp_path):
  good = io.BytesIO()
  np.save(good, np.ones((3, 8, 8)))
  pickled = io.BytesIO()
  np.save(pickled, np.array([{}]), allow_pickle=True)
  for name, data in {
    'cut.npy': good.getvalue()[:-5],
    'pickled.npy': pickled.getvalue(),
    'empty.npy': b'',
    'text.npy': b'mean',
    'empty.binaryproto': b'',
    'text.binaryproto': b'some text',
    'cut.binaryproto': b'\x2a\xff\xff\x01abc',
  }.items():
    (tmp_path / name).write_bytes(data)
    with pytest.raises(errors.InputError, match=f'{name} (is no|holds)'):
      pixel_values.parse(str(tmp_path / name), RGB, 6)
  np.save(tmp_path / 'four.npy', np.ones((4, 8, 8)))
  with pytest.raises(errors.InputError, match='no finite mean of three'):
    pixel_values.parse(str(tmp_path / 'four.npy'), RGB, 6)
