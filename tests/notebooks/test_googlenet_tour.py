"""Runs the notebook from top to bottom, with local weights."""

import pytest

pytest.importorskip('nbformat')
pytest.importorskip('nbclient')

import notebook_runs


@pytest.fixture
def notebook():
  return notebook_runs.read('googlenet_tour.ipynb')


def test_outputs_are_not_kept(notebook):
  assert len(notebook_runs.code_cells(notebook)) > 8


@pytest.mark.test_data
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_runs_from_top_to_bottom(notebook, tmp_path):
  printed, num_pictures = notebook_runs.execute_small(
    notebook, tmp_path, TRAIN_EPOCHS=0.5
  )
  assert '7,066,380 parameters' in printed
  assert '6,998,552 parameters' in printed  # Of Table 1.
  assert 'of 360' in printed  # Digits evaluated.
  assert 'daisy' in printed  # What ONNX Runtime sees in the flower.
  assert num_pictures >= 8
