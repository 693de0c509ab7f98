"""The importers of Caffe, torchvision and TF-slim on good and bad files.

`tests/parity` compares what the networks compute.
"""

import gzip
import io
import json
import struct
import sys
import tarfile

from etils import epath
import jax
import ml_dtypes
import numpy as np
import published_files
import pytest
from safetensors import numpy as safetensors_numpy

from inception_jax import preprocess
from inception_jax.commands import import_weights as importing
from inception_jax.runs import run
from inception_jax.runtime import errors
from inception_jax.weights import (
  caffe,
  caffe_model,
  conversion,
  download,
  pretrained,
  safetensors_data,
  safetensors_file,
  state_dict,
  tf_checkpoint,
  tf_slim,
  torch_layout,
  torchvision,
)

tf = pytest.importorskip('tensorflow')


@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
  """Checkpoints are read here, where TensorFlow is imported already."""
  monkeypatch.setattr(tf_checkpoint, '_run', tf_checkpoint._answer)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
  """A good file of each source, and what is in it by its names."""
  folder = tmp_path_factory.mktemp('published')
  made = {}
  for module, name in (
    (caffe, 'x.caffemodel'),
    (torchvision, 'x.safetensors'),
    (tf_slim, 'inception_v1.ckpt'),
  ):
    num_outputs = 1001 if module is tf_slim else 1000
    arrays = published_files.random_arrays(module.LAYOUT, num_outputs)
    write(folder / name, arrays)
    made[module] = folder / name, arrays
  return made


def write(path, arrays):
  """A file of the kind that its ending says."""
  if path.suffix == '.caffemodel':
    layers = published_files.caffe_layers(arrays)
    path.write_bytes(published_files.caffemodel(layers))
  elif path.suffix == '.safetensors':
    safetensors_numpy.save_file(arrays, path)
  else:
    tf.raw_ops.SaveV2(
      prefix=str(path),
      tensor_names=list(arrays),
      shape_and_slices=[''] * len(arrays),
      tensors=[tf.constant(x) for x in arrays.values()],
    )


def changed(files, module, tmp_path, changes):
  """A copy of a good file with other arrays, or without some (None)."""
  path, arrays = files[module]
  arrays = {k: v for k, v in {**arrays, **changes}.items() if v is not None}
  write(tmp_path / path.name, arrays)
  return tmp_path / path.name


@pytest.mark.parametrize(
  'module, num_params',
  [(caffe, 13_378_280), (torchvision, 13_004_888), (tf_slim, 6_618_649)],
)
def test_every_array_has_its_place(files, module, num_params):
  path, arrays = files[module]
  found = module.read(path)
  assert found.missing == found.unused == ()
  params = jax.tree.leaves(found.variables['params'])
  assert sum(x.size for x in params) == num_params
  leaves = jax.tree.leaves(found.variables)
  assert len(leaves) == len(arrays)
  ours = sorted(float(x.sum(dtype=np.float64)) for x in leaves)
  theirs = sorted(float(x.sum(dtype=np.float64)) for x in arrays.values())
  np.testing.assert_allclose(ours, theirs, rtol=1e-12)
  assert found.labels[-1].class_name == 'n15075141'
  assert found.card['sha256'] == download.sha256_of(
    path if path.exists() else path.with_name(path.name + '.index')
  )
  expected = None if module is tf_slim else False
  assert found.card['is_published'] is expected


def test_names_in_the_sources():
  """A few that are easy to get wrong, written out."""
  kernel = 'params/{}/kernel'.format
  assert [
    caffe.name_of(kernel(x)) for x in ('conv1', 'aux_4d/dense', 'classifier')
  ] == ['conv1/7x7_s2[0]', 'loss2/fc[0]', 'loss3/classifier[0]']
  assert [
    torch_layout.name_of(x)
    for x in (
      kernel('conv2'),
      kernel('inception_4a/conv_5x5'),
      'batch_stats/aux_4d/conv/bn/var',
      'params/aux_4a/classifier/bias',
    )
  ] == [
    'conv3.conv.weight',
    'inception4a.branch3.1.conv.weight',
    'aux2.conv.bn.running_var',
    'aux1.fc2.bias',
  ]
  assert [
    tf_slim.name_of(kernel(f'inception_{x}/conv_5x5')) for x in ('4e', '5a')
  ] == [
    'InceptionV1/Mixed_4f/Branch_2/Conv2d_0b_3x3/weights',
    'InceptionV1/Mixed_5b/Branch_2/Conv2d_0a_3x3/weights',
  ]


def test_axes_go_there_and_back():
  rng = np.random.default_rng(0)
  for path, shape in {
    'params/conv1/kernel': (7, 7, 3, 8),
    'params/aux_4a/dense/kernel': (2048, 10),
    'params/classifier/kernel': (4, 6),
    'params/conv1/bias': (5,),
  }.items():
    array = rng.random(shape)
    theirs = torch_layout.to_theirs(path, array)
    assert theirs.shape == torch_layout.shape_of(path, shape)
    again = torch_layout.to_ours(path, theirs, shape)
    np.testing.assert_array_equal(again, array)


@pytest.mark.parametrize(
  'module, name',
  [(caffe, 'loss1/fc[0]'), (torchvision, 'aux2.conv.bn.weight')],
)
def test_without_all_of_its_heads(files, tmp_path, module, name):
  changes = {name: None}
  if module is caffe:
    changes['loss1/fc[1]'] = None
  path = changed(files, module, tmp_path, changes)
  found = module.read(path)
  assert set(found.missing) == set(changes) and found.unused
  assert not found.model_arguments['use_aux']
  assert not [x for x in found.variables['params'] if x.startswith('aux')]


def test_what_is_left_over_is_listed(files, tmp_path):
  extra = {'mine[0]': np.zeros((2, 2, 1, 1), np.float32)}
  path = changed(files, caffe, tmp_path, extra)
  assert caffe.read(path).unused == ('mine[0]',)
  extra = {
    'mine': np.zeros(3, np.float32),
    'conv1.bn.num_batches_tracked': np.array(5),
  }
  path = changed(files, torchvision, tmp_path, extra)
  assert torchvision.read(path).unused == ('mine',)


def test_other_classes_have_numbers(files, tmp_path):
  path = changed(
    files,
    tf_slim,
    tmp_path,
    {
      tf_slim.name_of('params/classifier/kernel'): np.zeros(
        (1, 1, 1024, 5), np.float32
      ),
      tf_slim.name_of('params/classifier/bias'): np.zeros(5, np.float32),
    },
  )
  found = tf_slim.read(path)
  assert found.model_arguments['num_classes'] == len(found.labels) == 5
  assert found.labels[3].name == 'output 3' and found.card['labels'] is None


CHANGES = {
  'missing': (lambda x: None, 'lacks 1 of its .* arrays'),
  'shape': (lambda x: x[..., :-1], 'has the shape .* where'),
  'nan': (lambda x: np.full_like(x, np.nan), 'not finite'),
  'integers': (lambda x: x.astype(np.int32), 'int32 and no fractions|shape'),
}
ONE = {
  caffe: 'inception_4a/5x5[0]',
  torchvision: 'inception4a.branch3.1.conv.weight',
  tf_slim: 'InceptionV1/Mixed_4b/Branch_2/Conv2d_0b_3x3/weights',
}


@pytest.mark.parametrize(
  'module, change',
  # Caffe has no integers.
  [(x, y) for x in ONE for y in CHANGES if (x, y) != (caffe, 'integers')],
  ids=lambda x: str(getattr(x, '__name__', x))[-11:],
)
def test_one_wrong_array_is_named(files, tmp_path, module, change):
  name = ONE[module]
  function, message = CHANGES[change]
  path, arrays = files[module]
  changes = {name: function(arrays[name])}
  if (module, change) == (caffe, 'missing'):
    changes[name.replace('[0]', '[1]')] = None
    message = 'lacks 2 of its .* arrays'
  path = changed(files, module, tmp_path, changes)
  with pytest.raises(errors.InputError, match=message) as error:
    module.read(path)
  assert name[:-3] in str(error.value) and str(path) in str(error.value)


def test_negative_variances_are_refused(files, tmp_path):
  name = 'conv1.bn.running_var'
  path = changed(files, torchvision, tmp_path, {name: -np.ones(64, np.float32)})
  with pytest.raises(errors.InputError, match='conv1.bn.*negative variances'):
    torchvision.read(path)


@pytest.mark.parametrize('module', ONE, ids=lambda x: x.__name__[-7:])
def test_files_of_other_networks_and_kinds(files, tmp_path, module):
  path = tmp_path / 'file'
  other = {'net/weight[0]': np.zeros((2, 3, 1, 1), np.float32)}
  write(tmp_path / files[module][0].name, other)
  with pytest.raises(errors.InputError, match='is not .*: it lacks .*; give'):
    module.read(tmp_path / files[module][0].name)
  with pytest.raises(errors.InputError, match='none cannot be read'):
    module.read(tmp_path / 'none')
  folder = tmp_path / 'folder'
  folder.mkdir()
  with pytest.raises(errors.InputError, match='folder cannot be read'):
    module.read(folder)
  for data in (b'', b'\0' * 100, b'\x1f\x8b' + bytes(50), b'PK\3\4' + bytes(9)):
    path.write_bytes(data)
    with pytest.raises(errors.InputError, match='file .*(no|cannot be) '):
      module.read(path)


@pytest.mark.parametrize('module', ONE, ids=lambda x: x.__name__[-7:])
def test_truncated_files(files, tmp_path, module):
  path, _ = files[module]
  for file in sorted(path.parent.glob(f'{path.name}*')):
    data = file.read_bytes()
    cut = file.name.endswith(('.caffemodel', '.safetensors', '1'))
    (tmp_path / file.name).write_bytes(data[: len(data) // 2] if cut else data)
  with pytest.raises(errors.InputError, match=path.name) as error:
    module.read(tmp_path / path.name)
  assert '\n' not in str(error.value)


def test_sizes_are_bounded(files, monkeypatch):
  monkeypatch.setattr(download, 'MAX_BYTES', 10_000)
  for module, (path, _) in files.items():
    with pytest.raises(errors.InputError, match='more than'):
      module.read(path)


def test_claims_of_safetensors_cost_nothing(tmp_path):
  path = tmp_path / 'x.safetensors'

  def refused(message, header, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    path.write_bytes(struct.pack('<Q', length) + text + b'8' * 8)
    match = f'x.safetensors is no whole safetensors file .*({message})'
    with pytest.raises(errors.InputError, match=match) as error:
      state_dict.read(epath.Path(path))
    assert '\n' not in str(error.value)

  def entry(**changes):
    return {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]} | changes

  huge = 10**15
  # What the library says of its own accord.
  refused('', {'x': entry(shape=[huge], data_offsets=[0, 4 * huge])})
  refused('', {'x': entry(shape=[huge])})
  refused('', {'x': entry(shape=[huge, huge])})
  refused('', {'x': entry(shape=[1] * 5 + [3])})
  refused('', {'x': entry(shape=[-1, -2])})
  refused('', {'x': entry(shape=[True, 2])})
  refused('', {'x': entry(shape=None)})
  refused('', {'x': entry(data_offsets=[1, 9])})
  # Two arrays of the same bytes.
  same = entry(dtype='BF16', shape=[4])
  refused('', {'x': same, 'y': same})
  # What is ours to refuse.
  refused('unknown type', {'x': entry(dtype='F8_E5M2', shape=[8])})
  refused('dimension', {'x': entry(shape=[1] * 100 + [2])})
  refused('no JSON object', b'{"x":' + b'[' * 100_000)
  refused('cut short', {'x': entry()}, 2**20)
  refused('does not begin', {'x': entry()}, 2**40)
  empty = entry(shape=[0], data_offsets=[0, 0])
  many = {f'{i}': empty for i in range(10_000)}
  refused('it has 10,001 arrays', {**many, 'x': entry()})


@pytest.mark.parametrize(
  ('header', 'reason'),
  [
    (b'{"x":[' + b'{},' * 2**19 + b'{}]}', 'has 1,048,579 values'),
    (b'{"x":[' + b'[0],' * 2**18 + b'[]]}', 'has 524,291 values'),
    (b'{"' + b'x' * 2**25 + b'":{}}', 'claims 33,554,439 bytes'),
  ],
  ids=['objects', 'lists', 'names'],
)
def test_absurd_headers_are_not_parsed(tmp_path, monkeypatch, header, reason):
  """What JSON makes of them takes twenty times their size and more."""
  for name in ('json', 'safetensors'):  # It would be an AttributeError.
    monkeypatch.setattr(safetensors_data, name, None)
  path = tmp_path / 'x.safetensors'
  path.write_bytes(struct.pack('<Q', len(header)) + header)
  for read in (torchvision.read, safetensors_file.read):
    with pytest.raises(errors.InputError, match=reason):
      read(path)


@pytest.mark.parametrize(
  ('value', 'count'),
  [
    ({'a': 1, 'b': [2, 3]}, 4),
    ({'a{[,': '"{[,\\'}, 1),
    ({'a': '\\', 'b': '{,'}, 2),
    ({'a': '\\"\\\\"', 'b': '{,'}, 2),
    ({'x' * 300 + '"': '[' * 300}, 1),
  ],
)
def test_values_of_a_header_are_counted(value, count):
  text = json.dumps(value, separators=(',', ':')).encode()
  assert safetensors_data._count_values(text) == count


def test_types_of_safetensors(tmp_path):
  brain_floats = np.array([1.5, -2, 0.1], ml_dtypes.bfloat16)
  arrays = {
    'half': np.array([0.1, 2], np.float16),
    'double': np.array([[0.1], [2]], np.float64),
    'counter': np.array(7, np.int64),
    'flags': np.array([True, False]),
    'none': np.zeros((0, 3), np.float32),
  }
  data = safetensors_numpy.save({**arrays, 'brain': brain_floats.view('u1')})
  # As PyTorch writes it; the library takes none of NumPy's for bfloat16.
  length = int.from_bytes(data[:8], 'little')
  header = json.loads(data[8 : 8 + length])
  header['brain'] |= {'dtype': 'BF16', 'shape': [3]}
  header['__metadata__'] = {'format': 'pt'}
  text = json.dumps(header).encode()
  path = epath.Path(tmp_path / 'x.safetensors')
  path.write_bytes(struct.pack('<Q', len(text)) + text + data[8 + length :])
  found, metadata = state_dict.read(path)
  assert metadata == {'format': 'pt'}
  arrays['brain'] = brain_floats.astype(np.float32)
  assert found.keys() == arrays.keys()
  for name, array in arrays.items():
    assert found[name].dtype == array.dtype
    np.testing.assert_array_equal(found[name], array)


def test_claims_of_caffemodels_cost_nothing():
  for data, message in (
    (b'\x12\xff\xff\xff\xff\x0f', 'cut short'),
    (b'\x12' + b'\xff' * 20, 'does not end'),
    (b'\x13', 'unknown type 3'),
    (b'', 'no parameters'),
  ):
    with pytest.raises(ValueError, match=message):
      caffe_model.parameters(data)
  net = published_files.caffe_net()()
  blob = net.layer.add(name='x').blobs.add()
  blob.data.extend([1, 2, 3])
  blob.shape.dim.extend([2**40, 2**40])
  with pytest.raises(ValueError, match='a blob has 3 values'):
    caffe_model.parameters(net.SerializeToString())
  blob.ClearField('data')
  blob.double_data.extend([1, 2, 3])
  blob.shape.dim[:] = [3]
  found = caffe_model.parameters(net.SerializeToString())
  np.testing.assert_array_equal(found['x[0]'], [1.0, 2.0, 3.0])


def test_caffemodels_of_very_many_fields_are_refused(monkeypatch):
  monkeypatch.setattr(caffe_model, '_MAX_FIELDS', 1000)

  def message(field, contents):  # Of at most 16,383 bytes.
    length = bytes([len(contents) & 127 | 128, len(contents) >> 7])
    return bytes([field << 3 & 127 | 130, field >> 4]) + length + contents

  empty = message(7, b'')
  many = {
    'fields': empty * 1001,
    'blobs': message(100, empty * 1000),
    'values one by one': message(100, message(7, b'\x2d0000' * 999)),
  }
  for data in many.values():
    with pytest.raises(ValueError, match='more than 1,000 fields'):
      caffe_model.parameters(data)
  assert len(caffe_model.parameters(message(100, empty * 999))) == 999


def test_deep_descriptions_of_exported_files_are_refused(tmp_path):
  metadata = {'exported_by': 'inception_jax', 'shapes': '[' * 100_000}
  text = json.dumps({'__metadata__': metadata}).encode()
  path = tmp_path / 'x.safetensors'
  path.write_bytes(struct.pack('<Q', len(text)) + text)
  with pytest.raises(errors.InputError, match='damaged .RecursionError'):
    torchvision.read(path)


def archive_of(members):
  data = io.BytesIO()
  with tarfile.open(fileobj=data, mode='w:gz') as tar:
    for member, contents in members:
      member.size = len(contents)
      tar.addfile(member, io.BytesIO(contents))
  return data.getvalue()


def test_archives_stay_in_their_folder(tmp_path, monkeypatch):
  """Whatever their members are called, and whatever they are."""
  folder = tmp_path / 'unpacked'
  folder.mkdir()
  link = tarfile.TarInfo('link.ckpt')
  link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / 'outside')
  through = tarfile.TarInfo('link.ckpt/../../evil.ckpt')
  absolute = tarfile.TarInfo(str(tmp_path / 'absolute.ckpt.index'))
  path = tmp_path / 'x.tar.gz'
  members = [(link, b''), (through, b'1'), (absolute, b'2')]
  path.write_bytes(archive_of(members))
  with pytest.raises(errors.InputError, match='holds 2 checkpoints, not one'):
    tf_slim._unpack(download.epath.Path(path), folder)
  assert sorted(x.name for x in tmp_path.iterdir()) == ['unpacked', 'x.tar.gz']
  assert sorted(x.name for x in folder.iterdir()) == [
    'absolute.ckpt.index',
    'evil.ckpt',
  ]
  assert not any(x.is_symlink() for x in folder.iterdir())


def test_archives_that_unpack_to_too_much(tmp_path, monkeypatch):
  monkeypatch.setattr(download, 'MAX_BYTES', 2**20)
  for name in ('x.ckpt', 'other'):  # The second is passed over, but read.
    path = tmp_path / 'x.tar.gz'
    path.write_bytes(archive_of([(tarfile.TarInfo(name), bytes(2**22))]))
    with pytest.raises(errors.InputError, match='unpacks to more than'):
      tf_slim.read(path)
  path.write_bytes(gzip.compress(b'no tar'))
  with pytest.raises(errors.InputError, match='no whole archive'):
    tf_slim.read(path)


def test_sparse_archives_are_refused(tmp_path):
  # In the old form of GNU's tar: two numbers a piece, then the whole size.
  def octal(number):
    return b'%011o\0' % number

  header = bytearray(tarfile.TarInfo('x.ckpt').tobuf(tarfile.GNU_FORMAT))
  header[156:157] = b'S'
  header[386:410] = octal(2**32) + octal(0)
  header[483:495] = octal(2**32)
  header[148:156] = b' ' * 8
  header[148:156] = b'%06o\0 ' % sum(header)
  path = tmp_path / 'x.tar.gz'
  path.write_bytes(gzip.compress(bytes(header) + bytes(1024)))
  with tarfile.open(path) as archive:
    (member,) = archive
    assert member.issparse() and member.isreg() and member.size == 2**32
  (tmp_path / 'to').mkdir()
  with pytest.raises(errors.InputError, match='unpacks to more than'):
    tf_slim._unpack(download.epath.Path(path), tmp_path / 'to')
  assert not list((tmp_path / 'to').iterdir())


def test_pytorch_is_only_needed_for_its_own_files(files, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'torch', None)
  torchvision.read(files[torchvision][0])
  (tmp_path / 'x.pth').write_bytes(b'\x80\x02}q\x00.')
  with pytest.raises(
    errors.InputError, match=r'x.pth needs .*torch.*inception_jax\[torch\]'
  ):
    torchvision.read(tmp_path / 'x.pth')
  monkeypatch.setitem(sys.modules, 'tensorflow', None)
  with pytest.raises(errors.InputError, match=r'inception_jax\[data\]'):
    tf_slim.read(files[tf_slim][0])


def test_import_makes_a_run(files, tmp_path):
  for module, (path, _) in files.items():
    name = module.__name__.split('.')[-1]
    result = importing.import_weights(name, tmp_path / name, path=path)
    assert result['profile'] == f'inception_v1_{name}'
    loaded = run.load_run(tmp_path / name)
    assert loaded.preprocessing == module.read(path).preprocessing
    card = json.loads((tmp_path / name / 'card.json').read_text())
    assert card['imported_from'] == name and card['licence']
  with pytest.raises(errors.InputError, match='--weights is of no use'):
    importing.import_weights('caffe', tmp_path / 'x', path='x', weights='raw')
  with pytest.raises(errors.InputError, match="give 'ema' or 'raw'"):
    importing.import_weights(
      'tf_slim', tmp_path / 'x', path='x', weights='polyak'
    )
  with pytest.raises(errors.InputError, match='averages of 0 of the 230'):
    tf_slim.read(files[tf_slim][0], 'ema')


def test_labels_of_ones_own(files, tmp_path):
  path = tmp_path / 'labels.txt'
  lines = [f'n{i} thing {i}' for i in range(1000)]
  lines[7] = 'n02119789 kit fox, Vulpes macrotis'
  path.write_text('\n'.join(lines) + '\n\n')
  arguments = {'path': files[caffe][0], 'label_file': path}
  importing.import_weights('caffe', tmp_path / 'run', **arguments)
  found = run.load_run(tmp_path / 'run').labels
  assert found[3].name == 'n3 thing 3' and found[3].synset is None
  assert found[7].synset == 'n02119789'
  path.write_text('\n'.join(lines[1:]))
  with pytest.raises(errors.InputError, match='999 lines .* has 1,000 outputs'):
    importing.import_weights('caffe', tmp_path / 'x', **arguments)
  path.unlink()
  with pytest.raises(errors.InputError, match='labels.txt cannot be used .No'):
    importing.import_weights('caffe', tmp_path / 'x', **arguments)


def test_pixels_are_said_or_given(files, tmp_path, caplog):
  path, _ = files[caffe]
  with caplog.at_level('INFO'):
    loaded = pretrained.load_pretrained(path)
    given = pretrained.load_pretrained(path, preprocessing='mean=7,8,9')
  assert loaded.preprocessing == preprocess.CAFFE
  assert given.preprocessing.mean == (9, 8, 7) and given.preprocessing.bgr
  assert 'is assumed to be that of the published' in caplog.text
  assert 'mean_value with --preprocessing=FILE or mean=B,G,R' in caplog.text
  assert 'as given: R pixel * 1 - 9, G pixel * 1 - 8' in caplog.text
  importing.import_weights(
    'caffe', tmp_path / 'run', path=path, preprocessing='mean=7,8,9'
  )
  assert run.load_run(tmp_path / 'run').digest == given.digest
  card = json.loads((tmp_path / 'run' / 'card.json').read_text())
  assert card['preprocessing']['is_assumed'] is False
  with pytest.raises(errors.InputError, match='holds one set of weights'):
    pretrained.load_pretrained(path, weights='ema')
  with pytest.raises(errors.InputError, match='run.* says it itself'):
    pretrained.load_pretrained(tmp_path / 'run', preprocessing='unit')


@pytest.mark.parametrize('encoding', ['utf-16', 'cp1252'])
def test_labels_of_windows(files, tmp_path, encoding):
  path = tmp_path / 'labels.txt'
  lines = [f'{i}:Gänseblümchen {i}' for i in range(1000)]
  path.write_bytes('\r\n'.join(lines).encode(encoding))
  arguments = {'path': files[caffe][0], 'label_file': path}
  importing.import_weights('caffe', tmp_path / 'run', **arguments)
  names = run.load_run(tmp_path / 'run').labels.class_names
  assert names[0] == 'Gänseblümchen 0' and names[999] == 'Gänseblümchen 999'
  path.write_bytes(bytes(range(256)))
  with pytest.raises(errors.InputError, match='cannot be used .it is no text'):
    importing.import_weights('caffe', tmp_path / 'x', **arguments)


def fine_tuned(files, folder, names, num_outputs=5, without=(), old=False):
  """Caffe's network with classifiers of other names, for other classes.

  As its file would hold it, which takes seconds to write.
  """
  rng = np.random.default_rng(0)
  _, arrays = files[caffe]
  arrays = {k: x for k, x in arrays.items() if '/classifier' not in k}
  changed = {}
  for name in ('loss1', 'loss2', 'loss3'):  # In Caffe's order.
    if name not in without:
      kernel = rng.random((num_outputs, 1024), np.float32)
      changed[names.get(name, f'{name}/classifier')] = [kernel, kernel[:, 0]]
  for name, blobs in changed.items():
    for number, blob in enumerate(blobs):
      shape = (1,) * (4 - blob.ndim) + blob.shape if old else blob.shape
      arrays[f'{name}[{number}]'] = blob.reshape(shape)
  path = epath.Path(folder) / 'x.caffemodel'
  path.write_bytes(b'')
  return conversion.network_of(caffe.LAYOUT, arrays, path), changed


RENAMED = {
  'all': {x: f'{x}/classifier_flowers' for x in ('loss1', 'loss2', 'loss3')},
  'main': {'loss3': 'loss3/flowers'},
  'others': {'loss1': 'aux_a', 'loss2': 'aux_b', 'loss3': 'fc_flowers'},
  'in front': {x: f'{x}-new/cls' for x in ('loss1', 'loss2', 'loss3')},
}


@pytest.mark.parametrize('old', [False, True])
@pytest.mark.parametrize('case', RENAMED)
def test_renamed_classifiers_of_caffe(files, tmp_path, case, old, caplog):
  found, changed = fine_tuned(files, tmp_path, RENAMED[case], old=old)
  assert found.missing == found.unused == ()
  params = found.variables['params']
  for name, (kernel, bias) in zip(
    ('aux_4a', 'aux_4d', 'main'), changed.values(), strict=True
  ):
    head = params.get(name, params)['classifier']
    np.testing.assert_array_equal(head['kernel'], kernel.T)
    np.testing.assert_array_equal(head['bias'], bias)
  assert found.labels[4].name == 'output 4'
  assert 'unless --labels=FILE' in caplog.text


def test_a_renamed_classifier_of_as_many_classes_has_no_names(files, tmp_path):
  found, _ = fine_tuned(files, tmp_path, RENAMED['main'], num_outputs=1000)
  assert found.labels[7].name == 'output 7' and found.card['labels'] is None


def test_a_renamed_classifier_without_heads(files, tmp_path):
  found, _ = fine_tuned(
    files, tmp_path, {'loss3': 'mine'}, without=('loss1', 'loss2')
  )
  assert found.model_arguments['num_classes'] == 5
  assert not found.model_arguments['use_aux']


def test_which_of_two_classifiers_is_not_guessed(files, tmp_path):
  names = {'loss2': 'one', 'loss3': 'two'}
  with pytest.raises(errors.InputError, match="of other names .first 'one"):
    fine_tuned(files, tmp_path, names, without=('loss1',))


def test_hashes_that_are_known():
  assert caffe.RELEASE.sha1 == '405fc5acd08a3bb12de8ee5e23a96bec22f08204'
  digests = {'sha256': '1378be20' + 56 * '0', 'sha1': 'x'}
  assert torchvision.RELEASE.is_published(digests) is True
  assert caffe.RELEASE.is_published(digests) is False
  assert tf_slim.RELEASE.is_published(digests) is None


def test_shapes_are_worked_out_once():
  one = conversion.shapes_of('inception_v1_caffe', 1000)
  assert conversion.shapes_of('inception_v1_caffe', 1000) is one
  with pytest.raises(TypeError):
    one['x'] = (1,)
