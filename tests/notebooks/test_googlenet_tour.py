"""Runs the notebook from top to bottom, with local weights."""

import os
import pathlib

import launch
import pytest

nbformat = pytest.importorskip('nbformat')
nbclient = pytest.importorskip('nbclient')

NOTEBOOK = launch.ROOT / 'notebooks' / 'googlenet_tour.ipynb'


@pytest.fixture
def notebook():
  return nbformat.read(NOTEBOOK, as_version=4)


def test_outputs_are_not_kept(notebook):
  nbformat.validate(notebook)
  cells = [cell for cell in notebook.cells if cell.cell_type == 'code']
  assert len(cells) > 8
  for cell in cells:
    assert cell.outputs == [] and cell.execution_count is None


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


@pytest.mark.test_data
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_runs_from_top_to_bottom(notebook, tmp_path):
  folder = os.environ.get('INCEPTION_JAX_TEST_DATA')
  if not folder:
    pytest.skip('INCEPTION_JAX_TEST_DATA is not set')
  with_parameters(
    notebook,
    WEIGHTS=str(pathlib.Path(folder) / 'google_inception.npz'),
    WORK=str(tmp_path),
    TRAIN_EPOCHS=0.5,
  )
  client = nbclient.NotebookClient(
    notebook,
    timeout=600,
    kernel_name='python3',
    resources={'metadata': {'path': str(NOTEBOOK.parent)}},
  )
  client.execute()  # Raises if a cell does.
  printed = '\n'.join(
    out.text
    for cell in notebook.cells
    if cell.cell_type == 'code'
    for out in cell.outputs
    if out.output_type == 'stream' and out.name == 'stdout'
  )
  assert '7,066,380 parameters' in printed
  assert '6,998,552 parameters' in printed  # Of Table 1.
  assert 'of 360' in printed  # Digits evaluated.
  assert 'daisy' in printed  # What ONNX Runtime sees in the flower.
  num_pictures = sum(
    'image/png' in out.get('data', {})
    for cell in notebook.cells
    if cell.cell_type == 'code'
    for out in cell.outputs
  )
  assert num_pictures >= 8
