"""Tests of the visualise mode."""

import functools
import json
import os

import jax
import listing
import numpy as np
from PIL import Image
import pytest

from inception_jax import models, preprocess
from inception_jax.commands import predict, visualise
from inception_jax.commands import registry as command
from inception_jax.data import crop_rules, labels
from inception_jax.data import pictures as pictures_lib
from inception_jax.runs import run
from inception_jax.runtime import errors
from inception_jax.visualisation import activations as figures
from inception_jax.visualisation import features as feature_visualisation
from inception_jax.visualisation import look as look_lib

SIZE = 128  # The last activations have 4x4 places.


def _network(num_classes, kernel_fn=lambda kernel: kernel):
  """A random run of the plain network, its kernels mapped by a function."""
  model = models.create_model(
    'inception_v1_shallow', num_classes=num_classes, use_aux=False, width=0.03
  )
  x = np.zeros((1, SIZE, SIZE, 3), np.float32)
  variables = jax.jit(model.init)(jax.random.key(0), x)
  params = jax.tree.map(lambda x: kernel_fn(np.asarray(x)), variables['params'])
  return run.Run(
    model=model,
    variables={'params': params, 'batch_stats': {}},
    preprocessing=preprocess.Preprocessing(1 / 255, (0.0, 0.0, 0.0)),
    eval_crop=crop_rules.EvaluationCrop(SIZE, 'center_square'),
    labels=labels.from_class_names([f'c{i}' for i in range(num_classes)]),
    weights='raw',
    step=0,
  )


def test_the_mean_of_a_map_is_the_logit():
  network = _network(7)
  rng = np.random.default_rng(0)
  classifier = network.variables['params']['classifier']
  classifier['bias'] = rng.normal(size=7).astype(np.float32)
  look_fn = look_lib.create_look_fn(
    network.model, network.variables, network.preprocessing, ['inception_5b']
  )
  for _ in range(5):
    image = rng.integers(256, size=(SIZE, SIZE, 3)).astype(np.uint8)
    image[rng.integers(SIZE) :] //= 4
    look = look_fn(image)
    maps = look_lib.class_activation_maps(
      look.end_points['inception_5b'], **classifier
    )
    assert maps.shape == (4, 4, 7)
    assert np.ptp(maps, (0, 1)).min() > 0.01  # No mean of equal numbers.
    np.testing.assert_allclose(maps.mean((0, 1)), look.logits, atol=1e-5)


def _looks_straight_ahead(x):
  """Kernels without their surroundings and negative weights; no biases."""
  if x.ndim == 1:
    return np.zeros_like(x)
  if x.ndim == 2:
    return np.abs(x)
  middle = len(x) // 2
  ahead = np.zeros_like(x)
  ahead[middle, middle] = np.abs(x[middle, middle])
  return ahead


@pytest.mark.parametrize('place', [(0, 0), (0, 3), (3, 0), (3, 3)], ids=str)
def test_the_map_is_largest_where_the_evidence_is(place):
  # Light is evidence for class 0, whose weights are 1, and against class 1.
  network = _network(2, _looks_straight_ahead)
  params = network.variables['params']
  kernel = params['classifier']['kernel']
  kernel[:] = [1, -1]
  image = np.zeros((SIZE, SIZE, 3), np.uint8)
  row, column = (32 * number for number in place)
  image[row : row + 32, column : column + 32] = 255
  look = look_lib.create_look_fn(
    network.model, network.variables, network.preprocessing, ['inception_5b']
  )(image)
  maps = look_lib.class_activation_maps(
    look.end_points['inception_5b'], kernel, params['classifier']['bias']
  )
  np.testing.assert_allclose(maps[..., 1], -maps[..., 0])
  heat = maps[..., 0]
  assert heat[place] == pytest.approx(heat.max()) and heat.max() > 0
  opposite = tuple(3 - number for number in place)
  assert heat[opposite] < 0.5 * heat.max()


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
  """Two pictures of one name, and two files that are none."""
  folder = tmp_path_factory.mktemp('pictures')
  rng = np.random.default_rng(0)
  image = Image.fromarray(rng.integers(256, size=(50, 40, 3)).astype(np.uint8))
  (folder / 'sub').mkdir()
  image.save(folder / 'digit.png')
  image.rotate(90).save(folder / 'sub' / 'digit.jpg')
  (folder / 'broken.jpg').write_bytes(b'no picture')
  (folder / 'empty.png').write_bytes(b'')
  return folder


def _size_of(path):
  """Size of a PNG that shows something."""
  with Image.open(path) as picture:
    assert picture.format == 'PNG'
    assert np.asarray(picture.convert('L')).std() > 10
    return picture.size


def test_everything_is_written(trained, pictures, monkeypatch):
  short = functools.partial(
    feature_visualisation.ascend, num_steps=16, steps_per_call=8
  )
  monkeypatch.setattr(feature_visualisation, 'ascend', short)
  result = visualise.visualise(trained[0], [str(pictures)], weights='raw')
  assert json.loads(json.dumps(result)) == result
  folder = trained[0] / 'visualisation'
  assert result['output'] == str(folder)
  failed = {os.path.basename(x['file']): x['reason'] for x in result['failed']}
  assert failed.keys() == {'broken.jpg', 'empty.png'}
  assert failed['empty.png'] == 'the file is empty'
  with pytest.raises(errors.PartialError, match='^2 files could'):
    command.check_whole(result)

  # The defaults of the features are of the first picture.
  files = [str(pictures / 'digit.png')]
  best = predict.predict(trained[0], files, weights='raw', top_k=1)
  best = best['predictions'][0]['top'][0]['index']
  loaded = run.load_run(trained[0], 'raw')
  (first,) = pictures_lib.read_pictures(files, loaded.eval_crop, 1)
  look_fn = look_lib.create_look_fn(
    loaded.model, loaded.variables, loaded.preprocessing, ['inception_4d']
  )
  activations = look_fn(first.images[0]).end_points['inception_4d']
  channel = activations.mean((0, 1)).argmax()
  names = [
    'filters_conv1.png',
    'digit_activations.png',
    'digit_heatmap.png',
    'digit_2_activations.png',
    'digit_2_heatmap.png',
    f'feature_inception_4d_{channel}.png',
    f'feature_class_{best}_{best}.png',
  ]
  assert result['files'] == [str(folder / name) for name in names]
  assert set(listing.names(folder)) == set(names)
  sizes = [_size_of(file) for file in result['files']]
  assert sizes[1] == sizes[3] and sizes[2] == sizes[4]
  assert all(width > 500 for width, _ in sizes)


def test_what_is_asked_for(trained, pictures, tmp_path, monkeypatch):
  drawn = []
  monkeypatch.setattr(
    figures,
    'draw_activations',
    lambda image, ends: drawn.append(ends) or figures.draw_filters(_KERNEL),
  )
  monkeypatch.setattr(
    figures,
    'draw_heatmap',
    lambda *x: drawn.append(x) or figures.draw_filters(_KERNEL),
  )
  files = [str(pictures / 'digit.png')]
  result = visualise.visualise(
    trained[0],
    files,
    output=tmp_path / 'new' / 'folder',
    end_points=['pool2', 'inception_3a'],
    features=[],
  )
  written = [os.path.basename(file) for file in result['files']]
  assert written == [
    'filters_conv1.png',
    'digit_activations.png',
    'digit_heatmap.png',
  ]
  assert result['failed'] == []
  ends, (_, maps, names, probabilities) = drawn
  assert list(ends) == ['pool2', 'inception_3a']
  # The classes that the heat maps show are those that the predictions name.
  top = predict.predict(trained[0], files, top_k=3)['predictions'][0]['top']
  assert names == [entry['name'] for entry in top]
  np.testing.assert_allclose(
    probabilities, [entry['probability'] for entry in top], rtol=1e-4
  )
  # Differences of logits are ratios of probabilities.
  np.testing.assert_allclose(
    np.exp(np.diff(maps.mean((0, 1)))),
    probabilities[1:] / probabilities[:-1],
    rtol=1e-3,
  )

  result = visualise.visualise(
    trained[0], files, output=tmp_path, end_points=[], features=[]
  )
  written = [os.path.basename(file) for file in result['files']]
  assert written == ['filters_conv1.png', 'digit_heatmap.png']


_KERNEL = np.zeros((7, 7, 3, 1), np.float32)


def test_names_of_files_differ():
  files = ['a/x.png', 'b/x.jpg', 'c/x_2.png', 'd.e.png', 'x']
  assert visualise.file_names(files) == ['x', 'x_2', 'x_2_2', 'd.e', 'x_3']


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ({'end_points': ['conv3']}, "--end_points=conv3.*did you mean 'conv"),
    ({'end_points': ['conv1', 'xyz']}, '--end_points=xyz.*it has conv1, '),
    ({'end_points': ['logits']}, '--end_points=logits.*no such activations'),
    ({'features': ['inception_4d:999']}, "'999' is no channel of inception_4d"),
    ({'files': ['broken.jpg', 'empty.png']}, 'none of the files.*broken.jpg'),
    ({'files': []}, 'needs pictures'),
    ({'files': [f'{i}.png' for i in range(17)]}, '17 files .* the 16'),
    ({'output': 'digit.png'}, '--output=.*digit.png cannot be written'),
    ({'output': 'digit.png/x'}, '--output=.*digit.png/x cannot be written'),
  ],
)
def test_bad_requests_write_nothing(
  trained, pictures, tmp_path, arguments, message
):
  files = arguments.pop('files', ['digit.png'])
  output = tmp_path / 'out'
  if 'output' in arguments:
    output = pictures / arguments.pop('output')
  with pytest.raises(errors.InputError, match=message):
    visualise.visualise(
      trained[0],
      [str(pictures / name) for name in files],
      output=output,
      **arguments,
    )
  assert not (tmp_path / 'out').exists()
  assert (pictures / 'digit.png').is_file()
