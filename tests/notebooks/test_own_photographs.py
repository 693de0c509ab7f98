"""Runs the notebook on its own example, small, with local weights."""

import re

import pytest

pytest.importorskip('nbformat')
pytest.importorskip('nbclient')

import notebook_runs


@pytest.fixture
def notebook():
  return notebook_runs.read('own_photographs.ipynb')


def test_outputs_are_not_kept(notebook):
  assert len(notebook_runs.code_cells(notebook)) > 8


@pytest.mark.test_data
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_runs_from_top_to_bottom(notebook, tmp_path):
  printed, num_pictures = notebook_runs.execute_small(
    notebook, tmp_path, IMAGE_SIZE=64, STEPS=4
  )
  for part in ('last layer, raw', 'whole, ema'):
    # So small and short, it learns nothing to speak of.
    assert re.search(f'{part}: [0-9.]+% of 8', printed)
  assert num_pictures == 3
