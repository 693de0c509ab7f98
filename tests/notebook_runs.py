"""Executes notebooks with other parameters, for tests."""

import os
import pathlib

import launch
import nbclient
import nbformat
import pytest

FOLDER = launch.ROOT / 'notebooks'


def read(name):
  """A notebook, which must be valid and without outputs."""
  notebook = nbformat.read(FOLDER / name, as_version=4)
  nbformat.validate(notebook)
  for cell in code_cells(notebook):
    assert cell.outputs == [] and cell.execution_count is None
  return notebook


def code_cells(notebook):
  return [cell for cell in notebook.cells if cell.cell_type == 'code']


def with_parameters(notebook, **values):
  """Gives the cell of parameters other values; each must be there."""
  (cell,) = [
    cell
    for cell in notebook.cells
    if 'parameters' in cell.metadata.get('tags', ())
  ]
  lines = cell.source.splitlines()
  for name, value in values.items():
    (place,) = [i for i, x in enumerate(lines) if x.startswith(f'{name} = ')]
    lines[place] = f'{name} = {value!r}'
  cell.source = '\n'.join(lines)


def execute_small(notebook, folder, **values):
  """As `execute`, with the authors' weights from the folder of test data."""
  data = os.environ.get('INCEPTION_JAX_TEST_DATA')
  if not data:
    pytest.skip('INCEPTION_JAX_TEST_DATA is not set')
  weights = pathlib.Path(data) / 'google_inception.npz'
  with_parameters(notebook, WEIGHTS=str(weights), WORK=str(folder), **values)
  return execute(notebook)


def execute(notebook):
  """Runs all cells; returns what they print, and their number of pictures."""
  client = nbclient.NotebookClient(
    notebook,
    timeout=600,
    kernel_name='python3',
    resources={'metadata': {'path': str(FOLDER)}},
  )
  client.execute()  # Raises if a cell does.
  outputs = [out for cell in code_cells(notebook) for out in cell.outputs]
  printed = '\n'.join(
    out.text
    for out in outputs
    if out.output_type == 'stream' and out.name == 'stdout'
  )
  return printed, sum('image/png' in out.get('data', {}) for out in outputs)
