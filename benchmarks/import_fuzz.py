"""Damaged files of every kind that `--mode=import` reads.

Small good files, of a network cut down to a few layers, are changed at random:
bits, lengths, pieces. Checksums of archives are made to fit in half of the
cases, and those of our own arrays are taken for right, so that what lies behind
them is reached. A file must be read, or be refused by an `InputError` of one
line; all else is a finding, which `--source=SOURCE --first=SEED --num=1` gives
again. Prints one JSON object.

  python benchmarks/import_fuzz.py [--num=10000] [--num_checkpoints=1000] \\
      [--output=FILE.json]
"""

import argparse
from collections.abc import Callable, Iterator
import contextlib
import functools
import gzip
import io
import json
import os
import pathlib
import random
import re
import resource
import select
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from unittest import mock
import zipfile

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]

from absl import logging  # noqa: E402
from etils import epath  # noqa: E402
import numpy as np  # noqa: E402
import published_files  # noqa: E402
import random_runs  # noqa: E402
from safetensors import numpy as safetensors_numpy  # noqa: E402

from inception_jax.export import formats, torchvision_file  # noqa: E402
from inception_jax.export import safetensors_file as writer  # noqa: E402
from inception_jax.runs import (  # noqa: E402
  description,
  named_arrays,
)
from inception_jax.runtime import errors  # noqa: E402
from inception_jax.weights import (  # noqa: E402
  caffe,
  conversion,
  exported,
  google,
  safetensors_file,
  tf_checkpoint,
  tf_slim,
  torchvision,
)

# Of one file; the first is read once before, which imports what it needs.
TIME_LIMIT_SECONDS = 20
START_LIMIT_SECONDS = 120
# Above what the process has after the first file. What an importer takes may
# unpack to a quarter of a gigabyte, and is copied.
MEMORY_LIMIT_BYTES = 2**30
ADDRESS_LIMIT_BYTES = 2**33

Files = dict[str, bytes]
_NUMBERS = (0, 1, -1, 127, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1)
_TEXT_NUMBERS = (b'0', b'-1', b'99999999', b'1e400', b'9' * 25, b'[]', b'"x"')
_BATCH_NORM = {
  'params/conv1/bn/bias': (2,),
  'batch_stats/conv1/bn/mean': (2,),
  'batch_stats/conv1/bn/var': (2,),
}


def small_shapes(
  profile: str, num_classes: int, use_aux: bool = True
) -> dict[str, tuple[int, ...]]:
  """Of a few variables of a network; see `conversion.shapes_of`."""
  shapes = {
    'params/conv1/kernel': (1, 1, 3, 2),
    'params/classifier/kernel': (2, num_classes),
    'params/classifier/bias': (num_classes,),
  }
  if profile == caffe.LAYOUT.profile:
    shapes['params/conv1/bias'] = (2,)
  else:
    shapes |= _BATCH_NORM
  if profile == torchvision.LAYOUT.profile:
    shapes['params/conv1/bn/scale'] = (2,)
  if use_aux and profile != tf_slim.LAYOUT.profile:
    shapes['params/aux_4a/dense/kernel'] = (128, 2)
  return shapes


@contextlib.contextmanager
def small_networks() -> Iterator[None]:
  """Importers look for the layers of the small files, and trust digests."""
  created = {}
  digest = _small_run()[2]['digest']

  def create_model(arguments, image_size, variables):
    shapes = [(k, v.shape) for k, v in named_arrays.flatten(variables).items()]
    key = json.dumps([arguments, image_size, sorted(shapes)])
    if key not in created:
      created[key] = real_create(arguments, image_size, variables)
    return created[key]

  def digest_of(arrays):
    real_digest(arrays)
    return digest

  real_create, real_digest = description._create_model, exported.digest_of
  with (
    mock.patch.object(conversion, 'shapes_of', small_shapes),
    mock.patch.object(description, '_create_model', create_model),
    mock.patch.object(exported, 'digest_of', digest_of),
    mock.patch.object(tf_checkpoint, '_run', _fork),
  ):
    yield


@functools.cache
def _small_run():
  """A run, its arrays and its description."""
  loaded = random_runs.random_run('inception_v1_google', 32, width=0.001)
  arrays = named_arrays.flatten(loaded.variables)
  return loaded, arrays, exported.describe(loaded, arrays)


def _arrays(layout: conversion.Layout) -> dict[str, np.ndarray]:
  with mock.patch.object(conversion, 'shapes_of', small_shapes):
    return published_files.random_arrays(layout, 3)


def _google_arrays() -> dict[str, np.ndarray]:
  rng = np.random.default_rng(0)
  return {
    'conv2d0_w': rng.random((1, 1, 3, 2), np.float32),
    'conv2d0_b': np.full(2, 0.2, np.float32),
    'softmax2_w': rng.random((2, 3), np.float32),
  }


def _graph() -> bytes:
  """A frozen graph; one constant is stored as a single value."""
  from tensorboardX.proto import graph_pb2, types_pb2

  graph = graph_pb2.GraphDef()
  for name, array in _google_arrays().items():
    node = graph.node.add(name=name, op='Const')
    tensor = node.attr['value'].tensor
    tensor.dtype = types_pb2.DT_FLOAT
    for size in array.shape:
      tensor.tensor_shape.dim.add(size=size)
    if name.endswith('b'):
      tensor.float_val.append(0.2)
    else:
      tensor.tensor_content = array.tobytes()
  return graph.SerializeToString()


def _zip(members: Files) -> bytes:
  data = io.BytesIO()
  with zipfile.ZipFile(data, 'w') as archive:
    for name, contents in members.items():
      archive.writestr(name, contents)
  return data.getvalue()


def _unzip(data: bytes) -> Files:
  with zipfile.ZipFile(io.BytesIO(data)) as archive:
    return {name: archive.read(name) for name in archive.namelist()}


def _npz() -> bytes:
  data = io.BytesIO()
  np.savez(data, **_google_arrays())
  return data.getvalue()


def _pth(archive: bool) -> bytes:
  import torch

  state = {k: torch.tensor(x) for k, x in _arrays(torchvision.LAYOUT).items()}
  data = io.BytesIO()
  torch.save(state, data, _use_new_zipfile_serialization=archive)
  return data.getvalue()


def _checkpoint(old: bool) -> Files:
  import tensorflow as tf

  arrays = _arrays(tf_slim.LAYOUT)
  tensors = [tf.constant(x) for x in arrays.values()]
  with tempfile.TemporaryDirectory() as folder:
    prefix = f'{folder}/x.ckpt'
    if old:
      tf.raw_ops.Save(filename=prefix, tensor_names=list(arrays), data=tensors)
    else:
      tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(arrays),
        shape_and_slices=[''] * len(arrays),
        tensors=tensors,
      )
    return {x.name: x.read_bytes() for x in pathlib.Path(folder).iterdir()}


def _tar() -> bytes:
  data = io.BytesIO()
  with tarfile.open(fileobj=data, mode='w') as archive:
    for name, contents in _checkpoint(False).items():
      entry = tarfile.TarInfo(name)
      entry.size = len(contents)
      archive.addfile(entry, io.BytesIO(contents))
  return gzip.compress(data.getvalue(), mtime=0)


def _caffe(old: bool) -> bytes:
  layers = published_files.caffe_layers(_arrays(caffe.LAYOUT))
  return published_files.caffemodel(layers, old)


def _fork(request: list, folder: pathlib.Path) -> str:
  """`tf_checkpoint._run` without importing TensorFlow once a file."""
  import tensorflow  # noqa: F401

  child = os.fork()
  if child == 0:
    try:
      signal.alarm(TIME_LIMIT_SECONDS // 2)
      tf_checkpoint._answer(request, folder)
    finally:
      os._exit(0)
  return f'its process ended with {os.waitpid(child, 0)[1]}'


def _read_google(path: pathlib.Path) -> None:
  """`google.read` without tracing its network."""
  path = epath.Path(path)
  arrays, text, _ = google._read_file(path, '')
  shapes = {name: x.shape for name, x in _google_arrays().items()}
  for name, array in arrays.items():
    google._fitted(array, shapes.get(name, array.shape), name)
  google._read_labels(path, None, text, 3)


@functools.cache
def files_of(source: str) -> Files:
  """A good file of a source, of several files if it is a checkpoint."""
  serialized = lambda module: module.serialize(formats.Request(*_small_run()))[
    '.safetensors'
  ]
  made: dict[str, Callable[[], bytes | Files]] = {
    'google_npz': _npz,
    'google_graph': _graph,
    'google_zip': lambda: _zip(
      {google.GRAPH_FILE: _graph(), google.LABEL_FILE: b'dummy\nkit fox\n'}
    ),
    'safetensors': lambda: serialized(writer),
    'caffe': lambda: _caffe(False),
    'caffe_old': lambda: _caffe(True),
    'torchvision_pth': lambda: _pth(True),
    'torchvision_pth_old': lambda: _pth(False),
    'torchvision_safetensors': lambda: safetensors_numpy.save(
      _arrays(torchvision.LAYOUT)
    ),
    'torchvision_exported': lambda: serialized(torchvision_file),
    'tf_slim': lambda: _checkpoint(False),
    'tf_slim_old': lambda: _checkpoint(True),
    'tf_slim_archive': _tar,
  }
  found = made[source]()
  return found if isinstance(found, dict) else {'x': found}


_READERS = {
  'google': _read_google,
  'safetensors': safetensors_file.read,
  'caffe': caffe.read,
  'torchvision': torchvision.read,
  'tf': tf_slim.read,
}
SOURCES = (
  'google_npz',
  'google_graph',
  'google_zip',
  'safetensors',
  'caffe',
  'caffe_old',
  'torchvision_pth',
  'torchvision_pth_old',
  'torchvision_safetensors',
  'torchvision_exported',
  'tf_slim',
  'tf_slim_old',
  'tf_slim_archive',
)
_ZIPS = ('google_npz', 'google_zip', 'torchvision_pth')


def changed(data: bytes, rng: random.Random) -> bytes:
  """`data` with one to four changes."""
  data = bytearray(data)
  for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
    place = rng.randrange(len(data) + 1)
    end = min(len(data), place + rng.choice((1, 4, 30, 500)))
    kind = rng.randrange(9)
    if kind == 0 and place < len(data):
      data[place] ^= 1 << rng.randrange(8)
    elif kind == 1 and place < len(data):
      data[place] = rng.randrange(256)
    elif kind == 2:
      del data[place:]
    elif kind == 3:
      del data[place:end]
    elif kind == 4:
      data[place:place] = rng.randbytes(rng.choice((1, 4, 30)))
    elif kind == 5:  # A piece of another place, over what is there or between.
      start = rng.randrange(len(data) + 1)
      piece = data[start : start + end - place]
      data[place : rng.choice((place, end))] = piece
    elif kind == 6:
      size = rng.choice((1, 2, 4, 8))
      number = rng.choice(_NUMBERS) % 256**size
      order = rng.choice(('little', 'big'))
      data[place : place + size] = number.to_bytes(size, order)
    elif kind == 7:  # A huge varint.
      data[place : place + rng.choice((0, 1))] = (
        b'\xff' * rng.choice((1, 3, 4, 8)) + b'\x01'
      )
    elif numbers := list(re.finditer(rb'\d+', data)):
      number = rng.choice(numbers)
      data[number.start() : number.end()] = rng.choice(_TEXT_NUMBERS)
  return bytes(data)


def mutant(source: str, seed: int) -> Files:
  """The damaged files of a seed."""
  rng = random.Random(f'{source} {seed}')
  files = dict(files_of(source))
  name = rng.choice(sorted(files, key=lambda x: 'data' in x)[:1] * 3 + [*files])
  data, sealed = files[name], rng.random() < 0.5
  if source in _ZIPS and sealed:
    members = _unzip(data)
    # What says what the others are.
    likely = [x for x in members if x.endswith(('data.pkl', '.pb', '.npy'))]
    member = rng.choice([*members, *likely * 3])
    members[member] = changed(members[member], rng)
    files[name] = _zip(members)
  elif source == 'tf_slim_archive' and sealed:
    files[name] = gzip.compress(changed(gzip.decompress(data), rng), 1)
  elif source in ('tf_slim', 'tf_slim_old') and sealed and 'data' not in name:
    files[name] = _changed_table(data, rng)
  else:
    files[name] = changed(data, rng)
  return files


def _changed_table(data: bytes, rng: random.Random) -> bytes:
  """A table of TensorFlow's with a changed block, whose checksum fits.

  Blocks end by a type of zero and a masked CRC-32C; the first block holds what
  the others are. Its length stays, for places are written elsewhere.
  """
  size = _end_of_block(data)
  if size is None:
    return changed(data, rng)
  block = bytearray(data[:size])
  for _ in range(rng.choice((1, 1, 2, 3))):
    place = rng.randrange(size)
    number = rng.choice((*_NUMBERS, rng.randrange(256)))
    width = rng.choice((1, 1, 1, 2, 9))
    block[place : place + width] = rng.choice(
      (
        (number % 256**width).to_bytes(width, 'little'),
        b'\xff' * (width - 1) + b'\x7f',
      )
    )
  return _sealed(bytes(block[:size]), data)


def _sealed(block: bytes, data: bytes) -> bytes:
  """A table with this first block."""
  block += b'\0'
  return block + _masked(_crc(block)) + data[len(block) + 4 :]


def with_broken_entry(index: bytes) -> bytes:
  """The index of a checkpoint, with an entry that is no message."""
  block = index[: _end_of_block(index)]
  # Type float, then a field of an unknown type where the shape was.
  block = block.replace(b'\x08\x01\x12', b'\x08\x01\x7f', 1)
  return _sealed(block, index)


@functools.lru_cache(maxsize=4)
def _end_of_block(data: bytes) -> int | None:
  """Length of the first block, without its type and checksum."""
  crc = _crc(b'')
  for size, byte in enumerate(data):
    crc = _crc(bytes([byte]), crc)
    if byte == 0 and data[size + 1 : size + 5] == _masked(crc):
      return size
  return None


@functools.cache
def _crc_table() -> tuple[int, ...]:
  table = []
  for byte in range(256):
    for _ in range(8):
      byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    table.append(byte)
  return tuple(table)


def _crc(data: bytes, crc: int = 0) -> int:
  """CRC-32C, of what had `crc` and then `data`."""
  table = _crc_table()
  crc ^= 0xFFFFFFFF
  for byte in data:
    crc = crc >> 8 ^ table[(crc ^ byte) & 255]
  return crc ^ 0xFFFFFFFF


def _masked(crc: int) -> bytes:
  masked = ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF
  return struct.pack('<I', masked)


def outcome(source: str, files: Files, folder: pathlib.Path) -> str:
  """'read', 'refused', or what else happened."""
  for path in folder.iterdir():
    path.unlink()
  for name, data in files.items():
    (folder / name).write_bytes(data)
  path = folder / min(files, key=len)
  if source == 'tf_slim':
    path = folder / 'x.ckpt'
  try:
    _READERS[source.split('_')[0]](path)
  except errors.InputError as error:
    return 'refused' if '\n' not in str(error) else f'lines: {error}'
  except Exception as error:
    text = errors.first_line(error)[:200]
    return f'{type(error).__name__}: {text}'
  return 'read'


def _peak_bytes() -> int:
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def work(source: str, first: int, num: int) -> None:
  """Writes a line of seed and outcome for each file."""
  # Errors of libraries go elsewhere than the lines.
  lines = os.fdopen(os.dup(1), 'w', buffering=1)
  os.dup2(2, 1)
  logging.set_verbosity(logging.FATAL)
  with small_networks(), tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    start = outcome(source, files_of(source), folder)
    if start != 'read' and source != 'google_zip':
      lines.write(json.dumps(['good', start, 0]) + '\n')
      return
    start_bytes = _peak_bytes()
    limit = start_bytes + MEMORY_LIMIT_BYTES
    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])
    address = pages * resource.getpagesize() + ADDRESS_LIMIT_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (address, address))
    lines.write(json.dumps(['good', 'read', 0]) + '\n')
    for seed in range(first, first + num):
      found = outcome(source, mutant(source, seed), folder)
      if _peak_bytes() > limit:
        found = f'memory: {(_peak_bytes() - limit) >> 20} MiB over the limit'
        limit = _peak_bytes()
      more_mib = (_peak_bytes() - start_bytes) >> 20
      lines.write(json.dumps([seed, found, more_mib]) + '\n')


def fuzz(source: str, first: int, num: int) -> dict:
  """Counts of outcomes and the findings of one source."""
  counts, findings = {'read': 0, 'refused': 0}, {}
  memory = {'peak_mib_above_a_good_file': 0}
  seed, begin = first, time.monotonic()
  while seed < first + num:
    seed = _fuzz_until_it_ends(
      source, seed, first + num, counts, findings, memory
    )
  return {
    'files': num,
    **counts,
    **memory,
    'findings': len(findings),
    'seeds': dict(list(findings.items())[:50]),
    'seconds': round(time.monotonic() - begin, 1),
  }


def _fuzz_until_it_ends(
  source: str,
  seed: int,
  end: int,
  counts: dict,
  findings: dict,
  memory: dict,
) -> int:
  """Runs a worker; returns the seed after the last that it dealt with."""
  command = [sys.executable, __file__, f'--source={source}', '--work']
  command += [f'--first={seed}', f'--num={end - seed}']
  with (
    tempfile.TemporaryFile() as log,
    subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as worker,
  ):
    limit, buffer = START_LIMIT_SECONDS, b''
    started = False
    while seed < end:
      if not select.select([worker.stdout], [], [], limit)[0]:
        worker.kill()
        findings[seed] = f'more than {limit} seconds'
        return seed + 1
      piece = os.read(worker.stdout.fileno(), 2**16)
      if not piece:
        if not started:
          log.seek(0)
          raise RuntimeError(f'{source}: {log.read().decode()[-2000:]}')
        findings[seed] = f'the process ended with {worker.wait()}'
        return seed + 1
      *lines, buffer = (buffer + piece).split(b'\n')
      for line in lines:
        number, found, more_mib = json.loads(line)
        peak = memory['peak_mib_above_a_good_file']
        memory['peak_mib_above_a_good_file'] = max(peak, more_mib)
        if number == 'good':
          if found != 'read':
            raise RuntimeError(f'{source}: the good file is not: {found}')
          started, limit = True, TIME_LIMIT_SECONDS
          continue
        if found in counts:
          counts[found] += 1
        else:
          findings[number] = found
        seed = number + 1
  return seed


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--num', type=int, default=10_000)
  parser.add_argument(
    '--num_checkpoints',
    type=int,
    default=1000,
    help="files of TensorFlow's, of which each takes a process",
  )
  parser.add_argument('--first', type=int, default=0)
  parser.add_argument('--source', choices=SOURCES)
  parser.add_argument('--output')
  parser.add_argument('--work', action='store_true', help=argparse.SUPPRESS)
  arguments = parser.parse_args()
  if arguments.work:
    work(arguments.source, arguments.first, arguments.num)
    return
  import machine

  record = machine.environment(('safetensors', 'torch', 'protobuf'))
  record['first_seed'] = arguments.first
  record['sources'] = {}
  for source in SOURCES if arguments.source is None else (arguments.source,):
    num = arguments.num
    if source.startswith('tf_'):
      num = min(num, arguments.num_checkpoints)
    found = fuzz(source, arguments.first, num)
    print(source, json.dumps(found), file=sys.stderr, flush=True)
    record['sources'][source] = found
  machine.keep(record, arguments.output)


if __name__ == '__main__':
  main()
