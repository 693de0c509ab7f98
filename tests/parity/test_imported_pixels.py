"""Networks trained on other pixels than the published ones, as imported.

A network of PyTorch and pictures, and the same through a file, `--mode=import
--preprocessing`, and everything that uses the run.
"""

import jax
import numpy as np
import published_files
import pytest

from inception_jax.commands import export as exporting
from inception_jax.commands import import_weights as importing
from inception_jax.commands import predict
from inception_jax.export import checking
from inception_jax.runs import run
from inception_jax.runtime import errors
from inception_jax.weights import torchvision

torch = pytest.importorskip('torch')
onnxruntime = pytest.importorskip('onnxruntime')
# Networks of full width at 224 pixels.
pytestmark = pytest.mark.slow

import published_torch as peers  # noqa: E402

from inception_jax.export import torchvision_file  # noqa: E402

NUM_CLASSES = 30
PICTURES = checking.pictures(224, 24)


def answers(network, x, **arguments):
  """Logits of a network of PyTorch."""
  with torch.no_grad():
    logits = network(x, **arguments)['logits'].numpy()
  return logits


def spread(classifier, logits):
  """Makes the first choice depend on the picture."""
  with torch.no_grad():
    classifier.weight /= float(logits.std(0).mean())
    bias = (logits - classifier.bias.numpy()) / float(logits.std(0).mean())
    classifier.bias.copy_(torch.tensor(-bias.mean(0)))


def agreement(workdir, expected):
  loaded = run.load_run(workdir)
  logits = checking.logits_of(
    loaded.model, loaded.variables, loaded.preprocessing, PICTURES
  )
  return (logits.argmax(-1) == expected.argmax(-1)).mean(), logits


@pytest.fixture(scope='module')
def from_scratch(tmp_path_factory):
  """A file of a network without `transform_input`, and its logits."""
  network = peers.Torchvision(NUM_CLASSES).eval()
  peers.randomise(network, torch.Generator().manual_seed(0))
  x = torch.tensor(PICTURES.transpose(0, 3, 1, 2)).float()
  spread(network.fc, answers(network, x, transform=False))
  path = tmp_path_factory.mktemp('scratch') / 'x.pth'
  torch.save(network.state_dict(), path)
  return path, network, answers(network, x, transform=False)


@pytest.fixture(scope='module')
def workdir(from_scratch):
  path, _, _ = from_scratch
  workdir = path.parent / 'run'
  importing.import_weights(
    'torchvision', workdir, path=path, preprocessing='imagenet_mean_std'
  )
  return workdir


def test_first_choices_are_the_sources_with_the_flag(
  from_scratch, workdir, tmp_path, caplog
):
  path, _, expected = from_scratch
  assert len(set(expected.argmax(-1))) > 5  # The pictures matter.
  found, logits = agreement(workdir, expected)
  assert found == 1
  np.testing.assert_allclose(logits, expected, atol=1e-3)
  importing.import_weights('torchvision', tmp_path / 'run', path=path)
  assert agreement(tmp_path / 'run', expected)[0] < 0.9
  assert 'preprocessing is assumed to be that of the published' in caplog.text
  assert 'scratch with --preprocessing=imagenet_mean_std' in caplog.text
  # The same in numbers.
  importing.import_weights(
    'torchvision',
    tmp_path / 'numbers',
    path=path,
    preprocessing='mean=0.485,0.456,0.406+std=0.229,0.224,0.225',
  )
  assert (
    run.load_run(tmp_path / 'numbers').preprocessing
    == run.load_run(workdir).preprocessing
  )


def test_the_way_back_is_bit_for_bit(from_scratch, workdir, tmp_path):
  """Through the run and each format that can be imported again."""
  path, network, _ = from_scratch
  theirs = {k: x.numpy() for k, x in network.state_dict().items()}
  exported = exporting.export(workdir, 'torchvision')['path']
  again = torch.load(exported.replace('.safetensors', '.pt'))
  assert again.keys() == theirs.keys()
  for name, array in theirs.items():
    assert again[name].numpy().tobytes() == array.tobytes(), name
  other = exporting.export(workdir, 'safetensors')['path']
  preprocessing = run.load_run(workdir).preprocessing
  files = [('torchvision', exported), ('safetensors', exported)]
  for number, (source, file) in enumerate([*files, ('safetensors', other)]):
    importing.import_weights(source, tmp_path / f'{number}', path=file)
    loaded = run.load_run(tmp_path / f'{number}')
    assert loaded.preprocessing == preprocessing
    jax.tree.map(
      np.testing.assert_array_equal,
      loaded.variables,
      torchvision.read(path).variables,
    )
    with pytest.raises(errors.InputError, match='which say it themselves'):
      importing.import_weights(
        source, tmp_path / 'x', path=file, preprocessing='unit'
      )
  with pytest.raises(errors.InputError, match='give --source=safetensors'):
    importing.import_weights('torchvision', tmp_path / 'x', path=other)


def test_exported_pixels_are_the_networks(from_scratch, workdir):
  _, _, expected = from_scratch
  result = exporting.export(workdir, 'onnx', uint8_input=True)
  session = onnxruntime.InferenceSession(
    result['path'], providers=['CPUExecutionProvider']
  )
  (logits,) = session.run(None, {'pixels': PICTURES})
  np.testing.assert_allclose(logits, expected, atol=1e-3)
  np.testing.assert_array_equal(logits.argmax(-1), expected.argmax(-1))


def test_predictions_are_the_sources(from_scratch, workdir, tmp_path):
  from PIL import Image

  _, _, expected = from_scratch
  file = tmp_path / 'x.png'
  Image.fromarray(PICTURES[3]).save(file)
  loaded = run.load_run(workdir)
  result = predict.predict(workdir, [str(file)], top_k=1)
  label = loaded.labels[int(expected[3].argmax())].name
  assert label in str(result)


# --- Caffe -------------------------------------------------------------------


def binaryproto(array):
  """A mean file, as `compute_image_mean` writes it."""
  blob = published_files.caffe_net()().layer.add().blobs.add()
  blob.num, blob.channels, blob.height, blob.width = 1, *array.shape
  blob.data.extend(array.ravel())
  return blob.SerializeToString()


@pytest.fixture(scope='module')
def caffe_file(tmp_path_factory):
  """A network of Caffe and the mean of each place, blue first."""
  folder = tmp_path_factory.mktemp('caffe')
  network = peers.Caffe(NUM_CLASSES).eval()
  peers.randomise(network, torch.Generator().manual_seed(1))
  rng = np.random.default_rng(0)
  mean = rng.uniform(0, 255, (3, 256, 256)).astype(np.float32)
  # The centre of it, as for a crop in the middle of 256x256 pixels.
  x = PICTURES[..., ::-1] - mean.transpose(1, 2, 0)[16:240, 16:240]
  x = torch.tensor(x.transpose(0, 3, 1, 2).astype(np.float32))
  arguments = {'rgb': True, 'mean': (0.0, 0.0, 0.0)}
  classifier = network.layers['loss3/classifier']
  spread(classifier, answers(network, x, **arguments))
  path = folder / 'x.caffemodel'
  path.write_bytes(published_files.caffemodel(network.blobs()))
  (folder / 'mean.binaryproto').write_bytes(binaryproto(mean))
  np.save(folder / 'mean.npy', mean)
  return path, answers(network, x, **arguments)


def test_a_mean_file_of_each_place(caffe_file, tmp_path):
  path, expected = caffe_file
  assert len(set(expected.argmax(-1))) > 5
  for name in ('mean.binaryproto', 'mean.npy'):
    importing.import_weights(
      'caffe',
      tmp_path / name,
      path=path,
      preprocessing=str(path.with_name(name)),
    )
    found, logits = agreement(tmp_path / name, expected)
    assert found == 1
    np.testing.assert_allclose(logits, expected, atol=1e-3)
  importing.import_weights('caffe', tmp_path / 'run', path=path)
  assert agreement(tmp_path / 'run', expected)[0] < 0.9


def test_a_mean_file_is_exported_too(caffe_file, tmp_path):
  path, expected = caffe_file
  workdir = tmp_path / 'run'
  mean = str(path.with_name('mean.npy'))
  importing.import_weights('caffe', workdir, path=path, preprocessing=mean)
  result = exporting.export(workdir, 'onnx', uint8_input=True)
  session = onnxruntime.InferenceSession(
    result['path'], providers=['CPUExecutionProvider']
  )
  (logits,) = session.run(None, {'pixels': PICTURES})
  np.testing.assert_allclose(logits, expected, atol=1e-3)
  # The module beside the weights needs PyTorch alone.
  exported = exporting.export(workdir, 'torchvision')['path']
  source = open(exported.replace('.safetensors', '.py')).read()
  assert 'inception_jax.' not in source
  result = torchvision_file._outputs_in_pytorch(
    {
      ending: open(exported.replace('.safetensors', ending), 'rb').read()
      for ending in ('.safetensors', '.pt', '.py')
    },
    PICTURES[:2],
  )
  np.testing.assert_allclose(result, expected[:2], atol=1e-3)
  importing.import_weights('safetensors', tmp_path / 'again', path=exported)
  assert (
    run.load_run(tmp_path / 'again').preprocessing
    == run.load_run(workdir).preprocessing
  )
