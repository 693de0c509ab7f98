"""Writes the photographs that scikit-learn and Matplotlib ship, as a folder.

Free to show, unlike ImageNet's: `china` (by danielbuechele) and `flower` (by
vultilion), both from flickr.com under CC BY 2.0, and `portrait` (Grace Hopper,
public domain).

  python benchmarks/sample_pictures.py FOLDER
"""

import pathlib
import shutil
import sys

from matplotlib import cbook
from sklearn import datasets


def main() -> None:
  folder = pathlib.Path(sys.argv[1])
  images = pathlib.Path(datasets.__file__).parent / 'images'
  pictures = {
    'china': images / 'china.jpg',
    'flower': images / 'flower.jpg',
    'portrait': cbook.get_sample_data('grace_hopper.jpg', asfileobj=False),
  }
  for part in ('train', 'validation'):
    for name, path in pictures.items():
      place = folder / part / name
      place.mkdir(parents=True, exist_ok=True)
      shutil.copy(path, place / f'{name}.jpg')


if __name__ == '__main__':
  main()
