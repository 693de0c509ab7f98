"""The table of formats and the modules of its rows."""

import ast
import importlib
import inspect
import pathlib

import pytest
import random_runs

from inception_jax import export
from inception_jax.export import checking, formats
from inception_jax.runs import named_arrays
from inception_jax.weights import exported

INTERFACE = {
  'serialize': ['request'],
  'outputs_of': ['request', 'files', 'pixels'],
}


def functions_of(path):
  """Arguments of the functions of a file, by name; without importing it."""
  body = ast.parse(path.read_text()).body
  return {
    node.name: [x.arg for x in node.args.args]
    for node in body
    if isinstance(node, ast.FunctionDef)
  }


def modules_of_the_room():
  (folder,) = export.__path__
  return {
    f'inception_jax.export.{path.stem}': path
    for path in pathlib.Path(folder).glob('*.py')
  }


def test_every_module_that_looks_like_a_format_has_a_row():
  listed = {row.module for row in formats.FORMATS.values()}
  assert len(listed) == len(formats.FORMATS)
  found = {
    name
    for name, path in modules_of_the_room().items()
    if name.endswith('_file') or INTERFACE.keys() & functions_of(path).keys()
  }
  assert found == listed


@pytest.mark.parametrize('format', formats.FORMATS)
def test_every_row_has_a_module_of_the_interface(format):
  row = formats.FORMATS[format]
  assert row.ending.startswith('.') and row.ending.count('.') == 1
  found = functions_of(modules_of_the_room()[row.module])
  assert {name: found.get(name) for name in INTERFACE} == INTERFACE


@pytest.mark.parametrize('format', formats.FORMATS)
def test_files_are_run_by_the_endings_they_were_serialized_with(
  format, tmp_path
):
  row = formats.FORMATS[format]
  for package in row.packages:
    pytest.importorskip(package)
  loaded = random_runs.random_run('inception_v1_bn', 64)
  arrays = named_arrays.flatten(loaded.variables)
  request = formats.Request(
    loaded,
    arrays,
    exported.describe(loaded, arrays),
    dict.fromkeys(row.options, False),
  )
  module = row.import_module()
  assert module is importlib.import_module(row.module)
  for name, arguments in INTERFACE.items():
    assert list(inspect.signature(getattr(module, name)).parameters) == (
      arguments
    )
  contents = module.serialize(request)
  assert next(iter(contents)) == row.ending
  assert all(isinstance(data, bytes) and data for data in contents.values())
  files = {ending: tmp_path / f'x{i}' for i, ending in enumerate(contents)}
  for ending, file in files.items():
    file.write_bytes(contents[ending])
  found = checking.check_files(row, request, files, tmp_path / 'x')
  assert found['max_abs_diff'] <= found['tolerance']
  assert row.exact == (found['tolerance'] == 0)
  pixels = checking.pictures(64, 3)
  outputs = module.outputs_of(request, files, pixels)
  assert outputs.shape == (3, random_runs.NUM_CLASSES)
