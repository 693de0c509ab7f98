"""Exported ONNX files in ONNX Runtime against the networks they come from."""

import dataclasses
import json
import os
import pathlib
import tarfile

import jax
import listing
import numpy as np
import pytest
import random_runs

from inception_jax import models, preprocess
from inception_jax.commands import export as exporting
from inception_jax.export import checking
from inception_jax.models import ARCHITECTURES, architectures
from inception_jax.runs import named_arrays, run
from inception_jax.weights import exported

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')

from inception_jax.export import onnx_file, onnx_graph  # noqa: E402

LOGITS_ATOL = 1e-4


def graph_of(loaded, **options):
  arrays = named_arrays.flatten(loaded.variables)
  about = exported.describe(loaded, arrays)
  return onnx_graph.create_model(loaded, arrays, about, **options)


def logits_of(loaded, pixels):
  return checking.logits_of(
    loaded.model, loaded.variables, loaded.preprocessing, pixels
  )


def session_of(source):
  if isinstance(source, onnx.ModelProto):
    source = source.SerializeToString()
  return onnxruntime.InferenceSession(
    source, providers=['CPUExecutionProvider']
  )


def network_input(loaded, pixels):
  return np.asarray(loaded.preprocessing(pixels)).transpose(0, 3, 1, 2)


CASES = [
  (name, form, size, width)
  for name in ARCHITECTURES
  for form, size, width in (
    ('reduced', 64, 0.1),
    ('reduced', 67, 0.25),  # Odd sizes at most stages.
    ('naive', 75, 0.1),
    ('naive_as_drawn', 72, 0.05),
  )
]


@pytest.mark.parametrize('name, form, size, width', CASES)
def test_every_member_and_form_agrees(name, form, size, width):
  loaded = random_runs.random_run(name, size, module_form=form, width=width)
  pixels = checking.pictures(size, 4)
  expected = logits_of(loaded, pixels)
  assert 1 < np.abs(expected).max() < 100
  assert np.ptp(expected, axis=0).max() > 0.1  # The pictures matter.
  session = session_of(graph_of(loaded))
  x = network_input(loaded, pixels)
  for part in (slice(0, 1), slice(1, 4)):
    (logits,) = session.run(['logits'], {'input': x[part]})
    np.testing.assert_allclose(logits, expected[part], rtol=0, atol=LOGITS_ATOL)


@pytest.mark.parametrize('name', ARCHITECTURES)
def test_nodes_and_initializers_are_the_networks_layers(name):
  loaded = random_runs.random_run(name, 96, use_aux=True)
  proto = graph_of(loaded)
  onnx.checker.check_model(proto, full_check=True)
  counts = {}
  for node in proto.graph.node:
    counts[node.op_type] = counts.get(node.op_type, 0) + 1
  # 3 of the stem and 6 a module; 4 pools between stages and one a module.
  expected = {'Conv': 57, 'Relu': 57, 'MaxPool': 13, 'Concat': 9, 'Gemm': 1}
  expected |= {'GlobalAveragePool': 1, 'Flatten': 1}
  if architectures.architecture_of(name).lrn:
    expected['LRN'] = 2
  assert counts == expected
  names = {node.name for node in proto.graph.node}
  assert len(names) == len(proto.graph.node)
  assert 'inception_4a/conv_5x5' in names and 'inception_5b' in names
  layers = {
    path.removeprefix('params/').rsplit('/', 1)[0]
    for path in named_arrays.flatten(loaded.variables)
    if path.endswith('/kernel') and not path.startswith('params/aux')
  }
  assert {x.name for x in proto.graph.initializer} == {
    f'{layer}/{kind}' for layer in layers for kind in ('kernel', 'bias')
  }


def test_end_points_can_be_read():
  """Under their names, by whoever makes them outputs."""
  loaded = random_runs.random_run('inception_v1_google', 67)
  proto = graph_of(loaded)
  x = np.asarray(loaded.preprocessing(checking.pictures(67, 2)))
  _, ends = jax.jit(loaded.model.apply)(loaded.variables, x)
  names = [name for name in ends if name != 'logits']
  proto.graph.output.extend(
    onnx.helper.make_empty_tensor_value_info(name) for name in names
  )
  outputs = session_of(proto).run(names, {'input': x.transpose(0, 3, 1, 2)})
  assert len(names) == 19
  for name, theirs in zip(names, outputs, strict=True):
    if theirs.ndim == 4:
      theirs = theirs.transpose(0, 2, 3, 1)
    atol = 1e-5 * np.abs(theirs).max()
    assert atol > 0, name
    np.testing.assert_allclose(
      theirs, ends[name], rtol=0, atol=atol, err_msg=name
    )


def test_inputs_outputs_and_versions():
  loaded = random_runs.random_run('inception_v1_bn', 64)
  float_model = graph_of(loaded)
  assert float_model.opset_import[0].version == 17
  assert float_model.ir_version == 8
  # Declared, and not only inferred by the runtime.
  (output,) = float_model.graph.output
  declared = output.type.tensor_type.shape.dim
  assert [x.dim_param or x.dim_value for x in declared] == [
    'batch',
    random_runs.NUM_CLASSES,
  ]

  def signature(proto):
    return [
      (x.name, x.type, x.shape)
      for session in [session_of(proto)]
      for x in session.get_inputs() + session.get_outputs()
    ]

  assert signature(float_model) == [
    ('input', 'tensor(float)', ['batch', 3, 64, 64]),
    ('logits', 'tensor(float)', ['batch', random_runs.NUM_CLASSES]),
  ]
  assert signature(graph_of(loaded, uint8_input=True, softmax=True)) == [
    ('pixels', 'tensor(uint8)', ['batch', 64, 64, 3]),
    ('probabilities', 'tensor(float)', ['batch', random_runs.NUM_CLASSES]),
  ]


@pytest.mark.parametrize('bgr', [False, True])
def test_bytes_feed_a_cast_alone(bgr):
  """TensorRT takes nothing else (NVIDIA/TensorRT #3985)."""
  preprocessing = dataclasses.replace(preprocess.IMAGENET_MEAN_STD, bgr=bgr)
  loaded = dataclasses.replace(
    random_runs.random_run('inception_v1_bn', 64), preprocessing=preprocessing
  )
  proto = graph_of(loaded, uint8_input=True)
  readers = [x for x in proto.graph.node if 'pixels' in x.input]
  assert [x.op_type for x in readers] == ['Cast']
  assert readers[0].attribute[0].i == onnx.TensorProto.FLOAT
  (after,) = [x for x in proto.graph.node if readers[0].output[0] in x.input]
  assert after.op_type == 'Transpose'
  pixels = checking.pictures(64, 2)
  (logits,) = session_of(proto).run(None, {'pixels': pixels})
  expected = logits_of(loaded, pixels)
  np.testing.assert_allclose(logits, expected, rtol=0, atol=LOGITS_ATOL)


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """A run directory of the family member with odd padding and batch norm."""
  loaded = random_runs.random_run('inception_v1_lucid', 64, use_aux=True)
  return random_runs.write(loaded, tmp_path_factory.mktemp('runs') / 'lucid')


@pytest.fixture(scope='module')
def lrn_workdir(tmp_path_factory):
  """The same of the authors' network."""
  loaded = random_runs.random_run('inception_v1_google', 64)
  return random_runs.write(loaded, tmp_path_factory.mktemp('runs') / 'google')


def test_exported_file_describes_itself(lrn_workdir):
  (lrn_workdir / 'card.json').write_text('{"licence": "Apache-2.0"}')
  result = exporting.export(lrn_workdir, 'onnx')
  path = lrn_workdir / 'export' / 'onnx' / 'model.onnx'
  assert result['path'] == str(path)
  assert result['max_abs_diff'] <= LOGITS_ATOL
  assert result['top1_agreement'] == 1 and result['num_images'] >= 8
  assert json.loads((path.parent / 'check.json').read_text()) == result
  assert listing.names(path.parent) == ['check.json', 'model.onnx']
  metadata = session_of(str(path)).get_modelmeta().custom_metadata_map
  loaded = run.load_run(lrn_workdir)
  assert metadata['profile'] == 'inception_v1_google'
  assert metadata['digest'] == result['digest']
  assert metadata['input'] == 'input' and metadata['output'] == 'logits'
  assert json.loads(metadata['labels']) == loaded.labels.to_json()
  assert json.loads(metadata['card']) == {'licence': 'Apache-2.0'}
  assert json.loads(metadata['preprocessing']) == {
    'scale': 256 / 255,
    'bgr': False,
    'mean': [117.0] * 3,
    'crop': {'size': 64, 'name': 'center_square'},
  }


def test_uint8_input_and_softmax(workdir, tmp_path):
  path = tmp_path / 'new' / 'pixels.onnx'
  result = exporting.export(
    workdir, 'onnx', output=path, uint8_input=True, softmax=True
  )
  assert result['compared'] == 'log_probabilities'
  assert result['max_abs_diff'] <= LOGITS_ATOL
  loaded = run.load_run(workdir)
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
  expected = jax.nn.softmax(logits_of(loaded, pixels))
  (found,) = session_of(str(path)).run(['probabilities'], {'pixels': pixels})
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
  np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)


def test_network_of_low_precision_is_exported_in_float32(tmp_path):
  loaded = random_runs.random_run('inception_v1_bn', 64)
  loaded = dataclasses.replace(
    loaded, model=loaded.model.clone(dtype=jax.numpy.bfloat16)
  )
  workdir = random_runs.write(loaded, tmp_path / 'run')
  pixels = checking.pictures(64, 2)
  x = np.asarray(loaded.preprocessing(pixels))
  low, _ = jax.jit(loaded.model.apply)(loaded.variables, x)
  assert np.abs(low - logits_of(loaded, pixels)).max() > 100 * LOGITS_ATOL
  result = exporting.export(workdir, 'onnx')
  assert result['max_abs_diff'] <= LOGITS_ATOL


def without_alpha_factor(monkeypatch):
  add = onnx_graph._add

  def wrong(graph, operator, *args, **attributes):
    if operator == 'LRN':
      attributes['alpha'] /= attributes['size']
    return add(graph, operator, *args, **attributes)

  monkeypatch.setattr(onnx_graph, '_add', wrong)


def other_padding(monkeypatch):
  right = onnx_graph.pooling.explicit_padding
  other = {'same': 'symmetric', 'symmetric': 'same'}
  monkeypatch.setattr(
    onnx_graph,
    'pooling',
    type(
      'pooling',
      (),
      {
        'explicit_padding': staticmethod(
          lambda kind, *args: right(other[kind], *args)
        )
      },
    ),
  )


def other_epsilon(monkeypatch):
  right = onnx_graph.fold_batch_norm
  monkeypatch.setattr(
    onnx_graph,
    'fold_batch_norm',
    lambda arrays, path, epsilon: right(arrays, path, 1e-3),
  )


def forgotten_shift(monkeypatch):
  right = onnx_graph.fold_batch_norm

  def wrong(arrays, path, epsilon):
    kernel, bias = right(arrays, path, epsilon)
    return kernel, 0 * bias if path == 'inception_5b/pool_proj' else bias

  monkeypatch.setattr(onnx_graph, 'fold_batch_norm', wrong)


def transposed_kernel(monkeypatch):
  right = onnx_graph.fold_batch_norm

  def wrong(arrays, path, epsilon):
    kernel, bias = right(arrays, path, epsilon)
    return kernel.swapaxes(0, 1), bias

  monkeypatch.setattr(onnx_graph, 'fold_batch_norm', wrong)


def swapped_colours(monkeypatch):
  right = onnx_file.outputs_of
  monkeypatch.setattr(
    onnx_file,
    'outputs_of',
    lambda request, files, pixels: right(request, files, pixels[..., ::-1]),
  )


@pytest.mark.parametrize(
  'mistake, run_name, softmax',
  [
    (without_alpha_factor, 'lrn_workdir', False),
    (without_alpha_factor, 'lrn_workdir', True),
    (other_padding, 'lrn_workdir', False),
    (other_padding, 'workdir', False),
    (other_epsilon, 'workdir', False),
    (other_epsilon, 'workdir', True),
    (forgotten_shift, 'workdir', False),
    (transposed_kernel, 'lrn_workdir', False),
    (swapped_colours, 'lrn_workdir', False),
  ],
)
def test_wrong_graph_is_noticed_and_removed(
  mistake, run_name, softmax, request, tmp_path, monkeypatch
):
  workdir = request.getfixturevalue(run_name)
  mistake(monkeypatch)
  output = tmp_path / 'out' / 'model.onnx'
  with pytest.raises(checking.ExportError, match='model.onnx does not compute'):
    exporting.export(workdir, 'onnx', output=output, softmax=softmax)
  assert not output.parent.exists()


def test_failed_export_keeps_the_file_before_it(
  lrn_workdir, tmp_path, monkeypatch
):
  output = tmp_path / 'model.onnx'
  exporting.export(lrn_workdir, 'onnx', output=output)
  before = listing.contents(tmp_path)
  assert set(before) == {'model.onnx', 'check.json'}
  without_alpha_factor(monkeypatch)
  with pytest.raises(checking.ExportError):
    exporting.export(lrn_workdir, 'onnx', output=output)
  assert before == listing.contents(tmp_path)


def test_file_that_the_runtime_refuses_is_a_sentence(
  lrn_workdir, tmp_path, monkeypatch
):
  monkeypatch.setattr(
    onnx_file, 'serialize', lambda _: {'.onnx': b'not a graph of any kind'}
  )
  with pytest.raises(checking.ExportError, match='cannot be used'):
    exporting.export(lrn_workdir, 'onnx', output=tmp_path / 'model.onnx')
  assert not os.listdir(tmp_path)


@pytest.fixture
def photographs():
  """uint8 `[24, 224, 224, 3]`."""
  folder = os.environ.get('INCEPTION_JAX_TEST_DATA')
  if not folder:
    pytest.skip('INCEPTION_JAX_TEST_DATA is not set')
  tf = pytest.importorskip('tensorflow')
  images = []
  with tarfile.open(pathlib.Path(folder) / 'imagenet_sample.tar') as tar:
    names = sorted(name for name in tar.getnames() if name.endswith('.JPEG'))
    for name in names[::20][:24]:
      image = tf.io.decode_jpeg(tar.extractfile(name).read(), channels=3)
      side = min(image.shape[:2])
      image = tf.image.resize_with_crop_or_pad(image, side, side)
      image = tf.image.resize(image, (224, 224), antialias=True)
      images.append(tf.cast(tf.round(image), tf.uint8).numpy())
  return np.stack(images)


@pytest.mark.test_data
def test_released_weights_agree_on_photographs(photographs, tmp_path):
  from inception_jax.weights import google

  folder = pathlib.Path(os.environ['INCEPTION_JAX_TEST_DATA'])
  network = google.read(folder / 'google_inception.npz')
  loaded = run.Run(
    model=models.create_model(**network.model_arguments),
    variables=network.variables,
    preprocessing=network.preprocessing,
    eval_crop=network.eval_crop,
    labels=network.labels,
    weights='raw',
    step=0,
  )
  expected = logits_of(loaded, photographs)
  session = session_of(graph_of(loaded))
  (logits,) = session.run(
    ['logits'], {'input': network_input(loaded, photographs)}
  )
  np.testing.assert_allclose(logits, expected, rtol=0, atol=LOGITS_ATOL)
  np.testing.assert_array_equal(logits.argmax(1), expected.argmax(1))
  assert len(set(logits.argmax(1))) > 15  # Photographs of 24 classes.
