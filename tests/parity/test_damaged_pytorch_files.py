"""Damaged files of PyTorch; those of others are in tests/weights."""

import damaged_files
import pytest


@pytest.mark.parametrize('source', ['torchvision_pth', 'torchvision_pth_old'])
def test_damaged_files_are_read_or_refused(source, tmp_path):
  damaged_files.assert_read_or_refused(source, tmp_path)
